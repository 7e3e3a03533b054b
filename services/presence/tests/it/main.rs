//! Replicas of presence over one store, in virtual time, with phones that are values.

mod changes;
mod replicas;
mod rig;
