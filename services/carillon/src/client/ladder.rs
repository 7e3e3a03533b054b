//! `carillon ladder`: what passed in a call and why, as a drawing or as JSON lines.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use cluster_api::trace::v1::traces_client::TracesClient;
use cluster_api::trace::v1::{Arrow as Passed, Decision, GetLadderRequest, Ladder, LadderStep, ladder_step};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::call_view::time;
use super::connect::{Connection, connect};
use super::pcap;
use super::refusal::Refusal;
use crate::cli::LadderArgs;
use crate::ladder::{Arrow, Entry, draw, summarise};
use crate::out::{complain, say, shown};

/// Largest ladder that is taken: more than the rings of some dozen edges hold of one call.
const LARGEST: usize = 64 * 1024 * 1024;

/// Lines of a screen, with some left for the prompt.
const SCREEN: usize = 40;

/// One message of a call between two named parties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LadderMessage {
    /// Time since the first message.
    pub at: Duration,
    /// Name of the sender ("alice", an edge's id).
    pub from: String,
    /// Name of the receiver.
    pub to: String,
    /// Method or status, and what it carries: "180 INVITE (RSeq 1, SDP)".
    pub label: String,
}

/// What all edges saw of a call, in order, without retransmissions.
#[derive(Debug)]
pub struct Gathered {
    /// Names of the columns, from left to right.
    columns: Vec<String>,
    steps: Vec<Step>,
    /// Whether older steps have left the rings.
    truncated: bool,
}

#[derive(Debug)]
enum Step {
    Message(LadderMessage),
    /// Time since the first message, the edge where it was carried out, and the words.
    Decision(Duration, String, String),
}

impl Gathered {
    /// These messages.
    #[cfg(test)]
    pub fn of(messages: impl IntoIterator<Item = LadderMessage>) -> Self {
        let steps: Vec<Step> = messages.into_iter().map(Step::Message).collect();
        let mut columns: Vec<String> = Vec::new();
        for step in &steps {
            if let Step::Message(message) = step {
                for name in [&message.from, &message.to] {
                    if !columns.contains(name) {
                        columns.push(name.clone());
                    }
                }
            }
        }
        Self { columns, steps, truncated: false }
    }

    /// The messages in order.
    pub fn messages(&self) -> impl Iterator<Item = &LadderMessage> {
        self.steps.iter().filter_map(|step| match step {
            Step::Message(message) => Some(message),
            Step::Decision(..) => None,
        })
    }

    /// The messages alone.
    fn without_decisions(mut self) -> Self {
        self.steps.retain(|step| matches!(step, Step::Message(_)));
        self
    }

    /// Whether one screen is too small for it, and decisions take much of it.
    fn is_crowded(&self) -> bool {
        let decisions = self.steps.len() - self.messages().count();
        self.steps.len() > SCREEN && 3 * decisions >= self.steps.len()
    }

    /// The drawing.
    pub fn draw(&self) -> String {
        let column = |name: &str| self.columns.iter().position(|column| column == name).unwrap_or_default();
        let entries = self.steps.iter().map(|step| match step {
            Step::Message(message) => {
                let (from, to) = (column(&message.from), column(&message.to));
                Entry::Message(message.at, Arrow { from, to, label: message.label.clone() })
            }
            Step::Decision(at, edge, words) => Entry::Decision(*at, column(edge), words.clone()),
        });
        let mut drawing = draw(&self.columns, &entries.collect::<Vec<_>>());
        if self.truncated {
            drawing += "Older steps have left the rings, or an edge did not answer.\n";
        }
        drawing
    }
}

impl From<Ladder> for Gathered {
    fn from(ladder: Ladder) -> Self {
        let first = ladder.steps.iter().find(|step| arrow(step).is_some()).and_then(|step| step.time);
        let since = |time: Option<Timestamp>| Duration::from_nanos(nanos(time).saturating_sub(nanos(first)));
        let (ours, mut others): (Vec<_>, Vec<_>) = ladder.participants.into_iter().partition(|who| who.ours);
        // The first party to the left of Carillon and the others to the right: a call then reads as it runs.
        let right = others.split_off(others.len().min(1));
        let columns = others.into_iter().chain(ours).chain(right).map(|who| who.name).collect();
        let steps = ladder.steps.into_iter().filter_map(|step| match step.what? {
            ladder_step::What::Arrow(arrow) if arrow.retransmission => None,
            ladder_step::What::Arrow(arrow) => {
                let label = label(&arrow);
                let message = LadderMessage { at: since(step.time), from: arrow.from, to: arrow.to, label };
                Some(Step::Message(message))
            }
            ladder_step::What::Decision(decision) => {
                Some(Step::Decision(since(step.time), step.edge_id, words(&decision)))
            }
        });
        Self { columns, steps: steps.collect(), truncated: ladder.truncated }
    }
}

/// Asks for the ladder of a call, by Carillon's id or a Call-ID.
///
/// # Errors
/// A refused rpc.
pub async fn gather(connection: Connection, call: &str) -> anyhow::Result<Gathered> {
    Ok(Gathered::from(fetch(connection, call).await?))
}

/// Shows the ladder of a call.
///
/// # Errors
/// A refused rpc.
pub async fn run(args: LadderArgs) -> anyhow::Result<()> {
    let ladder = fetch(connect(&args.api).await?, &args.call).await?;
    if let Some(file) = &args.pcap {
        return write_pcap(&ladder, file);
    }
    match args.api.json {
        true => Ok(ladder.steps.iter().try_for_each(|step| say!("{}", step_json(step)))?),
        false => {
            let gathered = Gathered::from(ladder);
            let gathered = if args.arrows { gathered.without_decisions() } else { gathered };
            say!("{}", gathered.draw().trim_end())?;
            if gathered.is_crowded() {
                complain!("`--arrows` leaves the decisions (·) out");
            }
            Ok(())
        }
    }
}

/// Says how many messages the file has where that is not what it is written to.
fn write_pcap(ladder: &Ladder, file: &Path) -> anyhow::Result<()> {
    if file == Path::new("-") {
        pcap::write(ladder, &mut std::io::stdout().lock()).context("standard output")?;
        return Ok(());
    }
    let shown = file.display();
    let written = File::create(file).and_then(|open| pcap::write(ladder, &mut BufWriter::new(open)));
    let count = written.with_context(|| shown.to_string())?;
    if ladder.truncated {
        complain!("older steps have left the rings, or an edge did not answer");
    }
    Ok(say!("{count} messages in {shown}")?)
}

async fn fetch(connection: Connection, call: &str) -> anyhow::Result<Ladder> {
    let mut client = TracesClient::new(connection).max_decoding_message_size(LARGEST);
    let request = GetLadderRequest { call_id: call.to_owned(), with_text: true };
    Ok(client.get_ladder(request).await.map_err(Refusal)?.into_inner())
}

fn arrow(step: &LadderStep) -> Option<&Passed> {
    match &step.what {
        Some(ladder_step::What::Arrow(arrow)) => Some(arrow),
        Some(ladder_step::What::Decision(_)) | None => None,
    }
}

/// What stands on the arrow; what is no message has only the words of the edge.
fn label(arrow: &Passed) -> String {
    shown(&summarise(&arrow.text).map_or_else(|| arrow.summary.clone(), |summary| summary.label()))
}

fn words(decision: &Decision) -> String {
    let Decision { by, what, reason } = decision;
    shown(&if reason.is_empty() { format!("{by}: {what}") } else { format!("{by}: {what} ({reason})") })
}

fn nanos(time: Option<Timestamp>) -> u64 {
    let Timestamp { seconds, nanos } = time.unwrap_or_default();
    let seconds = u64::try_from(seconds).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(nanos).unwrap_or_default())
}

fn step_json(step: &LadderStep) -> Value {
    let mut json = json!({
        "time": time(step.time.as_ref()),
        "edge_id": step.edge_id,
        "sip_call_id": step.sip_call_id,
        "call_id": step.call_id,
    });
    match &step.what {
        Some(ladder_step::What::Arrow(arrow)) => {
            json["from"] = json!(arrow.from);
            json["to"] = json!(arrow.to);
            json["label"] = json!(label(arrow));
            json["transport"] = json!(arrow.transport);
            json["from_address"] = json!(arrow.from_address);
            json["to_address"] = json!(arrow.to_address);
            json["retransmission"] = json!(arrow.retransmission);
            json["text"] = json!(String::from_utf8_lossy(&arrow.text));
        }
        Some(ladder_step::What::Decision(decision)) => {
            json["by"] = json!(decision.by);
            json["decision"] = json!(decision.what);
            json["reason"] = json!(decision.reason);
        }
        None => {}
    }
    json
}

#[cfg(test)]
mod tests {
    use cluster_api::trace::v1::Participant;

    use super::*;

    fn ladder() -> Ladder {
        let at = |nanos: i32| Some(Timestamp { seconds: 1000, nanos });
        let step = |nanos, what| LadderStep {
            time: at(nanos),
            edge_id: "edge-0".into(),
            what: Some(what),
            ..LadderStep::default()
        };
        let passed = |from: &str, to: &str, retransmission| {
            ladder_step::What::Arrow(Passed {
                from: from.into(),
                to: to.into(),
                retransmission,
                text: "OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=1\r\n\
                       To: <sip:a@h>\r\nCall-ID: x\r\nCSeq: 2 OPTIONS\r\n\r\n"
                    .into(),
                ..Passed::default()
            })
        };
        let decided = ladder_step::What::Decision(Decision {
            by: "registrar".into(),
            what: "fork to 1 target".into(),
            reason: "contact".into(),
        });
        let who = |name: &str, ours| Participant { name: name.into(), ours, ..Participant::default() };
        Ladder {
            participants: vec![who("edge-0", true), who("alice", false), who("bob", false)],
            steps: vec![
                step(0, decided),
                step(2_000_000, passed("edge-0", "alice", false)),
                step(3_000_000, passed("edge-0", "alice", true)),
                step(7_000_000, passed("bob", "edge-0", false)),
            ],
            ..Ladder::default()
        }
    }

    #[test]
    fn messages_are_told_without_repetitions_since_the_first() {
        let gathered = Gathered::from(ladder());
        let told: Vec<_> =
            gathered.messages().map(|m| (m.at.as_millis(), &*m.from, &*m.to, &*m.label)).collect();
        assert_eq!(told, [(0, "edge-0", "alice", "OPTIONS"), (5, "bob", "edge-0", "OPTIONS")]);
    }

    #[test]
    fn carillon_is_drawn_between_its_peers_with_the_decisions() {
        let drawing = Gathered::from(ladder()).draw();
        let lines: Vec<&str> = drawing.lines().collect();
        let at = |name: &str| lines[0].find(name).expect("a column");
        assert!(at("alice") < at("edge-0") && at("edge-0") < at("bob"), "{drawing}");
        assert!(lines[1].contains("· registrar: fork to 1 target (contact)"), "{drawing}");
        assert_eq!(lines.len(), 4, "{drawing}");
    }

    #[test]
    fn the_arrows_of_a_long_ladder_can_be_had_alone() {
        let long =
            Ladder { steps: ladder().steps.into_iter().cycle().take(2 * SCREEN).collect(), ..ladder() };
        assert!(!Gathered::from(ladder()).is_crowded());
        let gathered = Gathered::from(long);
        let messages = gathered.messages().count();
        assert!(gathered.is_crowded(), "a third and more are decisions");
        let alone = gathered.without_decisions();
        assert!(!alone.is_crowded());
        let drawing = alone.draw();
        assert!(!drawing.contains('·') && drawing.lines().count() == messages + 1, "{drawing}");
    }

    #[test]
    fn what_has_left_the_rings_is_told() {
        let drawing = Gathered::from(Ladder { truncated: true, ..ladder() }).draw();
        assert!(drawing.ends_with("an edge did not answer.\n"), "{drawing}");
    }

    #[test]
    fn a_step_is_one_json_object() {
        let steps = ladder().steps;
        assert_eq!(step_json(&steps[0])["decision"], "fork to 1 target");
        assert_eq!(
            (&step_json(&steps[2])["label"], &step_json(&steps[2])["retransmission"]),
            (&json!("OPTIONS"), &json!(true))
        );
    }
}
