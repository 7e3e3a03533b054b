//! What the record keeps about those who listen to a media server while their call is on hold.

/// See [`Stage::Listening`](crate::engine::stage::Stage::Listening).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Listening {
    /// Who listens, or is about to; of the two parties, the other one is on hold without anything to hear.
    #[prost(message, repeated, tag = "1")]
    pub listeners: Vec<Listener>,
    /// What for.
    #[prost(enumeration = "Playing", tag = "2")]
    pub what: i32,
    /// URI that is called for each of them.
    #[prost(string, tag = "3")]
    pub uri: String,
    /// Longest time that it may take once it has begun, in ms; 0 for as long as the server likes.
    #[prost(uint64, tag = "4")]
    pub limit_ms: u64,
    /// The application wished it for one leg, not for the call.
    #[prost(bool, tag = "5")]
    pub of_leg: bool,
}

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Playing {
    /// An announcement, or a dialogue with a script: when it is over, the two are connected again.
    Announcement = 0,
    /// Music for who is on hold: when it is over, they are on hold without it.
    Music = 1,
}

/// One who listens.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Listener {
    /// Index of the leg to the party.
    #[prost(uint32, tag = "1")]
    pub party: u32,
    /// Index of the leg to the server; 0 while there is none.
    #[prost(uint32, tag = "2")]
    pub server: u32,
    /// How far it is.
    #[prost(enumeration = "ListenStep", tag = "3")]
    pub step: i32,
    /// Where each m= line of the server's leg stands on that of the party, -1 for nowhere.
    #[prost(sint32, repeated, tag = "4")]
    pub lines: Vec<i32>,
}

/// How far one who is to listen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ListenStep {
    /// The other party is being put on hold.
    Waiting = 0,
    /// The party is asked for an offer.
    Asking = 1,
    /// The server is called with it, and the 2xx of the party waits.
    Calling = 2,
    /// It listens.
    Listening = 3,
}
