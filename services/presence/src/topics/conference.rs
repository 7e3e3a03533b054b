//! `conference`: who is in a conference (RFC 4575).

use bytes::Bytes;
use cluster_api::presence::v1::{
    ConferenceEndpoint, ConferenceMedia, ConferenceState, ConferenceUser,
    conference_endpoint::{Joining, Status},
    conference_media::Direction,
    tell_conference_request::Change,
};
use prost::Message as _;
use sip_body::conference_info::{CONTENT_TYPE, ConferenceInfo, Endpoint, User, Whole};
use store::StoreError;
use store_rpc::read_record;

use super::fingerprint;
use crate::engine::{Access, Asking, Document, Topic};
use crate::intake::user_aor;

/// What call-control said last of a conference.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Conference {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// The version of what was said.
    #[prost(uint64, tag = "2")]
    version: u64,
    /// Its state; `None` when it is over, or was never heard of.
    #[prost(message, optional, tag = "3")]
    pub state: Option<ConferenceState>,
}

const SCHEMA: u32 = 1;

/// What became of something that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is known, or something later is.
    Old,
    /// It is new: the conference goes on.
    State,
    /// It is new: the conference is over.
    End,
}

impl Conference {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Option<&Bytes>) -> Result<Conference, StoreError> {
        let Some(value) = value else { return Ok(Conference::default()) };
        read_record(value.clone(), SCHEMA, "a conference", |read: &Conference| read.schema)
    }

    /// The record.
    pub fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Whether anything was ever told of it.
    pub fn is_heard_of(&self) -> bool {
        self.version > 0
    }

    /// Takes what was told.
    pub fn tell(&mut self, version: u64, change: Change) -> Told {
        if version <= self.version {
            return Told::Old;
        }
        (self.schema, self.version) = (SCHEMA, version);
        match change {
            Change::State(state) => {
                self.state = Some(state);
                Told::State
            }
            Change::Ended(_) => {
                self.state = None;
                Told::End
            }
        }
    }
}

/// A conference, as those see it who are in it.
pub struct Roster {
    /// URI of the conference.
    pub uri: String,
    /// What is known of it.
    pub conference: Conference,
}

/// What a subscription was told.
#[derive(Clone, PartialEq, prost::Message)]
struct Known {
    #[prost(bytes = "vec", tag = "1")]
    whole: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    users: Vec<KnownUser>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KnownUser {
    #[prost(string, tag = "1")]
    entity: String,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

impl Topic for Roster {
    /// Its users, and whom the focus names beside them. RFC 4575 3.6
    fn access(&self, watcher: &str) -> Access {
        let Some(state) = &self.conference.state else { return Access::Refused };
        let mut named =
            state.users.iter().map(|user| &user.entity).chain(&state.viewers).filter_map(|uri| user_aor(uri));
        if named.any(|aor| aor == watcher) { Access::Granted } else { Access::Refused }
    }

    fn is_there(&self) -> bool {
        self.conference.state.is_some()
    }

    fn document(&self, asking: &Asking<'_>) -> Document {
        let none = ConferenceState::default();
        let state = self.conference.state.as_ref().unwrap_or(&none);
        let user = |user: &ConferenceUser| KnownUser {
            entity: user.entity.clone(),
            content: fingerprint(&user.encode_to_vec())[..8].to_vec(),
        };
        let whole = ConferenceState { users: Vec::new(), viewers: Vec::new(), ..state.clone() };
        // The number of users is said with the whole.
        let mut content = whole.encode_to_vec();
        content.extend_from_slice(&count(state).to_be_bytes());
        let now = Known {
            whole: fingerprint(&content)[..8].to_vec(),
            users: state.users.iter().map(user).collect(),
        };
        let before = asking.told.and_then(|told| Known::decode(told).ok());
        let known = |entity: &str| before.iter().flat_map(|b| &b.users).find(|known| known.entity == entity);
        let is_new = |(_, now): &(&ConferenceUser, &KnownUser)| {
            known(&now.entity).is_none_or(|known| known.content != now.content)
        };
        let changed = state.users.iter().zip(&now.users).filter(is_new).map(|(user, _)| show(user));
        let is_left = |known: &&KnownUser| !now.users.iter().any(|now| now.entity == known.entity);
        let is_whole_new = before.as_ref().is_none_or(|before| before.whole != now.whole);
        let info = ConferenceInfo {
            version: asking.version,
            is_full: before.is_none(),
            entity: &self.uri,
            whole: is_whole_new.then(|| Whole {
                display_text: &state.display_text,
                subject: &state.subject,
                most_users: state.maximum_user_count,
                user_count: count(state),
                is_active: state.active,
                is_locked: state.locked,
            }),
            users: changed.collect(),
            gone: before.iter().flat_map(|b| &b.users).filter(is_left).map(|k| k.entity.as_str()).collect(),
        };
        Document {
            content_type: CONTENT_TYPE.to_owned(),
            body: info.to_xml().into_bytes(),
            told: now.encode_to_vec(),
        }
    }
}

/// Users that are in it: who was only asked to come in is not. RFC 4575 5.5.1
fn count(state: &ConferenceState) -> usize {
    let is_in = |endpoint: &ConferenceEndpoint| {
        matches!(endpoint.status(), Status::Connected | Status::OnHold | Status::MutedViaFocus)
    };
    state.users.iter().filter(|user| user.endpoints.iter().any(is_in)).count()
}

fn show(user: &ConferenceUser) -> User<'_> {
    User {
        entity: &user.entity,
        display_text: &user.display_text,
        roles: user.roles.iter().map(String::as_str).collect(),
        endpoints: user.endpoints.iter().map(endpoint).collect(),
    }
}

fn endpoint(endpoint: &ConferenceEndpoint) -> Endpoint<'_> {
    let call_id = endpoint.sip_call_id.as_str();
    Endpoint {
        entity: &endpoint.entity,
        display_text: &endpoint.display_text,
        status: match endpoint.status() {
            Status::Unspecified => "",
            Status::Pending => "pending",
            Status::DialingOut => "dialing-out",
            Status::DialingIn => "dialing-in",
            Status::Alerting => "alerting",
            Status::OnHold => "on-hold",
            Status::Connected => "connected",
            Status::MutedViaFocus => "muted-via-focus",
            Status::Disconnecting => "disconnecting",
            Status::Disconnected => "disconnected",
        },
        joining: match endpoint.joining() {
            Joining::Unspecified => "",
            Joining::DialedIn => "dialed-in",
            Joining::DialedOut => "dialed-out",
            Joining::FocusOwner => "focus-owner",
        },
        joined: endpoint.join_time.as_ref().map(ToString::to_string).unwrap_or_default(),
        dialog: (!call_id.is_empty()).then_some((
            call_id,
            endpoint.from_tag.as_str(),
            endpoint.to_tag.as_str(),
        )),
        media: endpoint.media.iter().map(media).collect(),
    }
}

fn media(media: &ConferenceMedia) -> (&str, &str, &str) {
    let direction = match media.direction() {
        Direction::Unspecified => "",
        Direction::Sendrecv => "sendrecv",
        Direction::Sendonly => "sendonly",
        Direction::Recvonly => "recvonly",
        Direction::Inactive => "inactive",
    };
    (&media.id, &media.r#type, direction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Standing;

    fn user(name: &str, status: Status) -> ConferenceUser {
        let entity = format!("sip:{name}@phone");
        let desk = ConferenceEndpoint { entity, status: status.into(), ..ConferenceEndpoint::default() };
        ConferenceUser { entity: format!("sip:{name}@d"), endpoints: vec![desk], ..ConferenceUser::default() }
    }

    fn roster(users: Vec<ConferenceUser>) -> Roster {
        let state = ConferenceState {
            active: true,
            users,
            viewers: vec!["sip:owner@d".to_owned()],
            ..ConferenceState::default()
        };
        let conference = Conference { state: Some(state), ..Conference::default() };
        Roster { uri: "sip:conf@d".to_owned(), conference }
    }

    fn document(roster: &Roster, version: u32, told: Option<&[u8]>) -> (String, Vec<u8>) {
        let asking = Asking { watcher: "sip:a@d", standing: Standing::Active, version, filter: None, told };
        let document = roster.document(&asking);
        (String::from_utf8(document.body).unwrap(), document.told)
    }

    /// PKG-05: who joins, moves and leaves is told by itself, with the number of users where that changed.
    #[test]
    fn joins_and_leaves_are_told_by_themselves() {
        let one = roster(vec![user("a", Status::Connected), user("b", Status::Alerting)]);
        let (text, told) = document(&one, 0, None);
        assert!(text.contains("state=\"full\" version=\"0\"") && text.contains("<user-count>1<"), "{text}");
        assert_eq!(document(&one, 1, Some(&told)).1, told);
        let two = roster(vec![user("a", Status::Connected), user("b", Status::Connected)]);
        let (text, told) = document(&two, 1, Some(&told));
        assert!(
            text.contains("state=\"partial\" version=\"1\"") && text.contains("<user-count>2<"),
            "{text}"
        );
        assert!(text.contains("entity=\"sip:b@d\" state=\"full\"") && !text.contains("sip:a@d"), "{text}");
        let three = roster(vec![user("b", Status::Connected)]);
        let (text, _) = document(&three, 2, Some(&told));
        assert!(text.contains("<user entity=\"sip:a@d\" state=\"deleted\"/>"), "{text}");
        assert!(!text.contains("sip:b@phone"), "{text}");
    }

    /// PKG-05: open to members, and to nobody else.
    #[test]
    fn members_and_named_viewers_see_the_roster() {
        let roster = roster(vec![user("a", Status::Connected)]);
        assert_eq!(roster.access("sip:a@d"), Access::Granted);
        assert_eq!(roster.access("sip:owner@d"), Access::Granted);
        assert_eq!(roster.access("sip:stranger@d"), Access::Refused);
    }

    /// PKG-05: what comes late brings nothing back.
    #[test]
    fn what_comes_late_or_twice_changes_nothing() {
        let mut conference = Conference::default();
        assert_eq!(conference.tell(2, Change::State(ConferenceState::default())), Told::State);
        assert_eq!(conference.tell(2, Change::State(ConferenceState::default())), Told::Old);
        assert_eq!(conference.tell(3, Change::Ended(Default::default())), Told::End);
        assert_eq!(conference.tell(1, Change::State(ConferenceState::default())), Told::Old);
        assert_eq!(conference.state, None);
    }
}
