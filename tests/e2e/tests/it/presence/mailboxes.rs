//! Message waiting indication: a phone's lamp follows what the application says.

use std::process::Command;

use test_support::{Carillon, Redis};

use super::user;
use super::watcher::{Told, Watcher};
use crate::wire::{header, status};

fn set(carillon: &Carillon, name: &str, what: &[&str]) {
    let aor = format!("sip:{name}@localhost");
    let done = carillon.command(&[&["mwi", "set", &aor], what].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn is_active(told: &Told) {
    assert!(told.state.starts_with("active;expires="), "{told:?}");
}

/// The whole way of a lamp, against one process that carries the API and one edge.
fn the_lamp_follows(carillon: &Carillon, api: &Carillon) {
    let mut phone = Watcher::new(carillon, "alice", "alice", "message-summary", &[]);
    let answer = phone.subscribe(7_200);
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(header(&answer, "Expires"), Some("3600"));
    let contact = header(&answer, "Contact").unwrap();
    assert!(contact.contains(";gr"), "{contact}");
    let first = phone.told();
    is_active(&first);
    assert_eq!(first.body, "Messages-Waiting: no\r\n");
    assert_eq!(header(&first.text, "Event"), Some("message-summary"));
    assert_eq!(header(&first.text, "Content-Type"), Some("application/simple-message-summary"));

    set(api, "alice", &["--voice", "2/8(1/0)", "--account", "sip:voicemail@localhost"]);
    let told = phone.told();
    assert_eq!(
        told.body,
        "Messages-Waiting: yes\r\nMessage-Account: sip:voicemail@localhost\r\nVoice-Message: 2/8 (1/0)\r\n"
    );
    assert!(told.cseq == first.cseq + 1, "{told:?}");

    let refreshed = phone.subscribe(600);
    assert_eq!((status(&refreshed), header(&refreshed, "Expires")), (200, Some("600")), "{refreshed}");
    assert_eq!(phone.told().body, told.body);

    assert_eq!(status(&phone.subscribe(0)), 200);
    let last = phone.told();
    assert_eq!((last.state.as_str(), &last.body), ("terminated;reason=timeout", &told.body));
    assert_eq!(status(&phone.subscribe(600)), 481);
    phone.wire.expect_nothing();
}

/// PKG-06, EVT-02, EVT-03, EVT-08, EVT-13: subscribe, a change by gRPC, refresh, and the end.
#[test]
fn a_lamp_follows_what_the_application_says() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    user(&carillon, "alice");
    the_lamp_follows(&carillon, &carillon);
}

/// The four roles as processes of their own, two of each but the registrar.
pub struct Cluster {
    _redis: Redis,
    _registrar: Carillon,
    pub calls: Vec<Carillon>,
    pub presence: Vec<Carillon>,
    pub edges: Vec<Carillon>,
}

impl Cluster {
    pub fn start() -> Self {
        let redis = Redis::start();
        let url = redis.url();
        let registrar = Carillon::serve(&["--roles", "registrar", "--redis", &url, "--auth", "none"]);
        let at = format!("registrar={}", registrar.api);
        let own = ["--redis", &url, "--peers", &at];
        let replicas = |role: &str, peers: &[String]| -> Vec<Carillon> {
            let peers = peers.iter().flat_map(|peer| ["--peers", peer]);
            let further: Vec<&str> = own.into_iter().chain(peers).collect();
            let of = |number: u32| {
                let id = format!("{role}-{number}");
                Carillon::serve(&[&["--roles", role, "--id", &id], &further[..]].concat())
            };
            vec![of(1), of(2)]
        };
        let calls = replicas("call-control", &[]);
        let engines: Vec<String> =
            calls.iter().map(|replica| format!("call-control={}", replica.api)).collect();
        let presence = replicas("presence", &engines);
        let mut peers = engines;
        peers.push(at);
        peers.extend(presence.iter().map(|replica| format!("presence={}", replica.api)));
        let peers: Vec<&str> = peers.iter().flat_map(|peer| ["--peers", peer]).collect();
        let edges = ["edge-1", "edge-2"]
            .map(|id| Carillon::serve(&[&["--roles", "edge", "--id", id], &peers[..]].concat()))
            .into();
        Self { _redis: redis, _registrar: registrar, calls, presence, edges }
    }
}

/// PKG-06: the same over gRPC and Redis.
#[test]
fn a_lamp_follows_across_processes() {
    let cluster = Cluster::start();
    user(&cluster.edges[0], "alice");
    the_lamp_follows(&cluster.edges[0], &cluster.presence[0]);
}

/// EVT-12, F3: the replica that took the SUBSCRIBE dies; the other one tells the next change, with the next number.
#[test]
fn a_subscription_outlives_the_replicas_of_presence() {
    let mut cluster = Cluster::start();
    user(&cluster.edges[0], "alice");
    let mut phone = Watcher::new(&cluster.edges[0], "alice", "alice", "message-summary", &[]);
    assert_eq!(status(&phone.subscribe(3_600)), 200);
    let first = phone.told();
    set(&cluster.presence[0], "alice", &["--voice", "1/0"]);
    assert!(phone.told().body.contains("Voice-Message: 1/0"));
    cluster.presence[0].kill();
    set(&cluster.presence[1], "alice", &["--voice", "2/0"]);
    let told = phone.told();
    assert!(told.body.contains("Voice-Message: 2/0"), "{told:?}");
    assert_eq!(told.cseq, first.cseq + 2);
    assert_eq!(status(&phone.subscribe(0)), 200);
    assert_eq!(phone.told().state, "terminated;reason=timeout");
}

/// F1: a watcher by UDP is told through the other edge when its own is gone.
#[test]
fn a_watcher_is_told_through_the_edge_that_is_left() {
    let mut cluster = Cluster::start();
    user(&cluster.edges[0], "alice");
    let mut phone = Watcher::new(&cluster.edges[0], "alice", "alice", "message-summary", &[]);
    assert_eq!(status(&phone.subscribe(3_600)), 200);
    phone.told();
    cluster.edges[0].kill();
    set(&cluster.presence[0], "alice", &["--voice", "1/0"]);
    assert!(phone.told().body.contains("Voice-Message: 1/0"));
}

/// EVT-01, EVT-02, EVT-06, EVT-07, EVT-09: what is refused, and what two ids are.
#[test]
fn what_no_notifier_takes_is_refused() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    user(&carillon, "alice");
    let watch =
        |user: &str, package: &str, more: &[&str]| Watcher::new(&carillon, user, "alice", package, more);
    let answer = watch("alice", "nope", &[]).subscribe(600);
    assert_eq!(status(&answer), 489);
    assert!(header(&answer, "Allow-Events").is_some_and(|list| list.contains("message-summary")), "{answer}");
    let answer = watch("alice", "message-summary", &[]).subscribe(5);
    assert_eq!((status(&answer), header(&answer, "Min-Expires")), (423, Some("60")), "{answer}");
    let unwanted = ["Accept: application/pidf+xml"];
    assert_eq!(status(&watch("alice", "message-summary", &unwanted).subscribe(600)), 406);
    assert_eq!(status(&watch("bob", "message-summary", &[]).subscribe(600)), 403);
    let twice = ["Event: message-summary"];
    assert_eq!(status(&watch("alice", "message-summary", &twice).subscribe(600)), 489);

    let mut one = watch("alice", "message-summary;id=1", &[]);
    let mut two = watch("alice", "message-summary;id=2", &[]);
    for (watcher, id) in [(&mut one, "1"), (&mut two, "2")] {
        assert_eq!(status(&watcher.subscribe(600)), 200);
        let event = format!("message-summary;id={id}");
        assert_eq!(header(&watcher.told().text, "Event"), Some(event.as_str()));
    }
    set(&carillon, "alice", &["--voice", "1/0"]);
    one.told_and("481 Subscription Does Not Exist");
    two.told();
    // The one who knows nothing of it is not told again.
    set(&carillon, "alice", &["--voice", "2/0"]);
    two.told();
    one.wire.expect_nothing();
}

/// EVT-06, EVT-11: a CANCEL of a SUBSCRIBE is confirmed and changes nothing; nobody notifies Carillon of anything.
#[test]
fn a_cancel_of_a_subscribe_changes_nothing() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    user(&carillon, "alice");
    let mut phone = Watcher::new(&carillon, "alice", "alice", "message-summary", &[]);
    let answer = phone.subscribe(600);
    phone.told();
    let via = header(&answer, "Via").unwrap().split(";received").next().unwrap();
    let (via, from) = (format!("Via: {via};rport"), format!("From: {}", header(&answer, "From").unwrap()));
    let call_id = header(&answer, "Call-ID").unwrap();
    let call = format!("Call-ID: {call_id}");
    let lines = [&via, &from, "To: <sip:alice@localhost>", &call, "CSeq: 1 CANCEL"];
    phone.wire.request("CANCEL sip:alice@localhost", &lines);
    let confirmed = phone.wire.answer_to(call_id);
    assert_eq!((status(&confirmed), header(&confirmed, "CSeq")), (200, Some("1 CANCEL")), "{confirmed}");
    set(&carillon, "alice", &["--voice", "1/0"]);
    assert!(phone.told().body.contains("Voice-Message: 1/0"));

    let notify = format!("NOTIFY {}", phone.target);
    let lines = ["To: <sip:alice@localhost>;tag=x", "Event: message-summary", "Subscription-State: active"];
    let call_id = phone.wire.request(&notify, &lines);
    assert_eq!(status(&phone.wire.answer_to(&call_id)), 481);
}

/// The command says what it was told, and refuses what nobody has.
#[test]
fn the_command_shows_what_was_set() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    set(&carillon, "alice", &["--voice", "1/2", "--fax", "0/3"]);
    let shown = carillon.command(&["mwi", "show", "sip:alice@localhost", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["waiting"], &shown["counts"][1]["old"]), (&true.into(), &3.into()), "{shown}");
    let unknown = carillon.command(&["mwi", "show", "sip:nobody@localhost"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("ACCOUNT_NOT_FOUND"));
    let wrong = Command::new(test_support::binary()).args(["mwi", "set", "sip:a@b", "--voice", "x"]).output();
    assert_eq!(wrong.unwrap().status.code(), Some(2));
}
