//! The registrar over the memory store: every row through its rpcs, as an edge calls them.

mod accounts;
mod authentication;
mod bindings;
mod call_limits;
mod far_side;
mod flow_end;
mod forwarding;
mod guessing;
mod membership;
mod memory;
mod outbound;
mod preferences;
mod push;
mod push_service;
mod registering;
mod rig;
mod routing;
mod store_faults;
mod temporary_gruus;
mod trunk_callers;
mod trunk_probes;
mod trunk_registrations;
mod trunks;
