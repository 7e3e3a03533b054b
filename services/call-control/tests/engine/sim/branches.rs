//! Which branches of LAD-1 … LAD-4 a run went through, read from its history.

use call_control::engine::call::Flow;

use super::world::World;

/// Something that happened, in the order of the history.
enum Line<'a> {
    Response { leg: &'a str, status: u32, method: &'a str, tag: &'a str, sdp: bool, reliable: bool },
    Request { leg: &'a str, method: &'a str },
    Silence { leg: &'a str, method: &'a str },
    Effect { leg: &'a str, what: &'a str },
    Told { kind: &'a str, leg: &'a str },
    HangUp,
}

/// A run until both parties were connected, or until its end.
struct Setup<'a> {
    flow: Flow,
    status: u32,
    lines: Vec<Line<'a>>,
}

type Branch = (&'static str, fn(&Setup) -> bool);

/// The branches, as the ladders name them. LAD-1 j and LAD-3 f are not for a phone that keeps to RFC 3261 15.
const BRANCHES: [Branch; 54] = [
    ("LAD-1", |s| s.is(Flow::Iv) && s.is_connected()),
    ("LAD-1 a", |s| s.is(Flow::Iv) && s.first_refuses()),
    ("LAD-1 a, again", |s| s.is(Flow::Iv) && s.is_dialled_again("a")),
    ("LAD-1 b", |s| s.is(Flow::Iv) && s.gives_up("a")),
    ("LAD-1 b, crossing", |s| s.is(Flow::Iv) && s.cancel_crosses("a")),
    ("LAD-1 c", |s| s.is(Flow::Iv) && s.second_refuses()),
    ("LAD-1 d", |s| s.is(Flow::Iv) && s.gives_up("b")),
    ("LAD-1 d, crossing", |s| s.is(Flow::Iv) && s.cancel_crosses("b")),
    ("LAD-1 e", |s| s.is(Flow::Iv) && s.first_hangs_up()),
    ("LAD-1 f", |s| s.is(Flow::Iv) && s.first_asks()),
    ("LAD-1 g", |s| s.is(Flow::Iv) && s.asked("INVITE", &[488, 606, 415])),
    ("LAD-1 g, 491", |s| s.is(Flow::Iv) && s.asked("INVITE", &[491])),
    ("LAD-1 g, gone", |s| s.is(Flow::Iv) && (s.asked("INVITE", &[481]) || s.is_silent("INVITE"))),
    ("LAD-1 g, guard", |s| s.is(Flow::Iv) && s.status == 504),
    ("LAD-1 h", |s| s.is(Flow::Iv) && s.refuses_every_stream()),
    ("LAD-1 i", |s| s.is(Flow::Iv) && s.both_forks_answer("b")),
    ("LAD-2", |s| s.is(Flow::Iii) && s.is_connected()),
    ("LAD-2 a", |s| s.is(Flow::Iii) && s.first_refuses()),
    ("LAD-2 b", |s| s.is(Flow::Iii) && s.gives_up("a")),
    ("LAD-2 c", |s| s.is(Flow::Iii) && s.second_refuses()),
    ("LAD-2 d", |s| s.is(Flow::Iii) && s.gives_up("b")),
    ("LAD-2 e", |s| s.is(Flow::Iii) && s.first_hangs_up()),
    ("LAD-2 f", |s| s.is(Flow::Iii) && s.first_asks()),
    ("LAD-2 g", |s| s.is(Flow::Iii) && s.asked("INVITE", &[488, 606, 415])),
    ("LAD-2 g, 491", |s| s.is(Flow::Iii) && s.asked("INVITE", &[491])),
    ("LAD-2 g, gone", |s| s.is(Flow::Iii) && (s.asked("INVITE", &[481]) || s.is_silent("INVITE"))),
    ("LAD-2 i", |s| s.is(Flow::Iii) && s.both_forks_answer("b")),
    ("LAD-2 k", |s| s.is(Flow::Iii) && s.refuses_every_stream()),
    ("LAD-3", |s| s.is(Flow::I) && s.is_connected()),
    ("LAD-3 a", |s| s.is(Flow::I) && s.first_refuses()),
    ("LAD-3 b", |s| s.is(Flow::I) && s.gives_up("a")),
    ("LAD-3 c", |s| s.is(Flow::I) && s.second_refuses()),
    ("LAD-3 d", |s| s.is(Flow::I) && s.gives_up("b")),
    ("LAD-3 d, crossing", |s| s.is(Flow::I) && s.cancel_crosses("b")),
    ("LAD-4", |s| s.is(Flow::Ringback) && s.is_connected() && s.has_rung_early()),
    ("LAD-4 a", |s| s.is(Flow::Ringback) && s.is_told("RingbackStarted") && !s.has_rung_early()),
    ("LAD-4 b", |s| s.asked("UPDATE", &[405, 501])),
    ("LAD-4 c", |s| s.asked("UPDATE", &[504])),
    ("LAD-4 d", |s| s.asked("UPDATE", &[488, 606])),
    ("LAD-4 e, 415", |s| s.asked("UPDATE", &[415])),
    ("LAD-4 e, 500", |s| s.asked("UPDATE", &[500])),
    ("LAD-4 f", |s| s.asked("UPDATE", &[491])),
    ("LAD-4 g", |s| s.asked("UPDATE", &[481])),
    ("LAD-4 g, silence", |s| s.is_silent("UPDATE")),
    ("LAD-4 h", |s| s.is(Flow::Ringback) && s.has_rung_early() && s.second_refuses()),
    ("LAD-4 i", |s| s.is(Flow::Ringback) && s.has_rung_early() && s.gives_up("b")),
    ("LAD-4 i, crossing", |s| s.is(Flow::Ringback) && s.has_rung_early() && s.cancel_crosses("b")),
    ("LAD-4 j", |s| s.is(Flow::Ringback) && s.has_rung_early() && s.first_hangs_up()),
    ("LAD-4 k", |s| s.any(|line| matches!(line, Line::Request { leg: "b", method: "UPDATE" }))),
    ("LAD-4 l", |s| s.is(Flow::Ringback) && s.both_forks_ring()),
    ("LAD-4 m", |s| s.is(Flow::Ringback) && s.rings_without_offer()),
    ("LAD-4 n", |s| s.answers("b", "PRACK", |status| status >= 300)),
    ("LAD-4 o", |s| s.is(Flow::Ringback) && s.status == 504),
    ("LAD-4 p", |s| s.both_are_dialled()),
];

/// The names of the branches that the run went through.
pub fn branches_of(world: &World) -> Vec<&'static str> {
    let setup = Setup::of(world);
    BRANCHES.iter().filter(|(_, is_taken)| is_taken(&setup)).map(|(name, _)| *name).collect()
}

/// The names of all of them.
pub fn all() -> Vec<&'static str> {
    BRANCHES.iter().map(|(name, _)| *name).collect()
}

impl Setup<'_> {
    fn of(world: &World) -> Setup<'_> {
        let mut lines = Vec::new();
        for line in world.history.iter().skip(1).filter_map(|line| read(line)) {
            let is_connected = matches!(line, Line::Told { kind: "Connected", .. });
            lines.push(line);
            if is_connected {
                break;
            }
        }
        let status = world.call.outcome.as_ref().map_or(0, |outcome| outcome.sip_status);
        Setup { flow: world.call.flow(), status, lines }
    }

    fn any(&self, is_it: impl Fn(&Line) -> bool) -> bool {
        self.lines.iter().any(is_it)
    }

    /// Whether the first comes before the second.
    fn order(&self, first: impl Fn(&Line) -> bool, second: impl Fn(&Line) -> bool) -> bool {
        let Some(at) = self.lines.iter().position(first) else { return false };
        self.lines[at + 1..].iter().any(second)
    }

    fn is(&self, flow: Flow) -> bool {
        self.flow == flow
    }

    fn is_told(&self, event: &str) -> bool {
        self.any(|line| matches!(line, Line::Told { kind, .. } if *kind == event))
    }

    fn is_connected(&self) -> bool {
        self.is_told("Connected")
    }

    fn answers(&self, by: &str, to: &str, is_status: impl Fn(u32) -> bool) -> bool {
        self.any(|line| {
            matches!(line, Line::Response { leg, status, method, .. }
                if *leg == by && *method == to && is_status(*status))
        })
    }

    fn sends(&self, to: &str, method: &str) -> usize {
        let is_it =
            |line: &&Line| matches!(line, Line::Effect { leg, what } if *leg == to && *what == method);
        self.lines.iter().filter(is_it).count()
    }

    fn first_refuses(&self) -> bool {
        let is_b_dialled = self.any(|line| matches!(line, Line::Told { kind: "LegDialing", leg: "b" }));
        self.answers("a", "INVITE", |status| status >= 300 && status != 487) && !is_b_dialled
    }

    fn is_dialled_again(&self, leg: &str) -> bool {
        self.sends(leg, "INVITE") > 1
            && self.answers(leg, "INVITE", |status| [401, 407, 302].contains(&status))
    }

    /// The phone is cancelled because it does not answer, and not because somebody hangs up.
    fn gives_up(&self, on: &str) -> bool {
        let gives_up = |line: &Line| matches!(line, Line::Effect { leg, what: "CANCEL" } if *leg == on);
        let hangs_up = |line: &Line| matches!(line, Line::HangUp | Line::Request { method: "BYE", .. });
        self.status == 480 && self.any(gives_up) && !self.order(hangs_up, gives_up)
    }

    fn cancel_crosses(&self, on: &str) -> bool {
        self.order(
            |line| matches!(line, Line::Effect { leg, what: "CANCEL" } if *leg == on),
            |line| matches!(line, Line::Response { leg, status: 200..=299, method: "INVITE", .. } if *leg == on),
        )
    }

    fn second_refuses(&self) -> bool {
        let refuses = self.answers("b", "INVITE", |status| status >= 300 && status != 487);
        refuses && !self.is_connected() && self.sends("b", "CANCEL") == 0
    }

    fn first_hangs_up(&self) -> bool {
        self.any(|line| matches!(line, Line::Request { leg: "a", method: "BYE" })) && !self.is_connected()
    }

    fn first_asks(&self) -> bool {
        self.any(|line| matches!(line, Line::Request { leg: "a", method: "INVITE" | "UPDATE" }))
    }

    /// The first party, which has answered, is asked for something, and says this.
    fn asked(&self, request: &str, statuses: &[u32]) -> bool {
        self.order(
            |line| matches!(line, Line::Told { kind: "LegAnswered", leg: "a" }),
            |line| {
                matches!(line, Line::Response { leg: "a", status, method, .. }
                    if *method == request && statuses.contains(status))
            },
        )
    }

    fn is_silent(&self, request: &str) -> bool {
        self.order(
            |line| matches!(line, Line::Told { kind: "LegAnswered", leg: "a" }),
            |line| matches!(line, Line::Silence { leg: "a", method } if *method == request),
        )
    }

    /// 488 that nobody said.
    fn refuses_every_stream(&self) -> bool {
        let is_said = ["a", "b"].iter().any(|leg| {
            ["INVITE", "UPDATE"]
                .iter()
                .any(|to| self.answers(leg, to, |status| [415, 488, 606].contains(&status)))
        });
        self.status == 488 && !is_said
    }

    fn tags(&self, is_it: impl Fn(&Line) -> bool) -> usize {
        let mut tags: Vec<&str> = Vec::new();
        for line in self.lines.iter().filter(|line| is_it(line)) {
            if let Line::Response { tag, .. } = line
                && !tags.contains(tag)
            {
                tags.push(tag);
            }
        }
        tags.len()
    }

    fn both_forks_answer(&self, on: &str) -> bool {
        let answers = |line: &Line| matches!(line, Line::Response { leg, status: 200..=299, method: "INVITE", .. } if *leg == on);
        self.tags(answers) > 1
    }

    fn both_forks_ring(&self) -> bool {
        self.tags(|line| matches!(line, Line::Response { leg: "b", reliable: true, sdp: true, .. })) > 1
    }

    fn has_rung_early(&self) -> bool {
        self.any(|line| matches!(line, Line::Response { leg: "b", reliable: true, sdp: true, .. }))
    }

    fn rings_without_offer(&self) -> bool {
        let rings = |line: &&Line| matches!(line, Line::Response { leg: "b", reliable: true, .. });
        let first = self.lines.iter().find(rings);
        first.is_some_and(|line| matches!(line, Line::Response { sdp: false, .. }))
    }

    fn both_are_dialled(&self) -> bool {
        self.order(
            |line| matches!(line, Line::Effect { leg: "b", what: "INVITE" }),
            |line| matches!(line, Line::Told { kind: "LegAnswered", leg: "a" }),
        )
    }
}

fn read(line: &str) -> Option<Line<'_>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["!", kind, leg, ..] => Some(Line::Told { kind, leg }),
        [_, "API", command, ..] => command.starts_with("Hangup").then_some(Line::HangUp),
        [_, to, what, ..] if to.starts_with("C>") => Some(Line::Effect { leg: &to[2..], what }),
        [_, _, leg, number, first, method, ..] if number.starts_with('#') => Some(match first.parse() {
            Ok(status) => Line::Response {
                leg,
                status,
                method,
                tag: words.get(7).copied().unwrap_or_default(),
                sdp: line.contains(" sdp["),
                reliable: line.contains(" RSeq "),
            },
            Err(_) if first.starts_with("Failed") => {
                let methods = ["INVITE", "UPDATE", "PRACK", "BYE", "INFO"];
                let method = methods.into_iter().find(|method| line.contains(method)).unwrap_or_default();
                Line::Silence { leg, method }
            }
            Err(_) => Line::Request { leg, method: first },
        }),
        _ => None,
    }
}
