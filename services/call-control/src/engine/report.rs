//! What the business application learns: call events.

use crate::engine::effect::Body;

/// One entry for the event stream of a call. The shell adds cursor, time and the call's snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEvent {
    /// What happened.
    pub kind: CallEventType,
    /// The leg; `None` for the call as a whole.
    pub leg_id: Option<String>,
    /// SIP status behind it; 0 for none.
    pub sip_status: u32,
    /// Its reason phrase; empty for none.
    pub sip_reason: String,
    /// Content of `InfoReceived`.
    pub body: Option<Body>,
    /// Who is behind it, of holds: a leg's id, "api" or "carillon"; empty where that is not said.
    pub by: String,
}

/// Types of call events. Each is given at most once per leg and operation, `Ended` exactly once per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CallEventType {
    /// The call was committed.
    Created = 1,
    /// The INVITE of a leg goes out.
    LegDialing = 2,
    /// A provisional response other than 180 came.
    LegProgress = 3,
    /// 180 came.
    LegRinging = 4,
    /// A 2xx came.
    LegAnswered = 5,
    /// The first party was told to play ringback.
    RingbackStarted = 6,
    /// Both parties are connected.
    Connected = 7,
    /// The call is on hold.
    Held = 8,
    /// The call is off hold.
    Unheld = 9,
    /// A transfer began.
    TransferStarted = 10,
    /// A transfer succeeded.
    TransferSucceeded = 11,
    /// A transfer failed.
    TransferFailed = 12,
    /// A third party joined.
    PartyJoined = 13,
    /// A party left, the call goes on.
    PartyLeft = 14,
    /// INFO came on a leg.
    InfoReceived = 15,
    /// A leg is over.
    LegEnded = 16,
    /// The call is over.
    Ended = 17,
    /// A party listens to a media server.
    PlayStarted = 18,
    /// It does not any more, or never came to it.
    PlayEnded = 19,
    /// What the application wished to be on hold is not.
    HoldFailed = 20,
    /// What the application wished to be off hold is not.
    UnholdFailed = 21,
}

impl CallEventType {
    /// The bit that remembers in the record that the event was given.
    pub(crate) fn bit(self) -> u32 {
        1 << (self as u32)
    }
}
