//! The life of a process: how it starts work, tells that it is well, drains and ends.
//!
//! **Here:** [`Tasks`], the one place where tasks are started; [`Shutdown`], set by the first signal and forced by the second;
//! [`Drain`], the visible way of a service to its last call; [`Health`], what liveness and readiness answer;
//! [`log_panics`], a panic as one line of the log; [`Outage`], when to speak of something that is away.
//!
//! **Not here:** settings (each module owns its own), and the HTTP that shows health (`services/carillon`).
//!
//! Start reading at `tasks.rs`.
#![forbid(unsafe_code)]

mod drain;
mod health;
mod outage;
mod panics;
mod shutdown;
mod tasks;

pub use drain::{Drain, DrainState};
pub use health::{Component, Health, Sickness};
pub use outage::Outage;
pub use panics::{LogLimit, log_panics};
pub use shutdown::{Phase, Shutdown};
pub use tasks::{Task, TaskEnd, Tasks, TasksSnapshot, TooManyTasks};
