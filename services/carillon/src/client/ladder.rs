//! `carillon ladder`. (helper-9: keep these names; the demo uses them. Fill in the rest.)
use super::connect::Connection;
use std::time::Duration;

/// One message of a call between two named parties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LadderMessage {
    /// Time since the first message.
    pub at: Duration,
    /// Name of the sender ("alice", an edge's id).
    pub from: String,
    /// Name of the receiver.
    pub to: String,
    /// Summary::label() of the message: "180 INVITE (RSeq 1, SDP)".
    pub label: String,
}

/// What all edges saw of a call, in order, without retransmissions.
pub struct Gathered(Vec<LadderMessage>);

impl Gathered {
    /// These messages.
    pub fn of(messages: impl IntoIterator<Item = LadderMessage>) -> Self {
        Self(messages.into_iter().collect())
    }
    /// The messages in order.
    pub fn messages(&self) -> impl Iterator<Item = &LadderMessage> {
        self.0.iter()
    }
    /// The drawing.
    pub fn draw(&self) -> String {
        String::new()
    }
}

pub async fn gather(_: Connection, _: &str) -> anyhow::Result<Gathered> {
    anyhow::bail!("x")
}
pub async fn run(_: crate::cli::LadderArgs) -> anyhow::Result<()> {
    anyhow::bail!("x")
}
