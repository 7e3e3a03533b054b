//! Another party takes the place of one of two: LAD-5, LAD-9, CCL-07, SCN-15. `reconnect` has those in which one hung up before, `blind` those that are dialled, `two_calls` those of another
//! call.

mod aside;
mod blind;
mod pass;
mod reconnect;
mod refer;
mod referred;
mod two_calls;
