//! `dialog`: the calls of somebody (RFC 4235), as far as a watcher may know of them.

mod of_call;

use bytes::Bytes;
use cluster_api::presence::v1::watcher_policy::Action;
use prost::Message as _;
use sip_body::dialog_info::{CONTENT_TYPE, Dialog as Shown, DialogInfo, Names, Party, State};
use store::StoreError;
use store_rpc::read_record;

pub use self::of_call::{dialogs_of, revision, users};
use super::{Policy, fingerprint};
use crate::engine::{Access, Asking, Document, Filter, Topic};

/// Calls of one address of record that are known at a time; further ones are not shown.
const MOST: usize = 64;
/// How long the end of a call is remembered, so that nothing late brings it back. Whoever tells of a call has read it just before.
const REMEMBERED_MS: u64 = 120_000;

/// The calls of one address of record that somebody watches.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dialogs {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// In the order in which they were heard of.
    #[prost(message, repeated, tag = "2")]
    pub calls: Vec<Known>,
    /// Whether the calls were learnt that went on when somebody began to watch.
    #[prost(bool, tag = "3")]
    pub is_learnt: bool,
}

const SCHEMA: u32 = 1;

/// One call.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Known {
    /// Its id.
    #[prost(string, tag = "1")]
    pub call_id: String,
    /// The revision of the call that was heard of last.
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    /// When it ended for this user, in milliseconds since 1970; 0 before.
    #[prost(uint64, tag = "3")]
    pub end_ms: u64,
    /// The dialogs of this user in it: one, unless users call themselves.
    #[prost(message, repeated, tag = "4")]
    pub dialogs: Vec<Dialog>,
}

impl Known {
    /// How far its dialogs are.
    fn reach(&self) -> Option<Far> {
        self.dialogs.iter().map(Dialog::far).max()
    }
}

/// One dialog, as the phone of the user has it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dialog {
    /// The same for as long as it lives.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Call-ID.
    #[prost(string, tag = "2")]
    pub sip_call_id: String,
    /// Tag of the user's phone; empty before it has one.
    #[prost(string, tag = "3")]
    pub local_tag: String,
    /// Tag of the other side; empty before it has one.
    #[prost(string, tag = "4")]
    pub remote_tag: String,
    /// Whether the user's phone sent the INVITE.
    #[prost(bool, tag = "5")]
    pub is_initiator: bool,
    /// How far it is.
    #[prost(enumeration = "Far", tag = "6")]
    pub far: i32,
    /// The user.
    #[prost(message, optional, tag = "7")]
    pub local: Option<Side>,
    /// The other side.
    #[prost(message, optional, tag = "8")]
    pub remote: Option<Side>,
}

/// One side of a dialog.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Side {
    /// URI.
    #[prost(string, tag = "1")]
    pub identity: String,
    /// Name; empty for none.
    #[prost(string, tag = "2")]
    pub display_name: String,
    /// Contact; empty when not known.
    #[prost(string, tag = "3")]
    pub target: String,
}

/// How far a dialog is (RFC 4235 3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Far {
    /// There is a request, and no answer.
    Trying = 0,
    /// A provisional answer without a tag.
    Proceeding = 1,
    /// One with a tag.
    Early = 2,
    /// Answered.
    Confirmed = 3,
    /// Over, and why is not known.
    Over = 4,
    /// Given up by its caller.
    Cancelled = 5,
    /// Refused.
    Rejected = 6,
    /// The user hung up.
    LocalBye = 7,
    /// The other side did.
    RemoteBye = 8,
    /// Nobody answered.
    TimedOut = 9,
    /// It broke.
    Failed = 10,
}

impl Far {
    /// Whether the dialog is over.
    pub fn is_over(self) -> bool {
        self >= Far::Over
    }

    fn state(self) -> State {
        match self {
            Far::Trying => State::Trying,
            Far::Proceeding => State::Proceeding,
            Far::Early => State::Early,
            Far::Confirmed => State::Confirmed,
            Far::Over => State::Terminated(None),
            Far::Cancelled => State::Terminated(Some("cancelled")),
            Far::Rejected => State::Terminated(Some("rejected")),
            Far::LocalBye => State::Terminated(Some("local-bye")),
            Far::RemoteBye => State::Terminated(Some("remote-bye")),
            Far::TimedOut => State::Terminated(Some("timeout")),
            Far::Failed => State::Terminated(Some("error")),
        }
    }
}

/// Whether a call was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It says what is known, or less.
    Old,
    /// It is new.
    New,
    /// There are as many as may be.
    Full,
}

impl Dialogs {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Option<&Bytes>) -> Result<Dialogs, StoreError> {
        let Some(value) = value else { return Ok(Dialogs::default()) };
        read_record(value.clone(), SCHEMA, "dialogs", |read: &Dialogs| read.schema)
    }

    /// The record.
    pub fn write(&self) -> Vec<u8> {
        Dialogs { schema: SCHEMA, ..self.clone() }.encode_to_vec()
    }

    /// Takes what was heard of a call: its revision, and the dialogs that the user has in it. What commits together has one
    /// revision and may be heard of step by step: then the further one counts.
    pub fn take(&mut self, call_id: &str, revision: u64, dialogs: Vec<Dialog>, now_ms: u64) -> Taken {
        let is_over = dialogs.iter().all(|dialog| dialog.far().is_over());
        let end_ms = if is_over { now_ms } else { 0 };
        let heard = Known { call_id: call_id.to_owned(), revision, end_ms, dialogs };
        match self.calls.iter_mut().find(|known| known.call_id == call_id) {
            Some(known) if (known.revision, known.reach()) >= (revision, heard.reach()) => return Taken::Old,
            Some(known) => *known = heard,
            None => {
                self.calls.retain(|known| known.end_ms == 0 || known.end_ms + REMEMBERED_MS > now_ms);
                if self.calls.len() >= MOST {
                    let over = self.calls.iter().position(|known| known.end_ms > 0);
                    match over.filter(|_| !is_over) {
                        Some(oldest) => drop(self.calls.remove(oldest)),
                        None => return Taken::Full,
                    }
                }
                self.calls.push(heard);
            }
        }
        Taken::New
    }

    /// Ends the calls that went on before all calls that go on were listed, and are not among them.
    pub fn end_others(&mut self, before: &Dialogs, listed: impl Fn(&str) -> bool, now_ms: u64) {
        for known in self.calls.iter_mut().filter(|known| known.end_ms == 0) {
            let is_same = |old: &Known| old.call_id == known.call_id && old.revision == known.revision;
            if before.calls.iter().any(is_same) && !listed(&known.call_id) {
                known.end_ms = now_ms;
                for dialog in &mut known.dialogs {
                    dialog.set_far(Far::Over);
                }
            }
        }
    }

    /// Its dialogs, those among them that have just ended.
    fn all(&self) -> impl Iterator<Item = &Dialog> {
        self.calls.iter().flat_map(|known| &known.dialogs)
    }
}

/// The calls of somebody, with who may know of them.
pub struct Seen {
    /// Address of record.
    pub aor: String,
    /// Its calls.
    pub dialogs: Dialogs,
    /// Who may know.
    pub policy: Policy,
}

/// What a subscription was told.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(message, repeated, tag = "1")]
    dialogs: Vec<ToldOf>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ToldOf {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

/// The only dialog that strangers see.
const BUSY: &str = "busy";

impl Seen {
    /// What a watcher sees of the dialogs that go on. RFC 4235 3.6: strangers learn at most whether there is any.
    fn shown(&self, asking: &Asking<'_>) -> Vec<Dialog> {
        let live = self.dialogs.all().filter(|dialog| !dialog.far().is_over());
        let mut live = live.filter(|dialog| asking.filter.is_none_or(|filter| dialog.is_chosen(filter)));
        if self.policy.allows(asking.watcher) {
            return live.cloned().collect();
        }
        let is_hidden = self.policy.action(asking.watcher) == Action::PoliteBlock
            // Which of the calls it is would be more than whether there is one.
            || asking.filter.is_some()
            || asking.standing == crate::engine::Standing::Pending;
        let busy = Dialog { id: BUSY.to_owned(), far: Far::Confirmed.into(), ..Dialog::default() };
        if is_hidden { Vec::new() } else { live.next().map(|_| busy).into_iter().collect() }
    }

    /// What is said of a dialog that was told of and goes on no more.
    fn over(&self, id: &str) -> Dialog {
        let known = self.dialogs.all().find(|dialog| dialog.id == id && dialog.far().is_over());
        let over = || Dialog { id: id.to_owned(), far: Far::Over.into(), ..Dialog::default() };
        known.cloned().unwrap_or_else(over)
    }
}

impl Topic for Seen {
    /// Whom the owner's policy names sees everything, everybody else at most whether there is a call.
    fn access(&self, watcher: &str) -> Access {
        if self.policy.is_owner(watcher) {
            return Access::Granted;
        }
        match self.policy.action(watcher) {
            Action::Allow | Action::PoliteBlock | Action::Unspecified => Access::Granted,
            Action::Confirm => Access::Undecided,
            Action::Block => Access::Refused,
        }
    }

    fn document(&self, asking: &Asking<'_>) -> Document {
        let shown = self.shown(asking);
        let content = |dialog: &Dialog| fingerprint(&dialog.encode_to_vec())[..8].to_vec();
        let told = |dialog: &Dialog| ToldOf { id: dialog.id.clone(), content: content(dialog) };
        let now = Told { dialogs: shown.iter().map(told).collect() };
        let before = asking.told.and_then(|told| Told::decode(told).ok());
        let known = before.iter().flat_map(|before| &before.dialogs);
        let is_new = |dialog: &&Dialog| {
            let same = known.clone().find(|known| known.id == dialog.id);
            same.is_none_or(|known| known.content != content(dialog))
        };
        let is_over = |known: &&ToldOf| !shown.iter().any(|dialog| dialog.id == known.id);
        let over: Vec<Dialog> = known.clone().filter(is_over).map(|known| self.over(&known.id)).collect();
        let info = DialogInfo {
            version: asking.version,
            is_full: before.is_none(),
            entity: &self.aor,
            dialogs: shown.iter().filter(is_new).chain(&over).map(Dialog::show).collect(),
        };
        Document {
            content_type: CONTENT_TYPE.to_owned(),
            body: info.to_xml().into_bytes(),
            told: now.encode_to_vec(),
        }
    }
}

impl Dialog {
    /// RFC 4235 3.2: the tag of To is that of the user, whoever called.
    fn is_chosen(&self, filter: &Filter) -> bool {
        let is_same = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        is_same(&filter.call_id, &self.sip_call_id)
            && is_same(&filter.to_tag, &self.local_tag)
            && is_same(&filter.from_tag, &self.remote_tag)
    }

    fn show(&self) -> Shown<'_> {
        let is_named = !self.sip_call_id.is_empty();
        let names =
            Names { call_id: &self.sip_call_id, local_tag: &self.local_tag, remote_tag: &self.remote_tag };
        Shown {
            id: &self.id,
            names: is_named.then_some(names),
            is_initiator: is_named.then_some(self.is_initiator),
            state: self.far().state(),
            local: self.local.as_ref().map(Side::show),
            remote: self.remote.as_ref().map(Side::show),
        }
    }
}

impl Side {
    fn show(&self) -> Party<'_> {
        Party { identity: &self.identity, display_name: &self.display_name, target: &self.target }
    }
}

#[cfg(test)]
mod tests;
