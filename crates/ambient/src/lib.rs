//! Wall clock and entropy as traits, so that the time of day and randomness are arguments.
//!
//! **Here:** [`WallClock`] with the system's clock and one that tests set; [`Entropy`] with the system's source and a seeded
//! one. Services take them in their `Deps`, so that a simulation decides both.
//!
//! **Not here:** monotonic time. `std::time::Instant` is passed as `now` to every machine; shells read it from their runtime.
#![forbid(unsafe_code)]

mod clock;
mod entropy;

pub use clock::{FixedClock, SystemClock, WallClock};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
