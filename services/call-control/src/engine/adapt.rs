//! Refusals that another attempt can heal (RFC 3261 8.1.3.4, 8.1.3.5). Each attempt has the same Call-ID and tags, CSeq + 1 and a
//! new branch; each cause is tried once, so nothing loops (UAC-13).
//!
//! | status            | next attempt                                                                        |
//! |-------------------|-------------------------------------------------------------------------------------|
//! | 401, 407          | with credentials for the realm, once more when the nonce was stale (AUT-13)         |
//! | any, to a number that is lent | to who has it, by its own name (ALC-10)                                 |
//! | 300, 301, 302, 380 | to the Contacts by q that may be followed, each URI once, as many as the policy allows (UAC-12, `redirects`) |
//! | 305               | through the Contact as proxy, if it may be followed                                 |
//! | 416               | tel as sip; never from sips to sip (UAC-05)                                         |
//! | 420               | without the extensions named in Unsupported (LAD-4 a)                               |
//! | 422               | with the interval of Min-SE (TMR-01)                                                |
//! | any but 6xx       | to the next Contact of an earlier redirection                                       |

use crate::engine::effect::Header;
use crate::engine::event::ResponseReceived;
use crate::engine::leg::{Invite, InvitePhase, Pending};
use crate::engine::session_timer::min_se;
use crate::engine::signal::LegIndex;
use crate::engine::work::Work;

impl Work<'_> {
    /// Tries the initial INVITE again when the refusal can be healed.
    pub fn adapt_invite(&mut self, leg: LegIndex, response: &ResponseReceived) -> bool {
        let Some(invite) = self.leg(leg).invite.clone() else { return false };
        let next = match response.status {
            _ if !response.callee.is_empty() => self.without_number(leg, &invite, &response.callee),
            401 | 407 => self.with_credentials(leg, &invite, response),
            300..=399 => self.redirected(leg, &invite, response),
            416 => self.with_sip_uri(&invite),
            420 => without_extensions(&invite, response),
            422 => with_longer_session(&invite, response),
            _ => None,
        };
        let next = next.or_else(|| if response.status < 600 { next_target(&invite) } else { None });
        let Some(next) = next else { return false };
        self.try_again(leg, next);
        true
    }

    /// Tries the next target of those that are left.
    pub fn try_next_target(&mut self, leg: LegIndex) -> bool {
        let Some(next) = self.leg(leg).invite.as_ref().and_then(next_target) else { return false };
        self.try_again(leg, next);
        true
    }

    fn try_again(&mut self, leg: LegIndex, next: Invite) {
        let on = self.leg_mut(leg);
        on.dialogs.clear();
        on.pending.clear();
        on.remote_tag.clear();
        on.invite = Some(Invite { phase: InvitePhase::Calling.into(), ..next });
        self.send_invite(leg);
        self.mixer_is_asked(leg);
    }

    /// Sends a request inside a dialog again, with credentials.
    pub fn adapt_request(&mut self, leg: LegIndex, request: &Pending, response: &ResponseReceived) -> bool {
        let Some(adapted) = self.learn_challenge(leg, &request.adapted, response) else { return false };
        self.send_pending(leg, Pending { adapted, ..request.clone() });
        true
    }

    fn without_number(&mut self, leg: LegIndex, invite: &Invite, callee: &str) -> Option<Invite> {
        let on = self.leg_mut(leg);
        if !on.called_as.is_empty() {
            return None; // a number that leads to a number
        }
        on.called_as = callee.to_owned();
        Some(Invite { target: callee.to_owned(), ..invite.clone() })
    }

    fn with_credentials(
        &mut self,
        leg: LegIndex,
        invite: &Invite,
        response: &ResponseReceived,
    ) -> Option<Invite> {
        let adapted = self.learn_challenge(leg, &invite.adapted, response)?;
        Some(Invite { adapted, ..invite.clone() })
    }

    fn redirected(&self, leg: LegIndex, invite: &Invite, response: &ResponseReceived) -> Option<Invite> {
        let mut next = invite.clone();
        let room =
            (self.call.policy.max_redirects as usize).saturating_sub(next.tried.len() + next.targets.len());
        let mut found: Vec<(u32, String)> =
            response.contacts.iter().filter_map(|value| contact(value)).collect();
        found.retain(|(_, uri)| self.context.redirects.allow(uri) || self.is_led_by_factory(leg, uri));
        found.sort_by_key(|(q, _)| std::cmp::Reverse(*q)); // stable: the order of the header breaks ties
        if response.status == 305 {
            let proxy = found.into_iter().next().filter(|_| room > 0)?.1;
            if invite.via.contains(&proxy) {
                return None;
            }
            return Some(Invite { via: format!("<{proxy}>"), ..next });
        }
        let is_secure = invite.target.starts_with("sips:");
        let is_new = |uri: &String| {
            *uri != invite.target
                && !invite.tried.contains(uri)
                && !invite.targets.contains(uri)
                && (!is_secure || uri.starts_with("sips:"))
        };
        let mut fresh: Vec<String> = Vec::new();
        for (_, uri) in found {
            if is_new(&uri) && !fresh.contains(&uri) {
                fresh.push(uri);
            }
        }
        fresh.truncate(room);
        next.targets.splice(0..0, fresh);
        next_target(&next)
    }

    fn with_sip_uri(&self, invite: &Invite) -> Option<Invite> {
        let number = invite.target.strip_prefix("tel:").filter(|_| !invite.adapted.contains(&416))?;
        let mut next = invite.clone();
        next.adapted.push(416);
        next.target = format!("sip:{number}@{};user=phone", self.call.policy.host);
        Some(next)
    }
}

/// The attempt at the next target of a redirection.
fn next_target(invite: &Invite) -> Option<Invite> {
    let mut next = invite.clone();
    if next.targets.is_empty() {
        return None;
    }
    let target = next.targets.remove(0);
    next.tried.push(std::mem::replace(&mut next.target, target));
    next.adapted.clear();
    Some(next)
}

/// The attempt without the extensions that the peer does not know.
fn without_extensions(invite: &Invite, response: &ResponseReceived) -> Option<Invite> {
    if invite.adapted.contains(&420) {
        return None;
    }
    let unknown: Vec<&str> = response
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("Unsupported"))
        .flat_map(|header| header.value.split(',').map(str::trim))
        .collect();
    let mut next = invite.clone();
    next.adapted.push(420);
    for header in &mut next.headers {
        if ["Supported", "Require"].iter().any(|name| header.name.eq_ignore_ascii_case(name)) {
            let is_kept =
                |tag: &&str| !unknown.is_empty() && !unknown.iter().any(|no| no.eq_ignore_ascii_case(tag));
            let kept: Vec<&str> = header.value.split(',').map(str::trim).filter(is_kept).collect();
            *header = Header::new(&header.name, kept.join(", "));
        }
    }
    next.headers.retain(|header| !header.value.is_empty() || header.name.eq_ignore_ascii_case("Supported"));
    Some(next)
}

/// The attempt with the session interval that the peer asks for (RFC 4028 7.3).
fn with_longer_session(invite: &Invite, response: &ResponseReceived) -> Option<Invite> {
    let seconds = min_se(response)?;
    if invite.adapted.contains(&422) {
        return None;
    }
    let mut next = invite.clone();
    next.adapted.push(422);
    next.headers.retain(|header| {
        !["Session-Expires", "Min-SE"].iter().any(|name| header.name.eq_ignore_ascii_case(name))
    });
    next.headers.push(Header::new("Session-Expires", seconds.to_string()));
    next.headers.push(Header::new("Min-SE", seconds.to_string()));
    Some(next)
}

/// URI and q (in thousandths) of a Contact value.
fn contact(value: &str) -> Option<(u32, String)> {
    let address = sip_message::NameAddr::parse(value.as_bytes()).ok()?;
    // What a URI would put into the INVITE is not for who redirects to say. RFC 3261 19.1.5
    let uri = sip_message::Uri::parse(address.uri).map_or(address.uri, |uri| uri.without_headers());
    let uri = std::str::from_utf8(uri).ok()?;
    if !["sip:", "sips:", "tel:"].iter().any(|scheme| uri.to_ascii_lowercase().starts_with(scheme)) {
        return None;
    }
    let q = address.param("q").and_then(|q| q.parse::<f64>().ok()).unwrap_or(1.0);
    Some(((q.clamp(0.0, 1.0) * 1000.0) as u32, uri.to_owned()))
}
