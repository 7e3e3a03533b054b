//! Replicas of presence over one store, in virtual time, with phones that are values.

mod asked;
mod at_once;
mod bound;
mod changes;
mod dialogs;
mod elsewhere;
mod followers;
mod lists;
mod mail;
mod refusals;
mod registered;
mod replicas;
mod rig;
mod switchboard;
