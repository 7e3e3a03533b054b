//! Where in its flow a call is. One variant per stage, with what only that stage needs.

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
    /// The session is agreed, leg b has not answered yet.
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
}

/// See [`Stage::DialA`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DialA {
    /// The first offer without media lines was refused and the one with an inactive line is out.
    #[prost(bool, tag = "1")]
    pub inactive: bool,
}

/// See [`Stage::DialB`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DialB {
    /// The ringback tone was offered to leg a without SDP.
    #[prost(bool, tag = "1")]
    pub tone: bool,
}

/// See [`Stage::Connect`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Connect {
    /// Leg b's offer.
    #[prost(bytes = "vec", tag = "1")]
    pub offer: Vec<u8>,
}

/// See [`Stage::Ringback`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Ringback {
    /// Leg b's offer.
    #[prost(bytes = "vec", tag = "1")]
    pub offer: Vec<u8>,
    /// Leg b's final refusal, when it came while leg a's answer was open.
    #[prost(uint32, tag = "2")]
    pub refused: u32,
    /// Its reason phrase.
    #[prost(string, tag = "3")]
    pub refused_reason: String,
    /// The form of the request to leg a that is under way.
    #[prost(enumeration = "RingbackForm", tag = "4")]
    pub form: i32,
    /// A second UPDATE with fewer codecs was sent (policy "patient").
    #[prost(bool, tag = "5")]
    pub narrowed: bool,
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
    /// Leg b's 2xx came before the answer to PRACK.
    #[prost(bool, tag = "1")]
    pub answered: bool,
}

/// See [`Stage::Early`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Early {}

/// See [`Stage::OfferB`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct OfferB {
    /// Leg a's offer.
    #[prost(bytes = "vec", tag = "1")]
    pub offer: Vec<u8>,
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
