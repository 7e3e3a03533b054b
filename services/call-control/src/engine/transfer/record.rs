//! What the record keeps about a party that is to take the place of another one, and what two calls tell each other about it.

use crate::engine::call::{Party, Timer};
use crate::engine::claim::record::{Claim, Meet, Place};
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
    /// The phone wants no NOTIFY (RFC 4488, RFC 7614).
    #[prost(bool, tag = "3")]
    pub silent: bool,
    /// The dialog that it made, when it came outside that of the leg.
    #[prost(message, optional, boxed, tag = "4")]
    pub aside: Option<Box<Aside>>,
    /// It has said so by Refer-Sub, and is told that this is agreed.
    #[prost(bool, tag = "5")]
    pub silent_by_header: bool,
}

/// A dialog beside that of a leg: a REFER outside the leg's dialog has made it, for NOTIFY alone (RFC 7647 4).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Aside {
    /// Call-ID.
    #[prost(string, tag = "1")]
    pub sip_call_id: String,
    /// Our tag.
    #[prost(string, tag = "2")]
    pub local_tag: String,
    /// The phone's tag; empty until it has said one.
    #[prost(string, tag = "3")]
    pub remote_tag: String,
    /// URI of our side.
    #[prost(string, tag = "4")]
    pub local_uri: String,
    /// URI of the phone's side.
    #[prost(string, tag = "5")]
    pub remote_uri: String,
    /// The phone's Contact.
    #[prost(string, tag = "6")]
    pub remote_target: String,
    /// Route set in sending order.
    #[prost(string, repeated, tag = "7")]
    pub route: Vec<String>,
    /// Flow token by which the phone is reached.
    #[prost(string, tag = "8")]
    pub flow: String,
    /// The highest CSeq number of the phone's requests in it; absent before the first.
    #[prost(uint32, optional, tag = "9")]
    pub remote_cseq: Option<u32>,
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
    /// The REFER of another phone that is passed on so; absent when it is the application's wish.
    #[prost(message, optional, boxed, tag = "6")]
    pub passed: Option<Box<Passed>>,
    /// The dialog of the REFER, when it was sent outside that of the leg.
    #[prost(message, optional, boxed, tag = "7")]
    pub aside: Option<Box<Aside>>,
    /// A NOTIFY has come.
    #[prost(bool, tag = "8")]
    pub notified: bool,
    /// The call that ends before the phone is asked to call a target that knows no Replaces; empty for none.
    #[prost(string, tag = "9")]
    pub replaced: String,
    /// Until when the phone may say that it still tries, in ms since 1970; 0 in a record that does not know.
    #[prost(uint64, tag = "10")]
    pub until_ms: u64,
}

/// A REFER of a phone that is passed on to the other one, see `transfer::pass`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Passed {
    /// Handle of its server transaction; empty once it was answered.
    #[prost(string, tag = "1")]
    pub transaction: String,
    /// Where the phone is told how it goes.
    #[prost(message, required, tag = "2")]
    pub referral: Referral,
    /// Value of Refer-To.
    #[prost(string, tag = "3")]
    pub refer_to: String,
    /// Value of Referred-By; empty for none.
    #[prost(string, tag = "4")]
    pub referred_by: String,
    /// The call that is asked how the target knows the dialog that is to be replaced; empty when none is.
    #[prost(string, tag = "5")]
    pub asked: String,
    /// The operation's number in this call.
    #[prost(uint64, tag = "6")]
    pub operation: u64,
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
    #[prost(oneof = "Word", tags = "3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16")]
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
    /// To a call that an INVITE names: its sender wants this place.
    #[prost(message, tag = "10")]
    Claim(Claim),
    /// To who wants it: answer the INVITE, and lend its leg.
    #[prost(message, tag = "11")]
    PickUp(Nothing),
    /// To who wants it: this phone gives it.
    #[prost(message, tag = "12")]
    Place(Place),
    /// To a call with this dialog: who is at its other end, and how does that one's phone know its own?
    #[prost(message, tag = "13")]
    Seek(DialogId),
    /// To who asked: there, and so.
    #[prost(message, tag = "14")]
    Found(Place),
    /// To a call whose party is to be called anew: it is over.
    #[prost(message, tag = "15")]
    GiveWay(Nothing),
    /// To who wants to join: call this conference.
    #[prost(message, tag = "16")]
    Meet(Meet),
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
    /// It is the leg of who picks a party up: for this claim.
    #[prost(message, optional, tag = "3")]
    pub claim: Option<Claim>,
    /// It comes back with a session that may not be the one it had.
    #[prost(bool, tag = "4")]
    pub moved: bool,
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
