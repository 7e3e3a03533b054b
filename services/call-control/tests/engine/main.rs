//! The call engine against scripted phones: golden ladders for every branch of LAD-1 … LAD-4, and a seeded simulation.
//!
//! Start reading at `ladder.rs` (the test's side of the wire), then `lad1.rs`.

mod connected;
mod draw;
mod ends;
mod lad1;
mod lad1_first;
mod lad1_second;
mod lad2;
mod lad3;
mod lad4;
mod lad4_faults;
mod lad4_first;
mod lad4_second;
mod ladder;
mod offers;
mod outcomes;
mod sim;
mod table;
mod ua;
