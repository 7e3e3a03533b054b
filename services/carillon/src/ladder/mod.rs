//! Call flows as text: who sent what to whom, and the decisions between.

mod draw;
mod summary;

pub use draw::{Arrow, Entry, draw};
pub use summary::summarise;
