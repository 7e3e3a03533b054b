//! A scripted SIP phone: it registers, answers as told, and says what it saw.
//!
//! [`Phone`] is the pure machine (start reading there), [`run`] puts it on a UDP socket, [`run_on`] on any [`Line`]. It shares nothing but the parser
//! and the digest with the servers it talks to: it keeps its own retransmissions and dialogs, so that one misreading of a
//! standard does not hide in both ends. Deliberately absent: media, more than one call at a time.
#![forbid(unsafe_code)]

mod call;
mod credentials;
mod happening;
mod incoming;
mod line;
mod message;
mod outgoing;
mod phone;
mod retransmit;
mod script;
mod sdp;
mod shell;
mod wire;

pub use call::Dialog;
pub use happening::Happening;
pub use line::{Connection, Datagrams, Line};
pub use phone::{Output, Phone};
pub use script::{Answer, Identity, Script};
pub use shell::{Remote, run, run_on};
pub use wire::Wire;
