//! What the record keeps about a wish of the application to hold or to resume, until it has its one end.

/// A wish that is under way.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Holding {
    /// What is wished.
    #[prost(enumeration = "Wish", tag = "1")]
    pub wish: i32,
    /// Id of the leg that it is about; empty for every leg.
    #[prost(string, tag = "2")]
    pub leg_id: String,
    /// Indexes of the legs that have not said how it goes.
    #[prost(uint32, repeated, tag = "3")]
    pub waiting: Vec<u32>,
    /// Indexes of the legs that have done it.
    #[prost(uint32, repeated, tag = "4")]
    pub done: Vec<u32>,
    /// The first refusal.
    #[prost(message, optional, tag = "5")]
    pub refused: Option<Refusal>,
}

/// What the application wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Wish {
    /// No media.
    Hold = 0,
    /// Media again.
    Unhold = 1,
}

/// Why a leg did not do it.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Refusal {
    /// Id of the leg; empty for none.
    #[prost(string, tag = "1")]
    pub leg_id: String,
    /// SIP status.
    #[prost(uint32, tag = "2")]
    pub status: u32,
    /// Reason phrase.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Who is why: a leg's id, "api" or "carillon".
    #[prost(string, tag = "4")]
    pub by: String,
}
