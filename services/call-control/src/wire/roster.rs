//! The roster of a conference on its way to presence.

use cluster_api::presence::v1 as presence;
use cluster_api::presence::v1::conference_endpoint::{Joining, Status};
use cluster_api::presence::v1::tell_conference_request::Change;

use super::timestamp;
use crate::engine::effect::{Roster, RosterEntry};

/// Endpoints of one user that presence takes.
const MAX_ENDPOINTS: usize = 16;

/// The request that tells it.
pub fn tell_conference(roster: &Roster) -> presence::TellConferenceRequest {
    let change = match roster.is_over {
        true => Change::Ended(presence::ConferenceEnded {}),
        false => Change::State(state(&roster.entries)),
    };
    presence::TellConferenceRequest {
        conference_uri: roster.uri.clone(),
        version: roster.version,
        change: Some(change),
    }
}

fn state(entries: &[RosterEntry]) -> presence::ConferenceState {
    let mut users: Vec<presence::ConferenceUser> = Vec::new();
    for entry in entries {
        let entity = address(&entry.uri);
        let known = users.iter().position(|user| user.entity == entity);
        // The same user with two phones is one user with two devices (RFC 4575 5.6)
        let at = known.unwrap_or_else(|| {
            users.push(presence::ConferenceUser {
                entity,
                display_text: entry.display_name.clone(),
                roles: vec!["participant".to_owned()],
                ..presence::ConferenceUser::default()
            });
            users.len() - 1
        });
        if users[at].endpoints.len() < MAX_ENDPOINTS {
            users[at].endpoints.push(endpoint(entry));
        }
    }
    presence::ConferenceState {
        active: entries.iter().any(|entry| entry.is_in),
        users,
        ..presence::ConferenceState::default()
    }
}

fn endpoint(entry: &RosterEntry) -> presence::ConferenceEndpoint {
    let status = match (entry.is_in, entry.has_called) {
        (true, _) if entry.is_held => Status::OnHold,
        (true, _) => Status::Connected,
        (false, true) => Status::DialingIn,
        (false, false) if entry.is_ringing => Status::Alerting,
        (false, false) => Status::DialingOut,
    };
    let joining = if entry.has_called { Joining::DialedIn } else { Joining::DialedOut };
    // In the dialog's From and To: whoever began it is the first of them
    let (from_tag, to_tag) = match entry.has_called {
        true => (&entry.remote_tag, &entry.local_tag),
        false => (&entry.local_tag, &entry.remote_tag),
    };
    presence::ConferenceEndpoint {
        // Unique among the devices of its user, also before its Contact is known
        entity: if entry.endpoint.is_empty() { entry.sip_call_id.clone() } else { entry.endpoint.clone() },
        status: status.into(),
        joining: joining.into(),
        join_time: timestamp(entry.joined_ms),
        sip_call_id: entry.sip_call_id.clone(),
        from_tag: from_tag.clone(),
        to_tag: to_tag.clone(),
        ..presence::ConferenceEndpoint::default()
    }
}

fn address(uri: &str) -> String {
    sip_message::Uri::parse(uri.as_bytes()).ok().and_then(|uri| uri.aor()).unwrap_or_else(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uri: &str, call_id: &str) -> RosterEntry {
        RosterEntry { uri: uri.into(), sip_call_id: call_id.into(), ..RosterEntry::default() }
    }

    fn told(entries: Vec<RosterEntry>) -> presence::ConferenceState {
        let roster = Roster { uri: "sip:conf-1@d".into(), version: 3, entries, is_over: false };
        match tell_conference(&roster).change.expect("a change") {
            Change::State(state) => state,
            Change::Ended(_) => panic!("it goes on"),
        }
    }

    /// PKG-05: users with their devices, each with how far it is.
    #[test]
    fn two_phones_of_one_user_are_one_user() {
        let here = RosterEntry { is_in: true, joined_ms: 5, ..entry("sip:alice@d;x=1", "1") };
        let state = told(vec![here, entry("sip:alice@d", "2"), entry("sip:bob@d", "3")]);
        assert!(state.active);
        let users: Vec<_> =
            state.users.iter().map(|user| (user.entity.as_str(), user.endpoints.len())).collect();
        assert_eq!(users, [("sip:alice@d", 2), ("sip:bob@d", 1)]);
        assert_eq!(state.users[0].endpoints[0].status(), Status::Connected);
        assert_eq!(state.users[1].endpoints[0].status(), Status::DialingOut);
    }

    #[test]
    fn a_conference_that_is_over_is_told_as_such() {
        let roster = Roster { uri: "sip:conf-1@d".into(), version: 4, is_over: true, ..Roster::default() };
        let told = tell_conference(&roster);
        assert_eq!((told.version, told.change), (4, Some(Change::Ended(presence::ConferenceEnded {}))));
    }
}
