//! The most calls that an account or a trunk may have at a time, with phones at two edges.

use std::time::Duration;

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, PATIENCE, Redis, TestPhone};

use crate::wire::{Wire, header};

async fn phone(at: &Carillon, name: &str) -> TestPhone {
    let script = Script { answer: Answer::After(Duration::ZERO), ..Script::default() };
    TestPhone::registered(&at.sip, &format!("sip:{name}@localhost"), "secret", script).await
}

/// Calls until somebody is called.
async fn call_until(phone: &mut TestPhone, whom: &str, wanted: impl Fn(&Happening) -> bool) {
    let again = async {
        loop {
            phone.act(Remote::Dial(whom.into())).await;
            let heard = |h: &Happening| wanted(h) || matches!(h, Happening::Refused { .. });
            if wanted(&phone.wait_for("an answer", heard).await) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("there is room for a call");
}

/// SCN-13: a call too many is refused at whichever edge; there is room again after a hangup, and when the edge of a call has died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_too_many_is_refused_until_another_one_is_over() {
    let redis = Redis::start();
    let core = ["--roles", "registrar,call-control", "--redis", &redis.url(), "--id", "core-1"];
    let core = Carillon::serve(&core);
    let peers = [format!("registrar={}", core.api), format!("call-control={}", core.api)];
    let edge =
        |id| Carillon::serve(&["--roles", "edge", "--id", id, "--peers", &peers[0], "--peers", &peers[1]]);
    let (mut first, second) = (edge("edge-1"), edge("edge-2"));
    for name in ["alice", "bob", "carol"] {
        core.account(&format!("sip:{name}@localhost"), "secret");
    }
    let set = core.command(&["account", "set", "sip:bob@localhost", "--max-calls", "1"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let listed = core.command(&["account", "list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("1 calls"), "{listed}");

    let mut alice = phone(&first, "alice").await;
    let (mut bob, mut carol) = (phone(&second, "bob").await, phone(&second, "carol").await);
    let connected = |h: &Happening| *h == Happening::Connected;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    alice.wait_for("the call", connected).await;
    carol.act(Remote::Dial("sip:bob@localhost".into())).await;
    carol.wait_for("486", |h| matches!(h, Happening::Refused { status: 486, .. })).await;
    assert!(core.metric("carillon_registrar_call_limits_total{outcome=\"callee\"}") >= 1.0);

    alice.act(Remote::Hangup).await;
    call_until(&mut carol, "sip:bob@localhost", connected).await;
    carol.act(Remote::Hangup).await;
    bob.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;

    let silent = Script { answer: Answer::After(Duration::from_secs(3600)), ..Script::default() };
    bob.act(Remote::Script(silent)).await;
    let rings = |h: &Happening| matches!(h, Happening::Progress { status: 180 });
    call_until(&mut alice, "sip:bob@localhost", rings).await;
    // What an edge has not told yet goes with it, and counts for some seconds more.
    listed_until(&core, |calls| calls.contains("RINGING"));
    first.kill();
    bob.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;
    listed_until(&core, |calls| !calls.contains("RINGING"));
    call_until(&mut carol, "sip:bob@localhost", rings).await;
}

/// One more call of an account's own is refused with 503, by whichever of its phones, until there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_makes_no_call_too_many_of_its_own() {
    let redis = Redis::start();
    let core = ["--roles", "registrar,call-control", "--redis", &redis.url(), "--id", "core-1"];
    let core = Carillon::serve(&core);
    let peers = [format!("registrar={}", core.api), format!("call-control={}", core.api)];
    let edge =
        |id| Carillon::serve(&["--roles", "edge", "--id", id, "--peers", &peers[0], "--peers", &peers[1]]);
    let (first, second) = (edge("edge-1"), edge("edge-2"));
    for name in ["alice", "bob", "carol"] {
        core.account(&format!("sip:{name}@localhost"), "secret");
    }
    let set = core.command(&["account", "set", "sip:alice@localhost", "--max-calls", "1"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let (mut desk, mut mobile) = (phone(&first, "alice").await, phone(&second, "alice").await);
    let (_bob, mut carol) = (phone(&second, "bob").await, phone(&first, "carol").await);
    let connected = |h: &Happening| *h == Happening::Connected;
    desk.act(Remote::Dial("sip:carol@localhost".into())).await;
    desk.wait_for("the call", connected).await;
    mobile.act(Remote::Dial("sip:bob@localhost".into())).await;
    mobile.wait_for("503", |h| matches!(h, Happening::Refused { status: 503, .. })).await;
    assert!(core.metric("carillon_registrar_call_limits_total{outcome=\"caller\"}") >= 1.0);
    desk.act(Remote::Hangup).await;
    carol.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;
    call_until(&mut mobile, "sip:bob@localhost", connected).await;
}

/// A trunk carries as many calls as it may, at two edges and two registrars together: one more goes by the next trunk, and where there is
/// none its caller hears 503. An end makes room, and so does the death of an edge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_carries_no_call_too_many_at_two_edges_and_two_registrars() {
    let redis = Redis::start();
    let core =
        |id| Carillon::serve(&["--roles", "registrar,call-control", "--redis", &redis.url(), "--id", id]);
    let cores = [core("core-1"), core("core-2")];
    let peers: Vec<String> = cores
        .iter()
        .flat_map(|core| [format!("registrar={}", core.api), format!("call-control={}", core.api)])
        .flat_map(|peer| ["--peers".to_owned(), peer])
        .collect();
    let edge = |id| {
        let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
        Carillon::serve(&[&["--roles", "edge", "--id", id][..], &peers[..]].concat())
    };
    let (mut first, second) = (edge("edge-1"), edge("edge-2"));
    for name in ["alice", "bob", "carol"] {
        cores[0].account(&format!("sip:{name}@localhost"), "secret");
    }
    let [main, spare] = ["127.0.0.2", "127.0.0.3"].map(|ip| Wire::at(ip, &first));
    for (name, wire, priority) in [("main", &main, "0"), ("spare", &spare, "1")] {
        let peer = format!("sip:{};transport=udp", wire.address());
        let add = ["trunk", "add", name, "--peer", &peer, "--prefix", "+", "--priority", priority];
        let add = cores[0].command(&[&add[..], &["--max-calls", "1"]].concat());
        assert!(add.status.success(), "{}", String::from_utf8_lossy(&add.stderr));
    }
    let mut phones =
        [phone(&first, "alice").await, phone(&second, "bob").await, phone(&second, "carol").await];
    for core in &cores {
        let begun = std::time::Instant::now();
        while !String::from_utf8_lossy(&core.command(&["trunk", "list"]).stdout).contains("spare") {
            assert!(begun.elapsed() < PATIENCE, "the trunks are not known");
        }
    }
    for wire in [main, spare] {
        std::thread::spawn(move || ring(&wire));
    }
    let rings = |h: &Happening| matches!(h, Happening::Progress { status: 180 });
    let [alice, bob, carol] = &mut phones;
    for phone in [&mut *alice, &mut *bob] {
        call_until(phone, NUMBER, rings).await;
    }
    carol.act(Remote::Dial(NUMBER.into())).await;
    let refused = carol.wait_for("a refusal", |h| matches!(h, Happening::Refused { .. })).await;
    let expected = Happening::Refused { status: 503, reason: "Trunk Full".into() };
    assert_eq!(refused, expected);
    assert!(second.metric("carillon_edge_trunk_seizures_total{outcome=\"full\"}") >= 3.0);

    // what is over makes room
    bob.act(Remote::Hangup).await;
    call_until(carol, NUMBER, rings).await;

    // and what died with its edge
    // each with its leg that rings
    let ringing = |count: usize| move |calls: &str| calls.matches("RINGING").count() == 2 * count;
    listed_until(&cores[1], ringing(2));
    first.kill();
    listed_until(&cores[1], ringing(1));
    call_until(bob, NUMBER, rings).await;
}

const NUMBER: &str = "sip:+49301234@localhost";

/// A gateway whose calls ring until they are cancelled.
fn ring(wire: &Wire) {
    let mut calls = std::collections::HashMap::new();
    while let Some(request) = wire.next_datagram() {
        let call_id = header(&request, "Call-ID").unwrap_or_default().to_owned();
        if request.starts_with("INVITE ") {
            wire.respond(&request, "180 Ringing", &[]);
            calls.insert(call_id, request);
        } else if request.starts_with("CANCEL ") {
            wire.respond(&request, "200 OK", &[]);
            if let Some(invite) = calls.get(&call_id) {
                wire.respond(invite, "487 Request Terminated", &[]);
            }
        }
    }
}

/// Polled: nobody tells a test when a list of calls has changed.
fn listed_until(core: &Carillon, wanted: impl Fn(&str) -> bool) {
    let begun = std::time::Instant::now();
    loop {
        let listed = core.command(&["calls", "--json"]).stdout;
        let calls = String::from_utf8_lossy(&listed);
        if wanted(&calls) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the calls are still others: {calls}");
    }
}
