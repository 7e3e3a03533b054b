//! A caller `U`, the edge `P` and phones `B`, `C`, `D`, as the ladders name them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Target};
use sip_message::{HeaderId, Message};

use crate::peer::{response_to, text, values};
use crate::rig::Rig;
use crate::services::{self, FakeLocation};
use crate::wires::{EDGE, Wires};

/// The edge and what it has sent.
pub(super) struct Stage {
    pub(super) rig: Rig,
    pub(super) wires: Wires,
    pub(super) location: Arc<FakeLocation>,
    /// Requests and responses of the edge, with who got them.
    sent: Vec<(char, Message)>,
}

impl Stage {
    /// An edge whose registrar plans these groups for every call: their causes, and their phones, a letter each.
    pub(super) async fn of(groups: &'static [(&'static str, &'static str)]) -> Self {
        Self::configured(groups, |_| {}).await
    }

    pub(super) async fn configured(
        groups: &'static [(&'static str, &'static str)],
        configure: impl FnOnce(&mut edge::Config),
    ) -> Self {
        let location = FakeLocation::planning(move |_| plan(groups));
        let (rig, wires) = Rig::on_wires(location.clone(), configure).await;
        Self { rig, wires, location, sent: Vec::new() }
    }

    /// Over these parts.
    pub(super) fn over(rig: Rig, wires: Wires, location: Arc<FakeLocation>) -> Self {
        Self { rig, wires, location, sent: Vec::new() }
    }

    /// The caller says this outside of a dialog; ACK and CANCEL have the branch of the request with their CSeq number.
    pub(super) fn says(&self, method: &str, cseq: u32) {
        self.says_also(method, cseq, &[]);
    }

    pub(super) fn says_also(&self, method: &str, cseq: u32, lines: &[&str]) {
        let to = "<sip:bob@example.com>";
        self.bring('U', &request(method, "sip:bob@example.com", &format!("u{cseq}"), to, cseq, lines));
    }

    /// The caller acknowledges the failure that it got.
    pub(super) fn acknowledges(&self, cseq: u32) {
        let to =
            self.last_to('U', |message| message.status() >= Some(300) && message.method_str() == "INVITE");
        let to = to.first_str(HeaderId::To).expect("a response has one");
        self.bring('U', &request("ACK", "sip:bob@example.com", &format!("u{cseq}"), to, cseq, &[]));
    }

    /// The caller says this within the dialog that this phone's answer made. CANCEL has the branch of the INVITE.
    pub(super) fn says_in_dialog(&self, method: &str, cseq: u32, phone: char, lines: &[&str]) {
        let tag = phone.to_string();
        let answer = self.last_to('U', |message| {
            message.has(HeaderId::RecordRoute) && message.to().is_ok_and(|to| to.tag() == Some(&tag))
        });
        let mut routes = values(answer, HeaderId::RecordRoute);
        routes.reverse();
        let route = format!("Route: {}", routes.join(", "));
        let lines = [&[route.as_str()], lines].concat();
        let branch = if method == "ACK" { format!("ack{phone}{cseq}") } else { format!("{phone}{cseq}") };
        let to = answer.first_str(HeaderId::To).expect("a response has one");
        self.bring('U', &request(method, &uri(phone), &branch, to, cseq, &lines));
    }

    /// A phone answers the last request of this method that it got, with its letter as tag.
    pub(super) fn answers(&self, phone: char, method: &str, status: &str) {
        self.answers_also(phone, method, status, &[]);
    }

    pub(super) fn answers_also(&self, phone: char, method: &str, status: &str, lines: &[&str]) {
        let request = self.last_to(phone, |message| message.is_request() && message.method_str() == method);
        let contact = format!("Contact: <{}>", uri(phone));
        let lines = [&[contact.as_str()], lines].concat();
        self.bring(phone, &response_to(request, status, &phone.to_string(), &lines));
    }

    /// What the edge has sent since the last look, and sends now: `P>U 180`, `P>B CANCEL`, `P>U 200 CANCEL`. 100 is implied.
    pub(super) async fn next(&mut self) -> Vec<String> {
        self.after(Duration::from_millis(1)).await
    }

    /// What it sends in this time.
    pub(super) async fn after(&mut self, time: Duration) -> Vec<String> {
        tokio::time::sleep(time).await;
        let mut lines = Vec::new();
        for (_, peer, message) in self.wires.take_all() {
            let who = letter(peer);
            match message.status() {
                Some(100) => continue,
                Some(status) if message.method_str() == "INVITE" => lines.push(format!("P>{who} {status}")),
                Some(status) => lines.push(format!("P>{who} {status} {}", message.method_str())),
                None => lines.push(format!("P>{who} {}", message.method_str())),
            }
            self.sent.push((who, message));
        }
        lines
    }

    /// The last message that this one got and `wanted` accepts.
    pub(super) fn last_to(&self, who: char, wanted: impl Fn(&Message) -> bool) -> &Message {
        let found = self.sent.iter().rev().find(|(to, message)| *to == who && wanted(message));
        let all = || self.sent.iter().map(|(to, message)| format!("to {to}:\n{}", text(message)));
        &found.unwrap_or_else(|| panic!("{who} got no such message:\n{}", all().collect::<String>())).1
    }

    /// Why the phone is told that it is cancelled.
    pub(super) fn reason_to(&self, phone: char) -> Vec<String> {
        values(self.last_to(phone, |message| message.method_str() == "CANCEL"), HeaderId::Reason)
    }

    pub(super) fn bring(&self, from: char, text: &str) {
        self.wires.bring(vec![(address(from), Bytes::from(text.to_owned()))]);
    }
}

/// A request of the caller.
fn request(method: &str, uri: &str, branch: &str, to: &str, cseq: u32, lines: &[&str]) -> String {
    let more: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let at = address('U');
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=U\r\nTo: {to}\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:alice@{at}>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

fn plan(groups: &[(&str, &str)]) -> Plan {
    let group = |(cause, phones): &(&str, &str)| Group {
        targets: phones.chars().map(|phone| self::target(cause, phone)).collect(),
        ring_time: None,
        cause: (*cause).into(),
    };
    Plan::Fork(Fork { groups: groups.iter().map(group).collect(), recurse: false })
}

/// A phone of Bob's, or a trunk.
fn target(cause: &str, letter: char) -> Target {
    let uri = uri(letter);
    match cause.starts_with("trunk") {
        true => Target { uri, ..Target::default() },
        false => Target { aor: "sip:bob@example.com".into(), ..services::target(&uri) },
    }
}

pub(super) fn uri(phone: char) -> String {
    format!("sip:phone@{}", address(phone))
}

const LETTERS: [char; 4] = ['U', 'B', 'C', 'D'];

pub(super) fn address(who: char) -> SocketAddr {
    let place = LETTERS.iter().position(|letter| *letter == who).expect("a letter of the ladders");
    SocketAddr::from(([192, 0, 2, 2 + place as u8], 5060))
}

fn letter(peer: SocketAddr) -> char {
    assert_ne!(peer.to_string(), EDGE);
    *LETTERS.iter().find(|letter| address(**letter) == peer).unwrap_or_else(|| panic!("{peer} is nobody"))
}
