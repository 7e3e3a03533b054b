//! A phone that does as chance has it. It keeps its own dialog and checks what it is told.

use call_control::engine::effect::{Body, SendRequest};
use call_control::engine::event::ResponseReceived;

use super::world::Chance;

/// Where the phone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// An INVITE came, nothing was said.
    Called,
    /// A provisional response was sent.
    Ringing,
    /// A 2xx was sent and waits for ACK.
    Answered,
    /// Acknowledged.
    Up,
    /// Refused, cancelled, or BYE was sent or came.
    Over,
    /// Its network is gone: it says nothing more.
    Dead,
}

/// A request of the phone inside its dialog.
pub struct OwnRequest {
    pub transaction: String,
    pub method: String,
    pub is_answered: bool,
    /// How many lines it offered.
    pub offered: Option<usize>,
}

/// One phone: the end of one fork of an INVITE.
pub struct Phone {
    pub leg: usize,
    pub tag: String,
    pub state: State,
    /// The INVITE that it was called with, and the edge that carries it.
    pub invite: SendRequest,
    pub invite_effect: u64,
    pub edge: usize,
    /// The edge died while the INVITE was open.
    pub is_orphan: bool,
    /// Another fork has answered, and this one answers too before it is cancelled.
    pub is_hurried: bool,
    pub rseq: u32,
    pub unpracked: bool,
    pub last_prack: u32,
    pub has_early_session: bool,
    /// Its offer in the 2xx waits for the answer in ACK.
    pub offer_lines: Option<usize>,
    pub lines: usize,
    pub cseq: u32,
    pub own_requests: Vec<OwnRequest>,
    pub acked: Vec<u32>,
    pub said_2xx: Vec<u32>,
    pub bye_came: bool,
    last_sdp: Option<(u64, String)>,
    pub faults: Vec<String>,
}

impl Phone {
    pub fn new(leg: usize, tag: String, invite: SendRequest, effect: u64, edge: usize) -> Phone {
        let mut phone = Phone {
            leg,
            tag,
            state: State::Called,
            invite_effect: effect,
            edge,
            is_orphan: false,
            is_hurried: false,
            rseq: 0,
            unpracked: false,
            last_prack: 0,
            has_early_session: false,
            offer_lines: None,
            lines: 0,
            cseq: 0,
            own_requests: Vec::new(),
            acked: Vec::new(),
            said_2xx: Vec::new(),
            bye_came: false,
            last_sdp: None,
            faults: Vec::new(),
            invite: invite.clone(),
        };
        phone.hear(invite.body.as_ref());
        phone
    }

    /// Whether it would still ring or speak.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, State::Over | State::Dead)
    }

    /// A response of the phone.
    pub fn response(&self, status: u32, request: &SendRequest, effect: u64) -> ResponseReceived {
        ResponseReceived {
            effect,
            status,
            reason: "As it likes".into(),
            method: request.method.clone(),
            cseq: request.cseq,
            to_tag: self.tag.clone(),
            contact: format!("sip:{}@phone", self.tag),
            allow: ["INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER"]
                .map(String::from)
                .to_vec(),
            accept: vec!["application/sdp".into(), "audio/tone-info+xml".into()],
            ..ResponseReceived::default()
        }
    }

    /// An offer of its own.
    pub fn offer(&mut self, chance: &mut Chance) -> Body {
        let lines = self.lines.max(1 + chance.below(2) as usize);
        self.offer_lines = Some(lines);
        sdp(lines, |_| chance.below(10) == 0)
    }

    /// An answer to the offer in a body; sometimes it refuses everything.
    pub fn answer(&mut self, body: Option<&Body>, chance: &mut Chance) -> Option<Body> {
        let lines = lines_of(body?)?;
        self.lines = lines;
        let refuses_all = chance.below(20) == 0;
        Some(sdp(lines, |_| refuses_all || chance.below(8) == 0))
    }

    /// Checks a description that came: OFA-04, OFA-05.
    pub fn hear(&mut self, body: Option<&Body>) {
        let Some((text, lines)) = body.and_then(|body| Some((text_of(body)?, lines_of(body)?))) else {
            return;
        };
        let version: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("o="))
            .and_then(|origin| origin.split(' ').nth(2))
            .and_then(|version| version.parse().ok())
            .expect("a version");
        if let Some((last, before)) = &self.last_sdp {
            let is_same = *before == text;
            if is_same != (version == *last) || version < *last {
                self.faults.push(format!("version {last} then {version}, same text: {is_same}"));
            }
        }
        self.last_sdp = Some((version, text));
        if lines < self.lines {
            self.faults.push(format!("{lines} lines after {}", self.lines));
        }
    }

    /// Checks the answer to its own offer: OFA-04.
    pub fn hear_answer(&mut self, body: Option<&Body>) {
        let Some(asked) = self.offer_lines.take() else { return };
        match body.and_then(lines_of) {
            Some(lines) if lines == asked => self.lines = lines,
            other => self.faults.push(format!("offered {asked} lines, answered {other:?}")),
        }
    }
}

/// The number of m= lines in a body; `None` when it holds no session description.
pub fn lines_of(body: &Body) -> Option<usize> {
    text_of(body).map(|text| text.lines().filter(|line| line.starts_with("m=")).count())
}

fn text_of(body: &Body) -> Option<String> {
    let text = String::from_utf8_lossy(&body.content).into_owned();
    let start = text.find("v=0\r\n")?;
    let end = text[start..].find("\r\n--").map_or(text.len(), |end| start + end);
    Some(text[start..end].to_owned())
}

fn sdp(lines: usize, mut is_refused: impl FnMut(usize) -> bool) -> Body {
    let mut text =
        String::from("v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n");
    for line in 0..lines {
        let kind = if line % 2 == 0 { "audio" } else { "video" };
        let port = if is_refused(line) { 0 } else { 4_000 + 2 * line };
        text.push_str(&format!("m={kind} {port} RTP/AVP 0\r\n"));
    }
    Body::sdp(text.into_bytes())
}
