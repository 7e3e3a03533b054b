//! The stateful proxy core as a pure machine: request checks, forwarding, fork, response context.
