//! What is told to who has proved nothing, against what he said: nobody is flooded in his name.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Challenge, Redirect, Refuse, RegisterResponse};
use cluster_api::sip::v1::Header;

use crate::rig::Rig;
use crate::services::FakeLocation;
use crate::wires::Wires;

const EVE: &str = "192.0.2.66:5060";

/// T7: within the 32 s that anything is repeated, every answer to a small request is at most three times as long, whatever is asked, of
/// whom, and what is wrong with it. The time is virtual.
#[tokio::test(start_paused = true)]
async fn no_small_request_gets_more_than_three_times_its_size() {
    let (_rig, wires) = edge().await;
    let (mut answered, mut silent) = (0, 0);
    for method in ["REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS", "CANCEL", "REFER", "FOO"] {
        for target in TARGETS {
            for (start, end) in LINES {
                for filler in [0, 40, 80, 160] {
                    let request = small(method, target, (start, end), filler);
                    let length = request.len();
                    let told = told(&wires, request.clone()).await;
                    assert!(told <= 3 * length, "{told} for {length}: {request}");
                    if told == 0 { silent += 1 } else { answered += 1 }
                }
            }
        }
    }
    assert!(answered > silent, "{answered} were answered, and {silent} were not");
}

/// T7: what has the size of a phone's request is told everything: both challenges, and what is wrong.
#[tokio::test(start_paused = true)]
async fn what_a_phone_sends_is_answered_in_full() {
    let (_rig, wires) = edge().await;
    for (method, target) in [("REGISTER", "sip:example.com"), ("INVITE", "sip:challenge@example.com")] {
        wires.bring(vec![datagram(small(method, target, LINES[0], 160))]);
        let (_, answer) = wires.sent().await;
        let challenges = answer.named("WWW-Authenticate").chain(answer.named("Proxy-Authenticate"));
        assert_eq!(challenges.count(), 2, "{method}");
    }
    wires.bring(vec![datagram(small("INVITE", "sip:bob@example.com", LINES[4], 160))]);
    let (_, answer) = wires.sent().await;
    assert_eq!((answer.status(), answer.named("Warning").count()), (Some(400), 1));
}

/// Whoever is asked for decides what the registrar says.
const TARGETS: [&str; 5] = [
    "sip:example.com",
    "sip:challenge@example.com",
    "sip:refuse@example.com",
    "sip:redirect@example.com",
    "nobody:x",
];

/// What stands beside the least that a request needs.
const LINES: [(&str, &str); 8] = [
    ("v:SIP/2.0/UDP h;branch=z9hG4bKBRANCH;rport", ""),
    ("v:SIP/2.0/UDP h", ""),
    ("v:SIP/2.0/UDP h;branch=z9hG4bKBRANCH", "Require:foo\r\nProxy-Require:foo\r\n"),
    ("v:SIP/2.0/UDP h;branch=z9hG4bKBRANCH", "Max-Forwards:0\r\n"),
    ("v:SIP/2.0/UDP h;branch=z9hG4bKBRANCH", "Route:<sip:x\r\n"),
    ("v:SIP/2.0/UDP h;branch=z9hG4bKBRANCH", "l:9\r\n"),
    ("v:SIP/2.0/UDP h;branch=z9hG4bKBRANCH", "no header\r\n"),
    ("v:SIP/2.0/UDP h;branch=z9hG4bKBRANCH", "m:*\r\nm:*\r\nExpires:0\r\n"),
];

/// The least that can be answered, and so many octets more.
fn small(method: &str, target: &str, (via, lines): (&str, &str), filler: usize) -> String {
    let branch = format!("{method}{}{}{filler}", target.len(), lines.len());
    let filler = if filler == 0 { String::new() } else { format!("X:{}\r\n", "x".repeat(filler)) };
    let via = via.replace("BRANCH", &branch);
    format!(
        "{method} {target} SIP/2.0\r\n{via}\r\nf:<sip:a@h>;tag=1\r\nt:<sip:b@h>\r\ni:{branch}\r\nCSeq:1 {method}\r\n\
         {lines}{filler}\r\n"
    )
}

/// Octets that a request brings its sender as long as anything is repeated.
async fn told(wires: &Wires, request: String) -> usize {
    wires.bring(vec![datagram(request)]);
    tokio::time::sleep(Duration::from_secs(33)).await;
    wires.take_all().iter().map(|(_, _, message)| message.bytes().len()).sum()
}

fn datagram(request: String) -> (SocketAddr, Bytes) {
    (EVE.parse().expect("an address"), request.into())
}

async fn edge() -> (Rig, Wires) {
    let challenges = || ["SHA-256", "MD5"].map(challenge).to_vec();
    let plan = move |request: &cluster_api::registrar::v1::RouteRequest| {
        let user = request.request_uri.split(['@', ':']).nth(1).unwrap_or_default();
        let retry = Header { name: "Retry-After".into(), value: "7".into() };
        Ok(match user {
            "challenge" => Plan::Challenge(Challenge { challenges: challenges(), ..Challenge::default() }),
            "redirect" => Plan::Redirect(Redirect {
                status: 302,
                contacts: vec!["<sip:somebody.with.a.long.name@elsewhere.example.org>".into(); 10],
            }),
            _ => Plan::Refuse(Refuse { status: 403, reason: "Relaying Denied".into(), headers: vec![retry] }),
        })
    };
    let register = move |_: &cluster_api::registrar::v1::RegisterRequest| RegisterResponse {
        status: 401,
        challenges: challenges(),
        ..RegisterResponse::default()
    };
    Rig::on_wires(FakeLocation::full(plan, register), |_| {}).await
}

/// As long as those of the registrar.
fn challenge(algorithm: &str) -> String {
    let nonce = "n".repeat(60);
    format!("Digest realm=\"example.com\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"")
}
