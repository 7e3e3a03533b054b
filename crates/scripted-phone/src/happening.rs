//! What the phone tells the person who holds it.

use std::time::Duration;

/// Something the phone saw or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// 200 to REGISTER; the registration holds this long.
    Registered(Duration),
    /// A final failure to REGISTER.
    RegisterFailed { status: u16, reason: String },
    /// The registrar cannot take the REGISTER now; the phone tries again by itself.
    RegisterPostponed { status: u16, reason: String, again_in: Duration },
    /// A call comes in.
    Incoming { from: String, call_id: String },
    /// A provisional response to a call of ours.
    Progress { status: u16 },
    /// A tone to play came in an UPDATE or re-INVITE.
    Tone,
    /// The session was changed by an offer of the peer; the direction attribute it asks for.
    Changed { direction: &'static str },
    /// A change that this phone asked for was agreed to; the direction attribute it had asked for.
    Agreed { direction: &'static str },
    /// The call is up: ACK for our 200, or our ACK for theirs.
    Connected,
    /// The call is over.
    Ended { by_peer: bool, reason: String },
    /// A call of ours was refused.
    Refused { status: u16, reason: String },
    /// A REFER of ours was answered; 408 when it was not.
    Referred { status: u16 },
    /// What became of it so far: the status line of a NOTIFY's body.
    Notified(String),
    /// A short message came.
    Message { from: String, words: String },
    /// A short message of ours was answered; 408 when it was not.
    Messaged { status: u16 },
    /// A message left; its first line.
    Sent(String),
    /// A message came; its first line.
    Received(String),
}
