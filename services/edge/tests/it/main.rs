//! One edge on real UDP and TCP sockets, between scripted peers, with the other services played by the tests.

mod calls;
mod legs;
mod peer;
mod registration;
mod rig;
mod services;
