//! One edge on real UDP and TCP sockets, between scripted peers, with the other services played by the tests.

mod absent_callers;
mod astray_cancel;
mod bounds;
mod calls;
mod checks;
mod exchanges;
mod flood;
mod flows;
mod forwarding;
mod gone_sibling;
mod ladders;
mod leg_flows;
mod leg_times;
mod legs;
mod merged;
mod off_limits;
mod operation;
mod peer;
mod registration;
mod rig;
mod services;
mod sizes;
mod stream;
mod tier;
mod two_edges;
mod wires;
