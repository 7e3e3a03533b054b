//! Many short questions over one long stream, instead of an rpc for each: most of what a small unary call costs is HTTP/2 and the
//! machinery around it, on both sides.
//!
//! [`mod@line`] is the side that asks, [`answering`] the side that answers, [`location`] what `LocationStream` makes of both. Who asks
//! cannot tell: deadlines, refusals, trace and cancellation are those of a call. A peer that has no such stream is called.

mod answering;
mod line;
mod location;
#[cfg(test)]
mod tests;

pub(crate) use line::{Batches, Line, LineMeters, Opened, Unheard};
pub use location::LocationAnswers;
pub(crate) use location::open as location_stream;

use cluster_api::cluster::v1::{Answer, Question};

/// Questions under way on one stream at most; as many calls as a connection takes.
const MOST: usize = 4096;
/// Messages in one batch at most, and octets after which it takes no further one: far below what gRPC takes as one message.
const BATCH: usize = 64;
const BATCH_OCTETS: usize = 256 * 1024;
/// Larger messages do not go over a stream: it would break for all.
const LARGEST: usize = 1024 * 1024;

/// What who asks says at once.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) questions: Vec<Question>,
    pub(crate) abandoned: Vec<u64>,
}

/// What who answers says at once.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) answers: Vec<Answer>,
    pub(crate) ending: bool,
}
