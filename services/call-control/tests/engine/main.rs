//! The call engine against scripted phones: golden ladders for every branch of LAD-1 … LAD-4, and a seeded simulation.
//!
//! Start reading at `ladder.rs` (the test's side of the wire), then `lad1/happy.rs`. A ladder is a folder when it has many branches, and
//! a file in it for where they begin.

mod anchored;
mod claim;
mod conference;
mod connected;
mod draw;
mod ends;
mod every_step;
mod hangups;
mod holds;
mod in_dialog;
mod infos;
mod lad1;
mod lad2;
mod lad3;
mod lad4;
mod ladder;
mod lost_way;
mod media;
mod nonsense;
mod offers;
mod outcomes;
mod refresh;
mod session_changes;
mod sim;
mod size;
mod table;
mod transfer;
mod ua;
mod untaken;
