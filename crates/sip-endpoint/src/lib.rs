//! Sockets, flows and the one driver loop that runs the transaction machines.
