//! Carillon as a process, driven over SIP, gRPC and the command line by things that nobody here wrote where possible.

mod bad_input;
mod burst;
mod calls;
mod challenged_legs;
mod command_line;
mod contacts;
mod demo;
mod dial_sipp;
mod flows;
mod forks;
mod hostile_text;
mod leftovers;
mod leg_headers;
mod leg_targets;
mod linphone;
mod oversized;
mod phone_command;
mod readme;
mod real_phones;
mod redis;
mod register;
mod split;
mod stopping;
mod tier;
mod torture;
mod wire;
