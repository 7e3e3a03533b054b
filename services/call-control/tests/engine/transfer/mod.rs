//! Another party takes the place of one of two: LAD-5, LAD-9, CCL-07, SCN-15. `blind` has those that are dialled, `two_calls` those of another
//! call.

mod blind;
mod refer;
mod referred;
mod two_calls;
