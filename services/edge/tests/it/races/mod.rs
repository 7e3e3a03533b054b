//! The races of CANCEL, LAD-10 R1 to R15, of a call that the edge proxies: in virtual time, every message in the order of the ladder.
//!
//! R8 is in `astray_cancel.rs`, for it takes several edges. Of dialled calls the edge's part is in `legs.rs` and `dialled.rs`, that of
//! call-control in the ladders of its engine.

mod dialled;
mod forked;
mod one_phone;
mod stage;
