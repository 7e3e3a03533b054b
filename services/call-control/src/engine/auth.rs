//! Answers to challenges of Carillon's own legs (RFC 3261 22.2, 22.3; AUT-05, AUT-06, AUT-13).
//!
//! A leg remembers the last challenge of each realm and answers it in every later request, so that a proxy that challenges
//! everything does so once. A request is sent again once for a new challenge of a realm, and once more when its nonce was
//! stale; after that the refusal stands.

use sip_digest::{Challenge as Digest, Login, answer, answerable};

use crate::engine::derive;
use crate::engine::effect::{Header, SendRequest};
use crate::engine::event::ResponseReceived;
use crate::engine::leg::Challenge;
use crate::engine::signal::LegIndex;
use crate::engine::work::Work;

/// How many realms a leg remembers.
const MAX_REALMS: usize = 8;

impl Work<'_> {
    /// Credentials for a request, for every realm that has challenged the leg.
    pub fn credentials(&mut self, leg: LegIndex, request: &SendRequest) -> Vec<Header> {
        let context = self.context;
        let effect = self.call.last_effect + 1;
        let cnonce = derive::cnonce(&self.call, effect);
        let body = request.body.as_ref().map(|body| body.content.as_slice()).unwrap_or_default();
        let mut headers = Vec::new();
        for challenge in &mut self.call.legs[leg].challenges {
            let known = context.credentials.iter().find(|known| known.realm == challenge.realm);
            let (Some(known), Some(digest)) = (known, Digest::parse(challenge.value.as_bytes())) else {
                continue;
            };
            challenge.uses += 1;
            let login = Login { user: &known.username, password: &known.password };
            let given =
                answer(&digest, login, &request.method, &request.request_uri, body, &cnonce, challenge.uses);
            let name = if challenge.proxy { "Proxy-Authorization" } else { "Authorization" };
            headers.push(Header::new(name, String::from_utf8_lossy(&given.to_bytes())));
        }
        headers
    }

    /// Remembers the challenges of a 401 or 407. The marks of the next attempt, or `None` when there must not be one.
    pub fn learn_challenge(
        &mut self,
        leg: LegIndex,
        marks: &[u32],
        response: &ResponseReceived,
    ) -> Option<Vec<u32>> {
        let context = self.context;
        let proxy = response.status == 407;
        let mut marks = marks.to_vec();
        let known = &mut self.call.legs[leg].challenges;
        for digest in answerable(response.challenges.iter().map(String::as_bytes)) {
            let realm = String::from_utf8_lossy(&digest.realm).into_owned();
            if !context.credentials.iter().any(|credential| credential.realm == realm) {
                continue;
            }
            let at = known.iter().position(|old| old.realm == realm && old.proxy == proxy);
            let at = match at {
                Some(at) => at,
                None if known.len() < MAX_REALMS => {
                    known.push(Challenge { realm, proxy, ..Challenge::default() });
                    known.len() - 1
                }
                None => return None,
            };
            let mark = response.status + 1_000 * (1 + at as u32) + if digest.stale { 100_000 } else { 0 };
            if marks.contains(&mark) {
                return None; // UAC-13
            }
            marks.push(mark);
            known[at].value = String::from_utf8_lossy(&digest.to_bytes()).into_owned();
            known[at].uses = 0;
        }
        let has_answer = marks.last().is_some_and(|mark| mark % 1_000 == response.status);
        has_answer.then_some(marks)
    }
}
