//! Challenges of a trunk: its credentials are the registrar's, so that the edge asks for an answer and sends the request again.
//!
//! RFC 3261 22.3 leaves challenges to the UAC, because an answer belongs into a request with a higher CSeq. Nobody but us has the
//! credentials for a trunk; the request goes again as it was, with them, on a new branch: for the trunk a fork of the same request,
//! whose first branch is over. The caller hears nothing of it, and its sequence numbers stay its own.
//!
//! | the trunk says | what follows |
//! |---|---|
//! | 401 or 407 | the same request with credentials, the same way |
//! | another one of them, or another realm | once more, with the earlier credentials too (RFC 3261 22.3) |
//! | the same again, with `stale=true` or after another one has challenged | once more (RFC 7616 3.3) |
//! | the same again, or any after three answers | 503: the trunk does not serve us, and the next one is tried |
//!
//! Inside a dialog a challenge is answered alike: re-INVITE, BYE, PRACK, UPDATE, INFO, REFER and the rest. Our own route says that the
//! neighbour at one address is a trunk (`trunk_mark.rs`), and to that address alone are answers sent.
//!
//! A service that has us send its REGISTER is a UAC, and answers for itself.

use cluster_api::registrar::v1::{AnswerChallengeRequest, AnswerChallengeResponse};
use sip_digest::{Challenge, Challengers, realm};
use sip_message::{Edit, HeaderId, Message};
use sip_proxy::{BranchFailure, BranchId};
use tonic::Status;

use super::branch::Branch;
use super::fork::{Fork, ForkId};
use super::record_route::far_address;
use super::target::Target;
use super::upstream::Upstream;
use crate::edge::{Completion, Cx, Edge};
use crate::report::{text, texts};

/// What a branch answers the challenges of its trunk with.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    challengers: Challengers,
    /// Header values; no `Debug` of a branch is ever printed with more than their number.
    credentials: Vec<(HeaderId, Credentials)>,
}

/// A header value that is no text for logs.
struct Credentials(String);

impl Credentials {
    fn realm(&self) -> Option<std::borrow::Cow<'_, [u8]>> {
        realm(self.0.as_bytes())
    }
}

/// Shows nothing.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

/// A branch that waits for an answer of the registrar.
pub(crate) struct Challenged {
    fork: ForkId,
    branch: BranchId,
    /// Where the answers belong, and those to the challenges of the other kind.
    header: HeaderId,
    other: HeaderId,
}

impl Answers {
    /// Puts them on the copy that goes out.
    pub(crate) fn add_to(&self, edit: &mut Edit<'_>) {
        for (header, value) in &self.credentials {
            edit.append(*header, value.0.as_bytes());
        }
    }
}

impl Edge {
    /// Takes a response that is a challenge of a trunk, and asks for an answer; whether it is one.
    pub(crate) fn ask_for_credentials(
        &mut self,
        cx: &mut Cx<'_>,
        id: ForkId,
        fork: &mut Fork,
        branch: BranchId,
        response: &Message,
    ) -> bool {
        let is_proxy = match response.status() {
            Some(401) => false,
            Some(407) => true,
            Some(_) | None => return false,
        };
        let is_ours_to_answer = match &fork.upstream {
            Upstream::Server { .. } | Upstream::Leg(_) => true,
            Upstream::Exchange(_) | Upstream::Nobody => false,
        };
        let Some(running) = fork.branches.get_mut(branch.0 as usize) else { return false };
        let Some(trunk) = trunk_of(cx, running).filter(|_| is_ours_to_answer) else { return false };
        if !fork.context.is_wanted(branch) {
            return false;
        }
        // the transaction that was challenged is over: its ACK is sent below
        if let Some(key) = running.key.take() {
            self.clients.remove(&key);
        }
        let uri = running.target.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request));
        let proxies = texts(response, HeaderId::ProxyAuthenticate);
        let servers = texts(response, HeaderId::WwwAuthenticate);
        let (of_proxies, of_servers) = running.answers.challengers.worth_of_both(&proxies, &servers);
        // where none is worth an answer the registrar is told so, and counts a refusal
        let is_refused =
            of_proxies.is_empty() && of_servers.is_empty() && !running.answers.credentials.is_empty();
        let (proxies, servers) = (worth(&proxies, &of_proxies), worth(&servers, &of_servers));
        let (challenges, other_challenges) = if is_proxy { (proxies, servers) } else { (servers, proxies) };
        let (header, other) = if is_proxy {
            (HeaderId::ProxyAuthorization, HeaderId::Authorization)
        } else {
            (HeaderId::Authorization, HeaderId::ProxyAuthorization)
        };
        let covers_body = |value: &String| value.to_ascii_lowercase().contains("auth-int");
        let question = AnswerChallengeRequest {
            trunk,
            method: fork.request.method_str().to_owned(),
            request_uri: text(uri),
            body: if challenges.iter().chain(&other_challenges).any(covers_body) {
                fork.request.body_bytes()
            } else {
                Default::default()
            },
            challenges,
            other_challenges,
            again: is_refused,
        };
        let location = self.deps.location.clone();
        let challenged = Box::new(Challenged { fork: id, branch, header, other });
        let work = async move { Completion::Answered(challenged, location.answer_challenge(question).await) };
        if cx.spawn(work).is_err() {
            self.fail_branch(cx, fork, branch, BranchFailure::Refused(503));
        }
        true
    }

    /// The registrar has answered: the request goes again, or the branch has failed.
    pub(crate) fn take_credentials(
        &mut self,
        cx: &mut Cx<'_>,
        challenged: Challenged,
        result: Result<AnswerChallengeResponse, Status>,
    ) {
        let Challenged { fork, branch, header, other } = challenged;
        self.with_fork(cx, fork, |edge, cx, context| {
            // RFC 3261 9.1: nothing is under way that a CANCEL could end
            if !context.context.is_wanted(branch) {
                return edge.fail_branch(cx, context, branch, BranchFailure::Refused(487));
            }
            let AnswerChallengeResponse { credentials, other_credentials } = result.unwrap_or_default();
            let of = |header, values: Vec<String>| values.into_iter().map(move |value| (header, value));
            let given: Vec<(HeaderId, String)> =
                of(header, credentials).chain(of(other, other_credentials)).collect();
            let Some(running) = context.branches.get_mut(branch.0 as usize) else { return };
            let (false, Some(way)) = (given.is_empty(), running.way.clone()) else {
                return edge.fail_branch(cx, context, branch, BranchFailure::Refused(503));
            };
            // RFC 3261 22.3: what the others on the way were answered with stays
            let is_new = |known: HeaderId, old: &Credentials| {
                given.iter().any(|(header, new)| *header == known && realm(new.as_bytes()) == old.realm())
            };
            running.answers.credentials.retain(|(known, old)| !is_new(*known, old));
            let given = given.into_iter().map(|(header, value)| (header, Credentials(value)));
            running.answers.credentials.extend(given);
            edge.send_branch(cx, fork, context, branch, way);
        });
    }
}

/// The trunk whose challenges a branch answers: the one that the plan named, or the one that the dialog leads to, where that is.
fn trunk_of(cx: &Cx<'_>, branch: &Branch) -> Option<String> {
    let Target { trunk, trunk_side, .. } = &branch.target;
    if !trunk.is_empty() {
        return Some(trunk.as_ref().to_owned());
    }
    let hop = branch.way.as_ref()?.hop;
    let side = trunk_side.as_ref().filter(|side| far_address(cx, hop) == Some(side.at));
    side.map(|side| side.trunk.clone())
}

/// The values of those challenges that are worth an answer.
fn worth(values: &[String], worth: &[Challenge<'_>]) -> Vec<String> {
    let is_worth = |value: &&String| {
        let realm = realm(value.as_bytes());
        worth.iter().any(|challenge| realm.as_ref() == Some(&challenge.realm))
    };
    values.iter().filter(is_worth).cloned().collect()
}
