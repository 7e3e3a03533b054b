//! Session timers of the legs (RFC 4028): whoever is the refresher, a leg whose peer is gone ends.
//!
//! | in a 2xx of the peer, or a request of it | refresher | what happens                                                   |
//! |------------------------------------------|-----------|----------------------------------------------------------------|
//! | Session-Expires: n;refresher=…           | Carillon  | after n/2: UPDATE without SDP, else re-INVITE with the last SDP; after n without success: BYE |
//! | Session-Expires: n;refresher=…           | peer      | no refresh until n - min(32, n/3): BYE (TMR-03)                |
//! | none                                     | -         | no timer                                                       |
//!
//! | answer to a refresh         | what happens                                                                                |
//! |-----------------------------|---------------------------------------------------------------------------------------------|
//! | 2xx                         | as above                                                                                    |
//! | 408, 481, silence           | the call ends, as after any request (RFC 4028 10)                                           |
//! | 491                         | again after 2.1 to 4.0 s, on a leg whose peer called after 0 to 2 s (RFC 3261 14.1)          |
//! | other, with Retry-After     | again then                                                                                  |
//! | other, or no way to send it | again after half of what is left, so that the same refusal is not provoked all the time     |
//! | 422                         | the same, with the interval of Min-SE                                                       |
//! | 405, 501 to UPDATE          | at once by re-INVITE: the phone does not do what its Allow says (RFC 3311 5.1)                |
//!
//! What would be repeated too late is not: by then the session is over.

use std::time::Duration;

use sip_message::{Refresher, SessionExpires};

use crate::engine::call::TimerKind;
use crate::engine::effect::{Body, Header};
use crate::engine::event::{RequestReceived, ResponseReceived};
use crate::engine::leg::{Pending, Purpose};
use crate::engine::outcome::Cause;
use crate::engine::send::{ALLOW, Ask};
use crate::engine::signal::{LegIndex, Reply};
use crate::engine::work::Work;

/// The least interval (RFC 4028 5).
const FLOOR_S: u32 = 90;
/// A refused refresh is not repeated before this time, the longest that RFC 3311 5.2 names for a refused offer.
const LEAST_WAIT: Duration = Duration::from_secs(10);

/// Our part in the transaction that set the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We sent the request.
    Client,
    /// The peer did.
    Server,
}

impl Work<'_> {
    /// Takes over the session interval that a message of the peer sets.
    pub fn note_session(&mut self, leg: LegIndex, tag: &str, headers: &[Header], role: Role) {
        if tag != self.leg(leg).remote_tag && !self.leg(leg).remote_tag.is_empty() {
            return;
        }
        self.stop_timer(TimerKind::Refresh, leg);
        self.stop_timer(TimerKind::Expiry, leg);
        let Some(SessionExpires { seconds, refresher }) = session_expires(headers) else { return };
        let interval = seconds.max(FLOOR_S);
        let Some(dialog) = self.leg_mut(leg).dialog_mut(tag) else { return };
        dialog.session_interval = interval;
        // RFC 4028 9: without a word about it, the side that sent the request refreshes
        let is_ours = match role {
            Role::Client => refresher.is_none_or(|refresher| refresher == Refresher::Uac),
            Role::Server => refresher == Some(Refresher::Uas),
        };
        if is_ours {
            self.start_timer(TimerKind::Refresh, leg, Duration::from_secs(u64::from(interval / 2)));
            self.start_timer(TimerKind::Expiry, leg, Duration::from_secs(u64::from(interval)));
        } else {
            let margin = (interval / 3).min(32);
            self.start_timer(TimerKind::Expiry, leg, Duration::from_secs(u64::from(interval - margin)));
        }
    }

    /// Headers of a 2xx to INVITE or UPDATE of the peer.
    pub fn answer_headers(&self, leg: LegIndex, tag: &str) -> Vec<Header> {
        let mut headers = vec![Header::new("Allow", ALLOW)];
        headers.push(Header::new("Allow-Events", self.allow_events(leg)));
        let interval = self.leg(leg).dialog(tag).map_or(0, |dialog| dialog.session_interval);
        if interval > 0 && self.has_timer(TimerKind::Refresh, leg) {
            headers.push(expires_in(interval, Refresher::Uas));
        } else if interval > 0 && self.has_timer(TimerKind::Expiry, leg) {
            headers.push(expires_in(interval, Refresher::Uac));
            headers.push(Header::new("Require", "timer"));
        }
        headers
    }

    /// Headers of a re-INVITE or UPDATE of ours: without them it would end the timer of a session that has one, and with them it
    /// refreshes the session, whatever else it is for (RFC 4028 7.4).
    pub fn timer_headers(&self, leg: LegIndex, tag: &str, purpose: Purpose) -> Vec<Header> {
        let on = self.leg(leg);
        let Some(dialog) = on.dialog(tag).filter(|_| tag == on.remote_tag) else { return Vec::new() };
        if !self.has_timer(TimerKind::Expiry, leg) {
            return Vec::new();
        }
        let is_ours = purpose == Purpose::Refresh || self.has_timer(TimerKind::Refresh, leg);
        let refresher = if is_ours { Refresher::Uac } else { Refresher::Uas };
        let mut headers = vec![expires_in(dialog.session_interval.max(dialog.min_se), refresher)];
        if dialog.min_se > 0 {
            headers.push(Header::new("Min-SE", dialog.min_se.to_string()));
        }
        headers
    }

    /// It is time to refresh the leg's session.
    pub fn refresh_session(&mut self, leg: LegIndex) {
        let on = self.leg(leg);
        if !on.is_up() {
            return;
        }
        if on.is_busy(&on.remote_tag) || on.retry.is_some() {
            return self.start_timer(TimerKind::Refresh, leg, Duration::from_secs(5));
        }
        if !self.allows(leg, "UPDATE", false) {
            return self.invite_to_refresh(leg);
        }
        let headers = self.session_headers();
        self.ask(leg, Ask { method: "UPDATE", headers, purpose: Purpose::Refresh, ..Ask::default() });
    }

    fn invite_to_refresh(&mut self, leg: LegIndex) {
        let headers = self.session_headers();
        // TMR-02: the same text, and so the same version
        let said = self.leg(leg).chosen().and_then(|dialog| dialog.history.as_ref());
        let body = said.map(|history| Body::sdp(history.sent.clone()));
        self.ask(leg, Ask { method: "INVITE", headers, body, purpose: Purpose::Refresh, ..Ask::default() });
    }

    /// A phone that lists UPDATE in Allow and refuses the method is refreshed by re-INVITE, and is not sent UPDATE again unless it
    /// lists it anew.
    pub fn refresh_by_invite(&mut self, leg: LegIndex, request: &Pending, reply: &Reply) -> bool {
        let on = self.leg_mut(leg);
        let is_leg = request.request.to_tag == on.remote_tag && on.is_up();
        let is_refresh = request.purpose() == Purpose::Refresh && request.request.method == "UPDATE";
        if !is_leg || !is_refresh || !matches!(reply.status, 405 | 501) {
            return false;
        }
        if let Some(dialog) = on.dialog_mut(&request.request.to_tag) {
            dialog.allow.retain(|method| !method.eq_ignore_ascii_case("UPDATE"));
        }
        self.invite_to_refresh(leg);
        true
    }

    /// The peer refused a refresh, or there was no way to ask for it.
    pub fn refresh_refused(&mut self, leg: LegIndex, reply: &Reply) {
        let tag = self.leg(leg).remote_tag.clone();
        if let (Some(least), Some(dialog)) = (reply.min_se, self.leg_mut(leg).dialog_mut(&tag)) {
            dialog.min_se = dialog.min_se.max(least);
        }
        let Some(left) = self.time_left(TimerKind::Expiry, leg) else { return };
        let wait = match (reply.status, reply.retry_after) {
            (491, _) => self.glare_wait(leg),
            (_, Some(after)) => Duration::from_secs(u64::from(after)).max(LEAST_WAIT),
            _ => (left / 2).max(LEAST_WAIT),
        };
        self.start_timer(TimerKind::Refresh, leg, wait);
    }

    /// The session was not refreshed in time, by the peer or by us.
    pub fn session_expired(&mut self, leg: LegIndex) {
        let leg_id = self.leg(leg).leg_id.clone();
        self.lose_party(leg, Cause { leg: leg_id, ..Cause::failed(408, "Session expired") });
    }
}

/// What the Session-Expires of a message says; one that cannot be read sets no timer.
fn session_expires(headers: &[Header]) -> Option<SessionExpires> {
    let named =
        |header: &&Header| ["Session-Expires", "x"].iter().any(|name| header.name.eq_ignore_ascii_case(name));
    SessionExpires::parse(headers.iter().find(named)?.value.as_bytes()).ok()
}

/// What a 422 says when a request asks for too short a session and its sender knows how to take that. RFC 4028 9
pub fn too_short(request: &RequestReceived) -> Option<Header> {
    least_interval(&request.headers, &request.supported)
}

/// The same for any request.
pub fn least_interval(headers: &[Header], supported: &[String]) -> Option<Header> {
    let knows = supported.iter().any(|tag| tag.eq_ignore_ascii_case("timer"));
    let asked = session_expires(headers).filter(|asked| knows && asked.seconds < FLOOR_S);
    asked.map(|_| Header::new("Min-SE", FLOOR_S.to_string()))
}

/// Session-Expires of the 2xx to a caller's INVITE (RFC 4028 9): what it asks for, else what Carillon wishes. A caller that does not know
/// session timers is never the refresher. Empty for none.
pub fn session_for_caller(headers: &[Header], knows: bool, wish_s: u32) -> String {
    let least = headers.iter().find(|header| header.name.eq_ignore_ascii_case("Min-SE"));
    let least = least.and_then(|least| SessionExpires::parse(least.value.as_bytes()).ok());
    let floor = least.map_or(FLOOR_S, |least| least.seconds.max(FLOOR_S));
    let (seconds, asked) = match session_expires(headers) {
        Some(SessionExpires { seconds, refresher }) => (seconds.max(FLOOR_S), refresher),
        None if wish_s == 0 => return String::new(),
        None => (wish_s.max(floor), Some(Refresher::Uas)),
    };
    let refresher = if knows { asked.unwrap_or(Refresher::Uac) } else { Refresher::Uas };
    SessionExpires { seconds, refresher: Some(refresher) }.to_string()
}

/// The least interval that a 422 names.
pub fn min_se(response: &ResponseReceived) -> Option<u32> {
    let least = response.headers.iter().filter(|_| response.status == 422);
    let least = least.into_iter().find(|header| header.name.eq_ignore_ascii_case("Min-SE"))?;
    // Min-SE has the form of Session-Expires (RFC 4028 5).
    Some(SessionExpires::parse(least.value.as_bytes()).ok()?.seconds)
}

/// The header that says how long the session lives and who refreshes it.
fn expires_in(seconds: u32, refresher: Refresher) -> Header {
    Header::new("Session-Expires", SessionExpires { seconds, refresher: Some(refresher) }.to_string())
}
