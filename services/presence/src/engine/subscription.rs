//! The record of a subscription. A field number is never used twice (docs/adr/0007).

use super::Package;

/// The version of the record that this code writes.
pub const SCHEMA: u32 = 1;

/// One subscription: its dialog, where it stands, and the NOTIFY that is under way.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Subscription {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    /// Its id, which is our tag of its dialog.
    #[prost(string, tag = "2")]
    pub id: String,
    /// Name of the package.
    #[prost(string, tag = "3")]
    pub package: String,
    /// Address of record that is watched.
    #[prost(string, tag = "4")]
    pub resource: String,
    /// `id` of Event.
    #[prost(string, optional, tag = "5")]
    pub event_id: Option<String>,
    /// The dialog.
    #[prost(message, required, tag = "6")]
    pub dialog: Dialog,
    /// Address of record of who watches.
    #[prost(string, tag = "7")]
    pub watcher: String,
    /// Name that the watcher shows, empty for none.
    #[prost(string, tag = "8")]
    pub display: String,
    /// Where it stands.
    #[prost(enumeration = "Standing", tag = "9")]
    pub standing: i32,
    /// Why it has ended (RFC 6665 4.1.3); empty while it has not.
    #[prost(string, tag = "10")]
    pub ended: String,
    /// When it lapses, in milliseconds since 1970.
    #[prost(uint64, tag = "11")]
    pub expire_ms: u64,
    /// When it began.
    #[prost(uint64, tag = "12")]
    pub create_ms: u64,
    /// The version that the next document has.
    #[prost(uint32, tag = "13")]
    pub next_version: u32,
    /// What the watcher was told last.
    #[prost(bytes = "vec", tag = "14")]
    pub told: Vec<u8>,
    /// The NOTIFY that has no answer yet.
    #[prost(message, optional, tag = "15")]
    pub notify: Option<Notify>,
    /// Whether something has changed that may not be told yet.
    #[prost(bool, tag = "16")]
    pub owes: bool,
    /// When the last NOTIFY was made.
    #[prost(uint64, tag = "17")]
    pub last_ms: u64,
    /// NOTIFYs in a row that failed for a reason that may pass.
    #[prost(uint32, tag = "18")]
    pub failures: u32,
    /// Nothing is sent before this time, after a failure.
    #[prost(uint64, tag = "19")]
    pub retry_ms: u64,
    /// Expires of the last answer to a SUBSCRIBE, in seconds.
    #[prost(uint32, tag = "20")]
    pub granted_s: u32,
    /// Whether what the watcher knows is uncertain: the next NOTIFY says everything.
    #[prost(bool, tag = "21")]
    pub is_unsure: bool,
    /// Whether it was pending, and its owner let it in.
    #[prost(bool, tag = "22")]
    pub was_approved: bool,
    /// What of the state its watcher wants; everything when it says nothing.
    #[prost(message, optional, tag = "23")]
    pub filter: Option<Filter>,
    /// Whether its resource is a list (RFC 4662).
    #[prost(bool, tag = "24")]
    pub is_list: bool,
    /// Whether its watcher proved to be a user of ours, in whose name members of other domains are asked for.
    #[prost(bool, tag = "25")]
    pub seeks: bool,
}

/// Parameters of Event that choose among the dialogs of a user (RFC 4235 3.2).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Filter {
    /// Call-ID.
    #[prost(string, tag = "1")]
    pub call_id: String,
    /// The tag of the user; empty for any.
    #[prost(string, tag = "2")]
    pub to_tag: String,
    /// The tag of the other one; empty for any.
    #[prost(string, tag = "3")]
    pub from_tag: String,
}

/// How long a subscription to one dialog lasts that asks for no time, in seconds: most dialogs are shorter. RFC 4235 3.4
const ONE_DIALOG_S: u32 = 7_200;

impl Filter {
    /// Whether it names one dialog, and not those that one INVITE made.
    fn is_of_one(&self) -> bool {
        !self.call_id.is_empty() && !self.to_tag.is_empty() && !self.from_tag.is_empty()
    }
}

/// How long a subscription lasts that asks for no time, in seconds; nobody gets more.
pub fn usual_expires_s(package: Package, filter: Option<&Filter>) -> u32 {
    match filter {
        Some(filter) if filter.is_of_one() => ONE_DIALOG_S,
        Some(_) | None => package.default_expires_s(),
    }
}

/// Our side of the dialog.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dialog {
    /// Call-ID.
    #[prost(string, tag = "1")]
    pub call_id: String,
    /// The watcher's tag.
    #[prost(string, tag = "2")]
    pub remote_tag: String,
    /// URI of To in the SUBSCRIBE.
    #[prost(string, tag = "3")]
    pub local_uri: String,
    /// URI of From in the SUBSCRIBE.
    #[prost(string, tag = "4")]
    pub remote_uri: String,
    /// The watcher's Contact.
    #[prost(string, tag = "5")]
    pub remote_target: String,
    /// Record-Route of the SUBSCRIBE, top first.
    #[prost(string, repeated, tag = "6")]
    pub record_route: Vec<String>,
    /// Flow token by which the watcher is reached; empty when its Contact leads there.
    #[prost(string, tag = "7")]
    pub flow: String,
    /// CSeq of the last SUBSCRIBE.
    #[prost(uint32, tag = "8")]
    pub remote_cseq: u32,
    /// CSeq of the last NOTIFY.
    #[prost(uint32, tag = "9")]
    pub local_cseq: u32,
}

/// A NOTIFY, as it is sent by whoever sends it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Notify {
    /// Its CSeq.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Value of Subscription-State.
    #[prost(string, tag = "2")]
    pub state: String,
    /// Type of the body; empty for none.
    #[prost(string, tag = "3")]
    pub content_type: String,
    /// The body.
    #[prost(bytes = "vec", tag = "4")]
    pub body: Vec<u8>,
    /// When it was made.
    #[prost(uint64, tag = "5")]
    pub since_ms: u64,
}

/// Where a subscription stands (RFC 6665 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Standing {
    /// Not said.
    Unspecified = 0,
    /// Nobody has decided about it.
    Pending = 1,
    /// Its watcher gets the state.
    Active = 2,
}

impl Subscription {
    /// Its package; `None` for one of a later version.
    pub fn package(&self) -> Option<Package> {
        Package::named(&self.package)
    }

    /// Whether it has ended, although its last NOTIFY may still be under way.
    pub fn is_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Value of Event.
    pub fn event(&self) -> String {
        match &self.event_id {
            Some(id) => format!("{};id={id}", self.package),
            None => self.package.clone(),
        }
    }
}
