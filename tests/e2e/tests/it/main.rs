//! Carillon as a process, driven over SIP, gRPC and the command line by things that nobody here wrote where possible.

mod command_line;
mod demo;
mod dial_sipp;
mod forks;
mod real_phones;
mod register;
mod split;
