//! What the record keeps about a conference whose focus the call is.

use crate::engine::transfer::record::{Referral, Referring};

/// A conference. The legs are those of the call.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Conference {
    /// Its URI, as users dial it and subscribe to it.
    #[prost(string, tag = "1")]
    pub uri: String,
    /// Where its media are mixed: the Request-URI of the leg that the mixer answered first; empty before.
    #[prost(string, tag = "2")]
    pub mixer: String,
    /// Where they may be mixed, best first.
    #[prost(string, repeated, tag = "3")]
    pub mixers: Vec<String>,
    /// Who is, was, or is to be in it. The first one made it.
    #[prost(message, repeated, tag = "4")]
    pub members: Vec<Member>,
    /// Grows with each change of who is in it.
    #[prost(uint64, tag = "5")]
    pub version: u64,
    /// When it ends.
    #[prost(enumeration = "Ends", tag = "6")]
    pub ends: i32,
    /// Number of the operation that moves the parties of a connected call into it.
    #[prost(uint64, tag = "7")]
    pub operation: u64,
    /// A phone of the call mixes, see `conference::local`: Carillon is no focus, and the two who talked are the first member.
    #[prost(bool, tag = "8")]
    pub local: bool,
    /// It is made elsewhere, see `conference::elsewhere`: the focus is that of others, and `uri` is empty until that has said it.
    #[prost(bool, tag = "9")]
    pub elsewhere: bool,
}

/// When a conference ends by itself (RFC 4579 5.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Ends {
    /// With the last who leaves.
    Last = 0,
    /// When who made it leaves.
    Creator = 1,
}

/// Somebody in a conference: a leg to the phone and one to the mixer, connected with each other.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Member {
    /// Index of the leg to the phone.
    #[prost(uint32, tag = "1")]
    pub party: u32,
    /// Index of the leg to the mixer; 0 while there is none.
    #[prost(uint32, tag = "2")]
    pub mixer: u32,
    /// How far it is.
    #[prost(enumeration = "MemberStep", tag = "3")]
    pub step: i32,
    /// Where each m= line of the mixer's leg stands on the phone's, -1 for nowhere.
    #[prost(sint32, repeated, tag = "4")]
    pub lines: Vec<i32>,
    /// The REFER by which somebody asked for it; absent when the application did.
    #[prost(message, optional, tag = "5")]
    pub referral: Option<Referral>,
    /// When it came in, in ms since 1970; 0 before.
    #[prost(uint64, tag = "6")]
    pub joined_ms: u64,
    /// Whose place it takes once it is in: the index of that one's leg to its phone, and 1; 0 for nobody's.
    #[prost(uint32, tag = "7")]
    pub replaces: u32,
}

/// How far somebody is on the way into a conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MemberStep {
    /// The phone is dialled.
    Dialing = 0,
    /// Its 2xx waits for the mixer's answer.
    Mixing = 1,
    /// It talks to another party, and is to be moved when its turn comes.
    Waiting = 2,
    /// The mixer is asked for an offer.
    Asking = 3,
    /// The mixer's 2xx waits for the phone's answer.
    Moving = 4,
    /// It is in.
    In = 5,
    /// It has left, or never came in.
    Gone = 6,
    /// It called, and its INVITE waits for the mixer.
    Calling = 7,
}

/// See [`Stage::Gathering`](crate::engine::stage::Stage::Gathering).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Gathering {
    /// The call whose caller asked for it by Join, and goes to the conference itself; absent when the application asked.
    #[prost(message, optional, tag = "1")]
    pub meeting: Option<Meeting>,
    /// The phone that is asked by REFER to call the conference; absent while none is.
    #[prost(message, optional, boxed, tag = "2")]
    pub leading: Option<Box<Referring>>,
}

/// A call whose caller is led to a conference.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Meeting {
    /// Its id.
    #[prost(string, tag = "1")]
    pub call_id: String,
    /// The operation's number in it.
    #[prost(uint64, tag = "2")]
    pub operation: u64,
    /// It was told where the conference is.
    #[prost(bool, tag = "3")]
    pub told: bool,
}

/// See [`Stage::Conferring`](crate::engine::stage::Stage::Conferring).
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Conferring {}
