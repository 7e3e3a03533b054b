//! Where in its flow a call is. One variant per stage, with what only that stage needs.

use crate::engine::claim::record::Claiming;
pub use crate::engine::conference::record::{Conferring, Gathering};
pub use crate::engine::media::record::Listening;
pub use crate::engine::transfer::record::{Lending, Moving, Referring};

/// The stages. Leg a is the party rung first, leg b the one rung second.
#[derive(Clone, PartialEq, Eq, Hash, prost::Oneof)]
pub enum Stage {
    /// Leg a is dialled.
    #[prost(message, tag = "30")]
    DialA(DialA),
    /// Leg a is up, leg b is dialled without SDP.
    #[prost(message, tag = "31")]
    DialB(DialB),
    /// Leg b's 2xx brought an offer; leg a is asked for the answer.
    #[prost(message, tag = "32")]
    Connect(Connect),
    /// Leg b's reliable 18x brought an offer; leg a is asked for the answer and told to play ringback.
    #[prost(message, tag = "33")]
    Ringback(Ringback),
    /// Leg a's answer is on its way to leg b in PRACK.
    #[prost(message, tag = "34")]
    Prack(Prack),
    /// The session is agreed, but not both legs have answered.
    #[prost(message, tag = "35")]
    Early(Early),
    /// Flow I: leg a's 2xx brought an offer, leg b is dialled with it.
    #[prost(message, tag = "36")]
    OfferB(OfferB),
    /// The parties are connected.
    #[prost(message, tag = "37")]
    Talking(Talking),
    /// The outcome is set; the legs are being ended.
    #[prost(message, tag = "38")]
    Ending(Ending),
    /// Another fork than the one that rang answered; it is asked for an offer.
    #[prost(message, tag = "39")]
    AskOffer(AskOffer),
    /// Leg a called, leg b is dialled for it.
    #[prost(message, tag = "40")]
    Anchored(Anchored),
    /// Another party is to take the place of one of two that are connected; they go on talking meanwhile.
    #[prost(message, tag = "41")]
    Moving(Moving),
    /// Another call has one of the two legs, and may give it back.
    #[prost(message, tag = "42")]
    Lending(Lending),
    /// The phone of one of two that are connected was asked to call somebody else itself.
    #[prost(message, tag = "43")]
    Referring(Referring),
    /// One of the two, or each of them, listens to a media server; they are on hold meanwhile.
    #[prost(message, tag = "44")]
    Listening(Listening),
    /// Two who are connected are moved to a mixer, and a third one joins them there.
    #[prost(message, tag = "70")]
    Gathering(Gathering),
    /// The call is the focus of a conference.
    #[prost(message, tag = "71")]
    Conferring(Conferring),
}

impl Stage {
    /// Whether an operation with several legs is under way, while which no other one begins.
    pub fn is_operation(&self) -> bool {
        matches!(
            self,
            Stage::Moving(_)
                | Stage::Lending(_)
                | Stage::Referring(_)
                | Stage::Gathering(_)
                | Stage::Listening(_)
        )
    }
}

/// See [`Stage::DialA`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct DialA {
    /// What the INVITE offers; a phone that answers 488 is asked again with the next form.
    #[prost(enumeration = "FirstOffer", tag = "1")]
    pub offer: i32,
}

/// What the INVITE to leg a offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FirstOffer {
    /// A session without m= lines (Flow IV).
    NoLines = 0,
    /// One inactive audio line, for phones that refuse a session without lines.
    Inactive = 1,
    /// Nothing: the phone makes the offer (Flows I and III).
    Nothing = 2,
}

/// See [`Stage::DialB`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct DialB {
    /// The ringback tone was offered to leg a without SDP.
    #[prost(bool, tag = "1")]
    pub tone: bool,
}

/// See [`Stage::Connect`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Connect {}

/// See [`Stage::Ringback`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Ringback {
    /// Tag of leg b's dialog that rings.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// Leg b's offer.
    #[prost(bytes = "vec", tag = "2")]
    pub offer: Vec<u8>,
    /// Status of the response that brought it.
    #[prost(uint32, tag = "3")]
    pub status: u32,
    /// The form of the request to leg a that is under way.
    #[prost(enumeration = "RingbackForm", tag = "4")]
    pub form: i32,
    /// Leg b's final refusal, when it came while leg a's answer was open; 0 for none.
    #[prost(uint32, tag = "5")]
    pub refused: u32,
    /// Its reason phrase.
    #[prost(string, tag = "6")]
    pub refused_reason: String,
    /// Leg b's 2xx came while leg a's answer was open.
    #[prost(bool, tag = "7")]
    pub answered: bool,
    /// The offer was made once more after 488 (policy "patient").
    #[prost(bool, tag = "8")]
    pub repeated: bool,
    /// Nobody refused: no answer came to leg b's INVITE, or its edge is lost.
    #[prost(bool, tag = "9")]
    pub silent: bool,
}

/// How leg a is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RingbackForm {
    /// UPDATE with tone and SDP.
    UpdateTone = 0,
    /// UPDATE with SDP alone.
    UpdatePlain = 1,
    /// re-INVITE with tone and SDP.
    InviteTone = 2,
    /// re-INVITE with SDP alone.
    InvitePlain = 3,
}

/// See [`Stage::Prack`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Prack {
    /// Tag of leg b's dialog that rings.
    #[prost(string, tag = "1")]
    pub tag: String,
}

/// See [`Stage::Early`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Early {
    /// Tag of leg b's dialog that rings.
    #[prost(string, tag = "1")]
    pub tag: String,
}

/// See [`Stage::OfferB`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct OfferB {
    /// Leg a's offer.
    #[prost(bytes = "vec", tag = "1")]
    pub offer: Vec<u8>,
    /// Where each of its m= lines went on leg b, -1 for nowhere.
    #[prost(sint32, repeated, tag = "2")]
    pub lines: Vec<i32>,
    /// Tag of the fork whose early answer leg a has got; empty before.
    #[prost(string, tag = "3")]
    pub tag: String,
}

/// See [`Stage::Talking`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Talking {}

/// See [`Stage::Ending`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Ending {}

/// See [`Stage::AskOffer`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AskOffer {}

/// See [`Stage::Anchored`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Anchored {
    /// The caller's offer; empty when it leaves that to the other party.
    #[prost(bytes = "vec", tag = "1")]
    pub offer: Vec<u8>,
    /// Where each of its m= lines went on leg b, -1 for nowhere.
    #[prost(sint32, repeated, tag = "2")]
    pub lines: Vec<i32>,
    /// Tag of the fork of leg b whose session the caller was shown; empty before.
    #[prost(string, tag = "3")]
    pub fork: String,
    /// The answer to the caller's offer as far as it is known: what the callee may only have previewed, its 2xx can still change.
    #[prost(bytes = "vec", tag = "4")]
    pub answer: Vec<u8>,
    /// Offer and answer have left reliably: our 2xx has no session description.
    #[prost(bool, tag = "5")]
    pub settled: bool,
    /// The caller wants a place in another call, and nobody is dialled for it.
    #[prost(message, optional, tag = "6")]
    pub claiming: Option<Claiming>,
}
