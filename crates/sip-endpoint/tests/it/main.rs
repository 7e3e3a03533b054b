//! The endpoint on loopback: real sockets, ports from the system, and a user that is told what to do by each test.

mod support;

mod datagrams;
