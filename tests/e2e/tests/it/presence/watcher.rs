//! A watcher: a peer on a socket of its own that subscribes and answers every NOTIFY.

use std::cell::Cell;

use sip_digest::{Challenge, Login};
use test_support::Carillon;

use crate::wire::{Wire, header, status};

/// One watcher with one subscription.
pub struct Watcher {
    pub wire: Wire,
    /// Lines of From and To, of the package, and what else every SUBSCRIBE says.
    lines: Vec<String>,
    resource: String,
    call_id: String,
    cseq: u32,
    /// What the answer to the first SUBSCRIBE said: where later ones go.
    pub target: String,
    /// Number of the last NOTIFY.
    last: Cell<u32>,
    /// Name and password, for those who have to prove who they are.
    pub login: Option<(String, String)>,
}

/// What a NOTIFY said.
#[derive(Debug, Clone)]
pub struct Told {
    pub text: String,
    pub state: String,
    pub body: String,
    pub cseq: u32,
}

impl Watcher {
    /// `user` of localhost, who will watch `resource` of localhost in `package`.
    pub fn new(carillon: &Carillon, user: &str, resource: &str, package: &str, more: &[&str]) -> Self {
        let watched = (format!("sip:{resource}@localhost"), package);
        Self::of(Wire::of(carillon), (user, "localhost"), watched, more)
    }

    /// A user of some domain, on this socket, who will watch the resource of this URI.
    pub fn of(
        wire: Wire,
        (user, domain): (&str, &str),
        (resource, package): (String, &str),
        more: &[&str],
    ) -> Self {
        let mut lines = vec![
            format!("From: <sip:{user}@{domain}>;tag=w{user}"),
            format!("To: <{resource}>"),
            format!("Event: {package}"),
            format!("Contact: <sip:{user}@{}>", wire.address()),
        ];
        lines.extend(more.iter().map(|line| (*line).to_owned()));
        let name = resource.trim_start_matches("sip:").split('@').next().unwrap_or_default();
        let call_id = format!("{user}-{name}-{}", wire.address().port());
        let (cseq, last, login) = (0, Cell::new(0), None);
        Self { wire, lines, target: resource.clone(), resource, call_id, cseq, last, login }
    }

    /// Subscribes for so long, or refreshes; the final answer.
    pub fn subscribe(&mut self, expires: u32) -> String {
        self.cseq += 1;
        let head = [
            format!("Call-ID: {}", self.call_id),
            format!("CSeq: {} SUBSCRIBE", self.cseq),
            format!("Expires: {expires}"),
        ];
        let mut lines: Vec<&str> = self.lines.iter().chain(&head).map(String::as_str).collect();
        let start = format!("SUBSCRIBE {}", self.target);
        self.wire.request(&start, &lines);
        let mut answer = self.wire.answer_to(&self.call_id);
        if let Some((user, password)) = self.login.as_ref().filter(|_| status(&answer) == 401) {
            let challenge = header(&answer, "WWW-Authenticate").expect("a 401 has a challenge").to_owned();
            let challenge = Challenge::parse(challenge.as_bytes()).expect("a challenge");
            let login = Login { user, password };
            let proof = sip_digest::answer(&challenge, login, "SUBSCRIBE", &self.target, b"", "c", 1);
            let proof = String::from_utf8(proof.to_bytes()).expect("credentials are text");
            self.cseq += 1;
            let more = [format!("Authorization: {proof}"), format!("CSeq: {} SUBSCRIBE", self.cseq)];
            lines.retain(|line| !line.starts_with("CSeq:"));
            lines.extend(more.iter().map(String::as_str));
            self.wire.request(&start, &lines);
            answer = self.wire.answer_to(&self.call_id);
        }
        if status(&answer) == 200 && self.target == self.resource {
            let contact = header(&answer, "Contact").expect("a 200 to SUBSCRIBE has a Contact");
            self.target = contact.trim_start_matches('<').split('>').next().unwrap().to_owned();
            let to = header(&answer, "To").unwrap();
            self.lines.retain(|line| !line.starts_with("To:"));
            self.lines.push(format!("To: {to}"));
        }
        answer
    }

    /// The next NOTIFY, answered 200.
    pub fn told(&self) -> Told {
        self.told_and("200 OK")
    }

    /// The first NOTIFY from now on that is like this; each is answered 200.
    pub fn until(&self, is_it: impl Fn(&Told) -> bool) -> Told {
        loop {
            let told = self.told();
            if is_it(&told) {
                return told;
            }
        }
    }

    /// The next new NOTIFY, answered like this. One that comes again is answered as before.
    pub fn told_and(&self, answer: &str) -> Told {
        loop {
            let told = self.next(answer);
            if told.cseq > self.last.get() {
                self.last.set(told.cseq);
                return told;
            }
        }
    }

    fn next(&self, answer: &str) -> Told {
        let text = self.wire.receive_request("NOTIFY");
        self.wire.respond(&text, answer, &[]);
        let field = |name: &str| header(&text, name).unwrap_or_default().to_owned();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        let cseq = field("CSeq").split(' ').next().unwrap().parse().unwrap();
        assert_eq!(field("Call-ID"), self.call_id, "{text}");
        Told { state: field("Subscription-State"), body, cseq, text }
    }
}
