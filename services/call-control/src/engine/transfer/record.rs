//! What the record keeps about a party that is to take the place of another one, and what two calls tell each other about it.

use crate::engine::call::{Party, Timer};
use crate::engine::leg::Leg;

/// See [`Stage::Moving`](crate::engine::stage::Stage::Moving).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Moving {
    /// Index of the leg whose party stays.
    #[prost(uint32, tag = "1")]
    pub stay: u32,
    /// Index of the leg whose party is to be let go.
    #[prost(uint32, tag = "2")]
    pub leave: u32,
    /// Index of the leg whose party comes; 0 while there is none.
    #[prost(uint32, tag = "3")]
    pub come: u32,
    /// How far it is.
    #[prost(enumeration = "MovingStep", tag = "4")]
    pub step: i32,
    /// The operation's number in this call.
    #[prost(uint64, tag = "5")]
    pub operation: u64,
    /// The call that gives the leg; empty when the party is dialled.
    #[prost(string, tag = "6")]
    pub lender: String,
    /// The REFER by which the party that leaves asked for it; absent when the application did.
    #[prost(message, optional, tag = "7")]
    pub referral: Option<Referral>,
}

/// How far a party that comes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MovingStep {
    /// It is dialled.
    Dialing = 0,
    /// Its 2xx waits for the answer of the party that stays.
    Offered = 1,
    /// The other call is asked for its leg.
    Borrowing = 2,
    /// The party that stays is asked for an offer.
    Asking = 3,
    /// The 2xx of the party that stays waits for the answer of the one that comes.
    Offering = 4,
}

/// A REFER of a phone that Carillon does itself.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Referral {
    /// Index of the leg in whose dialog it came.
    #[prost(uint32, tag = "1")]
    pub leg: u32,
    /// Its CSeq number: the id of the event (RFC 3515 2.4.6).
    #[prost(uint32, tag = "2")]
    pub cseq: u32,
    /// The phone wants no NOTIFY (RFC 4488).
    #[prost(bool, tag = "3")]
    pub silent: bool,
}

/// See [`Stage::Referring`](crate::engine::stage::Stage::Referring).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Referring {
    /// Index of the leg whose phone was asked.
    #[prost(uint32, tag = "1")]
    pub stay: u32,
    /// Index of the other leg.
    #[prost(uint32, tag = "2")]
    pub leave: u32,
    /// CSeq number of the REFER; 0 until it was accepted.
    #[prost(uint32, tag = "3")]
    pub cseq: u32,
    /// Carillon does it when the phone does not.
    #[prost(bool, tag = "4")]
    pub auto: bool,
    /// Where to.
    #[prost(message, required, tag = "5")]
    pub target: Party,
}

/// See [`Stage::Lending`](crate::engine::stage::Stage::Lending).
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Lending {
    /// Index of the leg that another call has.
    #[prost(uint32, tag = "1")]
    pub leg: u32,
}

/// Which leg a call wants from another one.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Borrow {
    /// Id of the leg; empty for the one that is described.
    #[prost(string, tag = "1")]
    pub leg_id: String,
    /// The other one than that of this address of record, or else the second.
    #[prost(string, tag = "2")]
    pub facing: String,
    /// The other one than that with this dialog.
    #[prost(message, optional, tag = "3")]
    pub replaces: Option<DialogId>,
}

/// A dialog, as its peer names it in Replaces (RFC 3891 3).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DialogId {
    /// Call-ID.
    #[prost(string, tag = "1")]
    pub call_id: String,
    /// Tag of the side that the request reaches: ours.
    #[prost(string, tag = "2")]
    pub to_tag: String,
    /// Tag of its peer.
    #[prost(string, tag = "3")]
    pub from_tag: String,
    /// Only while it is early.
    #[prost(bool, tag = "4")]
    pub early_only: bool,
}

/// What one call tells another one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tell {
    /// The other call.
    #[prost(string, tag = "1")]
    pub call_id: String,
    /// The operation, by its number in the call that borrows.
    #[prost(uint64, tag = "2")]
    pub operation: u64,
    /// What it is told.
    #[prost(oneof = "Word", tags = "3, 4, 5, 6, 7, 8, 9")]
    pub word: Option<Word>,
}

/// What calls tell each other.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Word {
    /// To the lender: lend this leg.
    #[prost(message, tag = "3")]
    Borrow(Borrow),
    /// To the borrower: here it is.
    #[prost(message, tag = "4")]
    Lent(Lent),
    /// To the borrower: no, with this status.
    #[prost(message, tag = "5")]
    Refused(Refused),
    /// To the lender: it stays here.
    #[prost(message, tag = "6")]
    Kept(Nothing),
    /// To the lender: here it is again.
    #[prost(message, tag = "7")]
    GivenBack(Lent),
    /// To the lender: it is over.
    #[prost(message, tag = "8")]
    Lost(Refused),
    /// To the borrower: its phone hung up.
    #[prost(message, tag = "9")]
    HungUp(Nothing),
}

/// A leg on its way from one call to another.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Lent {
    /// As it is.
    #[prost(message, required, tag = "1")]
    pub leg: Leg,
    /// Its timers.
    #[prost(message, repeated, tag = "2")]
    pub timers: Vec<Timer>,
}

/// Why not.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Refused {
    /// SIP status.
    #[prost(uint32, tag = "1")]
    pub status: u32,
    /// Reason phrase.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// Nothing more to say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Nothing {}
