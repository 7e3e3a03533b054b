//! INVITE with Replaces or Join (RFC 3891, RFC 3911): a caller wants the place of a party in a call, or to be mixed with it.
//!
//! The INVITE begins a call of its own, and this call asks the one that is named; they tell each other as calls that lend legs do
//! (`transfer::lend`):
//!
//! | the dialog that is named                                  | Replaces                                                | Join                         |
//! |-----------------------------------------------------------|---------------------------------------------------------|------------------------------|
//! | none, or two                                              | 481                                                     | 481                          |
//! | ended, or of a call that is                               | 603                                                     | 603                          |
//! | of somebody who need not bear it, see `takers`            | 403                                                     | 403                          |
//! | confirmed                                                 | the far party is lent: re-INVITE, 200; BYE (`early-only`: 486) | a phone with a mixer is asked, see `named`; none: 302 to a conference, see `meet`, or 488 |
//! | early, and Carillon dialled                               | 200 without a session; CANCEL; the leg goes to that call | the same                     |
//! | early, and the peer called                                | 481                                                     | the same                     |
//! | in use for something else                                 | 491                                                     | 491                          |
//!
//! Two of either header, both, or one that cannot be read: 400. Which call a dialog is of, and what becomes of one that is of none: `whose`.

pub mod ask;
mod meet;
mod named;
mod offered;
pub mod record;
pub mod takers;
pub mod whose;
