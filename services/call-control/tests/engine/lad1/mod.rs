//! LAD-1: click-to-dial, Flow IV of RFC 3725.

mod first_leg;
mod happy;
mod second_leg;
