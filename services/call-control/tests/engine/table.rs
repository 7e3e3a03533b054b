//! Every stage against every input, as one golden text: review the change to `table.txt` first.
//!
//! `CARILLON_BLESS=1` writes the file anew.

use crate::ends::stages;
use crate::ladder::{Answer, Ladder, sdp};

const GOLDEN: &str = include_str!("table.txt");

type Input = (&'static str, fn(&mut Ladder) -> Option<()>);

/// LAD-1 … LAD-4: nothing is undefined.
#[test]
fn every_stage_knows_every_input() {
    let mut table = String::new();
    for (stage, start) in stages() {
        table.push_str(&format!("== {stage}\n"));
        for (name, input) in INPUTS {
            let mut t = start.clone();
            if input(&mut t).is_none() {
                continue;
            }
            let lines: Vec<String> = t.lines.iter().skip(1).map(|line| format!("     {line}\n")).collect();
            table.push_str(&format!("  -- {name}{}\n", if lines.is_empty() { ": nothing" } else { "" }));
            table.extend(lines);
        }
    }
    if std::env::var_os("CARILLON_BLESS").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/table.txt");
        std::fs::write(path, &table).expect("the golden file can be written");
        return;
    }
    for (number, (seen, golden)) in table.lines().zip(GOLDEN.lines()).enumerate() {
        assert_eq!(seen, golden, "line {} of table.txt", number + 1);
    }
    assert_eq!(table.lines().count(), GOLDEN.lines().count());
}

const INPUTS: [Input; 24] = [
    ("INVITE a 180", |t| answer(t, "a", "INVITE", 180.into())),
    ("INVITE a 183 reliable, answer", |t| {
        answer(t, "a", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&[])))
    }),
    ("INVITE a 200, answer", |t| answer(t, "a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])))),
    ("INVITE a 200 of another fork", |t| {
        answer(t, "a", "INVITE", Answer::new(200).tag("a9").sdp(&sdp(&["audio 1"])))
    }),
    ("INVITE a 486", |t| answer(t, "a", "INVITE", 486.into())),
    ("INVITE a 488", |t| answer(t, "a", "INVITE", 488.into())),
    ("INVITE a 491", |t| answer(t, "a", "INVITE", 491.into())),
    ("INVITE a 481", |t| answer(t, "a", "INVITE", 481.into())),
    ("UPDATE a 200, answer", |t| answer(t, "a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])))),
    ("UPDATE a 405", |t| answer(t, "a", "UPDATE", 405.into())),
    ("UPDATE a 415", |t| answer(t, "a", "UPDATE", 415.into())),
    ("UPDATE a 488", |t| answer(t, "a", "UPDATE", 488.into())),
    ("UPDATE a 500", |t| answer(t, "a", "UPDATE", Answer::new(500).retry_after(3))),
    ("INVITE b 180", |t| answer(t, "b", "INVITE", 180.into())),
    ("INVITE b 183 reliable, offer", |t| {
        answer(t, "b", "INVITE", Answer::new(183).reliable(2).sdp(&sdp(&["audio 5000"])))
    }),
    ("INVITE b 183 reliable of another fork, offer", |t| {
        answer(t, "b", "INVITE", Answer::new(183).tag("b9").reliable(1).sdp(&sdp(&["audio 5009"])))
    }),
    ("INVITE b 200, offer", |t| answer(t, "b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])))),
    ("INVITE b 200", |t| answer(t, "b", "INVITE", 200.into())),
    ("INVITE b 486", |t| answer(t, "b", "INVITE", 486.into())),
    ("PRACK b 200", |t| answer(t, "b", "PRACK", 200.into())),
    ("PRACK b 481", |t| answer(t, "b", "PRACK", 481.into())),
    ("offer of a by INVITE", |t| request(t, "a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])))),
    ("offer of b by UPDATE", |t| request(t, "b", "UPDATE", Some(&sdp(&["audio 5001"])))),
    ("INFO of a", |t| request(t, "a", "INFO", None)),
];

fn answer(t: &mut Ladder, leg: &str, method: &str, answer: Answer) -> Option<()> {
    t.sent
        .iter()
        .any(|(on, _, request)| on == leg && request.method == method)
        .then(|| t.reply(leg, method, answer))
}

fn request(t: &mut Ladder, leg: &str, method: &str, sdp: Option<&str>) -> Option<()> {
    let has_dialog = t.call.legs.iter().any(|on| on.leg_id == leg && !on.remote_tag.is_empty());
    has_dialog.then(|| drop(t.request(leg, method, sdp)))
}
