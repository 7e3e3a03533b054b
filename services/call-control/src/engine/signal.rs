//! What a leg tells the flow. The leg machine has already done what every flow would do.

use crate::engine::effect::{Body, Header};
use crate::engine::leg::{Pending, Purpose};

/// Index of a leg in the call: 0 is leg a, 1 is leg b.
pub type LegIndex = usize;

/// The party rung first.
pub const A: LegIndex = 0;
/// The party rung second.
pub const B: LegIndex = 1;

/// One thing that happened on a leg.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A provisional response came that is neither an offer nor an answer.
    /// With what it previews of the session: an answer that counts once it comes reliably.
    Progress { leg: LegIndex, status: u32, tag: String, sdp: Option<Vec<u8>> },
    /// A reliable provisional response brought the peer's offer and waits for PRACK.
    EarlyOffer { leg: LegIndex, tag: String, status: u32, sdp: Vec<u8> },
    /// A reliable provisional response brought the answer to our offer; PRACK is sent.
    EarlyAnswer { leg: LegIndex, tag: String, status: u32, sdp: Vec<u8> },
    /// The first 2xx to the initial INVITE: the dialog is the leg's, and waits for ACK. With SDP when it is an answer or offer.
    Answered { leg: LegIndex, sdp: Option<Vec<u8>> },
    /// The initial INVITE failed for good; silent when no response said so.
    Refused { leg: LegIndex, status: u32, reason: String, silent: bool },
    /// A request of ours inside the dialog got its final response, or none ever will.
    Reply { leg: LegIndex, request: Box<Pending>, reply: Reply },
    /// The peer sent re-INVITE or UPDATE that may go through; it waits for a response. Without SDP: an INVITE that asks for an offer.
    PeerOffer { leg: LegIndex, transaction: String, method: String, sdp: Option<Vec<u8>> },
    /// ACK for our 2xx to the peer's re-INVITE, with the answer when our 2xx was the offer.
    PeerAck { leg: LegIndex, transaction: String, sdp: Option<Vec<u8>> },
    /// The peer cancelled its re-INVITE; it got 487.
    PeerCancel { leg: LegIndex, transaction: String },
    /// The peer sent a request for the other party (INFO, MESSAGE); it waits for a response.
    PeerMessage { leg: LegIndex, transaction: String, message: Message },
    /// GUARD fired.
    Guard,
    /// The caller answered the offer in our reliable provisional response; `lines` says where each m= line of it had gone.
    CallerAnswered { leg: LegIndex, offer: Vec<u8>, lines: Vec<i32>, sdp: Vec<u8> },
    /// The INVITE by which the leg's peer called is gone with its edge.
    CallerLost { leg: LegIndex },
}

impl Signal {
    /// The leg that it is about; leg a for what is about the call.
    pub fn leg(&self) -> LegIndex {
        match self {
            Signal::Progress { leg, .. }
            | Signal::EarlyOffer { leg, .. }
            | Signal::EarlyAnswer { leg, .. }
            | Signal::Answered { leg, .. }
            | Signal::Refused { leg, .. }
            | Signal::Reply { leg, .. }
            | Signal::PeerOffer { leg, .. }
            | Signal::PeerAck { leg, .. }
            | Signal::PeerCancel { leg, .. }
            | Signal::PeerMessage { leg, .. }
            | Signal::CallerAnswered { leg, .. } => *leg,
            Signal::CallerLost { leg } => *leg,
            Signal::Guard => A,
        }
    }
}

/// The essence of a final response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Status; 408 and 503 also stand for no response at all.
    pub status: u32,
    /// Reason phrase.
    pub reason: String,
    /// Session description, when there is one.
    pub sdp: Option<Vec<u8>>,
    /// The body as it came.
    pub body: Option<Body>,
    /// Retry-After in seconds.
    pub retry_after: Option<u32>,
    /// Of a refusal: the headers that say why, and what would do.
    pub explanation: Vec<Header>,
    /// Of 422: the least session interval that the peer takes, in seconds.
    pub min_se: Option<u32>,
    /// No response came.
    pub silent: bool,
    /// The response, if there was one, died with its edge.
    pub lost: bool,
    /// There was no way to send the request.
    pub unsent: bool,
}

impl Reply {
    /// Whether it is a success.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it is no word of the peer at all.
    pub fn is_unheard(&self) -> bool {
        self.silent || self.lost || self.unsent
    }

    /// Whether it says that the peer no longer knows the dialog (RFC 3261 12.2.1.2).
    pub fn is_gone(&self) -> bool {
        self.silent || matches!(self.status, 408 | 481)
    }

    /// Whether the dialog of the session is over with it. PRACK is the flow's affair and NOTIFY that of its subscription; a phone that does
    /// not answer INFO or MESSAGE may not know the method, and one that answers 481 knows no such dialog (RFC 5057 5.1).
    pub fn ends_dialog_of(&self, request: &Pending) -> bool {
        match (request.purpose(), request.request.method.as_str()) {
            (Purpose::Prack | Purpose::PrackPlain | Purpose::Notify, _) => false,
            (_, "INFO" | "MESSAGE") => self.status == 481,
            _ => self.is_gone(),
        }
    }
}

/// A request that is carried to the other party as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Method.
    pub method: String,
    /// Headers that matter to the receiver.
    pub headers: Vec<crate::engine::effect::Header>,
    /// Body.
    pub body: Option<Body>,
}
