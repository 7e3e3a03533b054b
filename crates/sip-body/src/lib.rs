//! Message bodies as far as signaling needs them: SDP, multipart, tone-info, sipfrag, key presses.
//!
//! **Here:** [`sdp`] reads a session description line by line, keeps every line it does not understand byte for byte, and
//! rewrites descriptions for third-party call control (RFC 3725) with a [`sdp::LegHistory`] per leg; [`multipart`] reads and
//! builds multipart bodies and [`select`] picks the session description out of them by disposition and handling
//! (RFC 5621); [`tone`] is the tone description of the ringback UPDATE; [`sipfrag`] is the body of a NOTIFY for REFER;
//! [`dtmf`] is a key press in INFO; [`message_summary`] is what waits in a mailbox;
//! [`pidf`] is presence, [`watcherinfo`] who watches it, [`reginfo`] where somebody is registered,
//! [`dialog_info`] the calls of somebody, [`told_dialogs`] what a phone says of its own, [`conference_info`] who is in a conference;
//! [`rlmi`] what a notification of a list holds; [`xml`] is what XML of peers may hold.
//!
//! **Deliberately absent:** media. No address is ever opened, no codec is ever chosen. The proxy path never reads a body.
//!
//! Start reading at [`sdp::LegHistory`], then [`select::session_part`].
#![forbid(unsafe_code)]

pub mod conference_info;
pub mod dialog_info;
pub mod disposition;
pub mod dtmf;
pub mod media_type;
pub mod message_summary;
pub mod multipart;
pub mod pidf;
pub mod reginfo;
pub mod rlmi;
pub mod sdp;
pub mod select;
pub mod sipfrag;
pub mod told_dialogs;
pub mod tone;
pub mod watcherinfo;
pub mod xml;
