//! Requests that presence answers for the users of our domains, and whose word their senders are taken at.
//!
//! Who watches, publishes or leaves a message in the name of a user of ours gets what is that user's, so it is proved wherever it comes
//! from: the trust that a neighbour or a trunk has is for calls, whose From nothing hangs on.
//!
//! | From | from a trusted neighbour or a trunk |
//! |---|---|
//! | of a domain of ours whose users prove who they are | challenged; a MESSAGE only in the name of an account that there is |
//! | of another domain | taken at its word: policies name it, or do not |

use cluster_api::registrar::v1::{HandToPresence, RouteRequest, route_response::Plan};
use sip_message::Uri;

use crate::{
    Shared, aors::ChangeError, config::Auth, domains::user_aor, record::AorRecord, routing::CONFERENCE,
};

/// Packages whose notifier is the phone that is called. All others are for the presence service, which refuses what it does not
/// carry (RFC 6665 4.2.1.1: a SUBSCRIBE finds somebody who says 489).
const PHONE_PACKAGES: [&str; 5] = ["refer", "conference", "kpml", "call-completion", "vq-rtcpxr"];

impl Shared {
    /// Whether a request would have presence act for the user of ours whom its From names, who has to prove it then.
    pub(crate) async fn acts_as_user(
        &self,
        request: &RouteRequest,
        from: &Uri<'_>,
        target: &Uri<'_>,
    ) -> Result<bool, ChangeError> {
        let is_message = request.method == "MESSAGE" && !request.in_dialog;
        if !is_message && !is_roster_asked(request) && !self.is_answered_here(request, target) {
            return Ok(false);
        }
        let proves = self.domains.of(from).is_some_and(|domain| domain.auth == Auth::Digest);
        let (true, Some(aor)) = (proves && self.domains.called(target).is_some(), user_aor(from)) else {
            return Ok(false);
        };
        // A gateway for short messages writes our domain behind numbers that are nobody's here.
        let is_account = |record: &AorRecord| record.account.is_some();
        Ok(!is_message || self.aors.read(&aor, is_account).await?)
    }

    /// Whether presence is the server of a request, which is then challenged with 401. RFC 3261 22.2
    pub(crate) fn is_answered_here(&self, request: &RouteRequest, target: &Uri<'_>) -> bool {
        !request.in_dialog
            && (service_plan(request).is_some() || is_roster_of_ours(request, target))
            && !is_of_device(request, target)
            && self.domains.called(target).is_some()
    }
}

/// Whether it is about the dialogs of one device: they are that device's to tell, and so are those that Carillon itself asks for (LAD-6).
/// Those of a user are told by presence.
pub(crate) fn is_of_device(request: &RouteRequest, target: &Uri<'_>) -> bool {
    (target.has_param("gr") || request.internal) && is_about(request, "dialog")
}

/// Whether it may be for what is nobody's account, and known to presence.
pub(crate) fn is_of_presence(request: &RouteRequest) -> bool {
    is_roster_asked(request) || is_list_asked(request)
}

/// Whether somebody wants to watch a conference. RFC 4575 3.1
fn is_roster_asked(request: &RouteRequest) -> bool {
    is_about(request, "conference") && !request.in_dialog
}

/// Whether the conference is one that call-control holds, by its name; any other focus may be a phone.
fn is_roster_of_ours(request: &RouteRequest, target: &Uri<'_>) -> bool {
    is_roster_asked(request) && target.user.is_some_and(|user| user.starts_with(CONFERENCE.as_bytes()))
}

/// Whether somebody wants to watch what may be a list. RFC 4662 4.1
fn is_list_asked(request: &RouteRequest) -> bool {
    is_about(request, "presence") && !request.in_dialog && !request.internal
}

fn is_about(request: &RouteRequest, package: &str) -> bool {
    request.method == "SUBSCRIBE" && request.event.split(';').next().unwrap_or_default().trim() == package
}

/// Requests that a service of ours answers for its users.
pub(crate) fn service_plan(request: &RouteRequest) -> Option<Plan> {
    let package = request.event.split(';').next().unwrap_or_default().trim();
    match request.method.as_str() {
        "PUBLISH" => Some(Plan::Presence(HandToPresence { nobody: false })),
        // What goes on in a dialog with a phone, goes on there.
        "SUBSCRIBE" if !request.in_dialog && !PHONE_PACKAGES.contains(&package) => {
            Some(Plan::Presence(HandToPresence { nobody: false }))
        }
        _ => None,
    }
}
