//! The servers of another domain, one after the other.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Refuse, Relay, Target};
use cluster_rpc::membership::View;
use edge::Config;
use sip_endpoint::{Answer, Dns, DnsError, Srv};
use sip_message::{HeaderId, Message};

use crate::peer::{Peer, values};
use crate::rig::{Rig, fast};
use crate::services::FakeLocation;

/// A domain with two servers, the first before the second.
struct TwoServers([u16; 2]);

impl Dns for TwoServers {
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        let found = if host.ends_with("far.example") {
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        } else {
            Err(DnsError::NoSuchHost)
        };
        Box::pin(async move { found })
    }

    fn services<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Srv>> {
        let [first, second] = self.0;
        let server =
            |priority, port| Srv { priority, weight: 0, port, host: format!("s{priority}.far.example") };
        let is_it = name == "_sip._udp.far.example";
        let found =
            if is_it { Ok(vec![server(2, second), server(1, first)]) } else { Err(DnsError::NoSuchHost) };
        Box::pin(async move { found })
    }
}

async fn two_servers() -> (Rig, Peer, [Peer; 2]) {
    two_servers_with(fast).await
}

/// With times of the standard, but for how long a server may be silent while another one is left.
fn impatient(config: &mut Config) {
    config.target_timeout = Duration::from_millis(50);
}

async fn two_servers_with(configure: impl FnOnce(&mut Config)) -> (Rig, Peer, [Peer; 2]) {
    let servers = [Peer::unbound().await, Peer::unbound().await];
    let dns = TwoServers(servers.each_ref().map(|server| server.address().port()));
    let location = FakeLocation::planning(|_| Plan::Relay(Relay {}));
    let rig = Rig::resolving(location, Arc::new(dns), configure).await;
    let alice = rig.peer().await;
    let servers = servers.map(|server| server.toward(rig.address));
    (rig, alice, servers)
}

/// Asks for bob at the domain in a call of this name.
async fn ask(alice: &Peer, method: &str, call: &str) {
    let call_id = format!("Call-ID: {call}");
    let lines = ["From: <sip:alice@example.com>;tag=a", "To: <sip:bob@far.example>", &call_id];
    alice.request(&format!("{method} sip:bob@far.example"), call, &lines).await;
}

/// RFC 3263 4: who dials a host that there is not hears why nothing comes of it.
#[tokio::test]
async fn a_host_without_an_address_is_told_of() {
    let (_rig, alice, _servers) = two_servers().await;
    let lines = ["From: <sip:alice@example.com>;tag=a", "To: <sip:bob@no.example>", "Call-ID: c1"];
    alice.request("INVITE sip:bob@no.example", "c1", &lines).await;
    let answer = alice.receive_status(480).await;
    let warnings = values(&answer, HeaderId::Warning);
    assert!(warnings[0].contains("DNS says no address"), "{warnings:?}");
}

/// T6: where peers of trunks are known by address, the registrar is asked about the addresses of a name before anything goes there.
#[tokio::test]
async fn an_address_that_is_a_trunks_is_not_sent_to() {
    let servers = [Peer::unbound().await, Peer::unbound().await];
    let dns = TwoServers(servers.each_ref().map(|server| server.address().port()));
    let location = FakeLocation::planning(|request| match &*request.sip_call_id {
        "denied" if !request.addresses.is_empty() => {
            Plan::Refuse(Refuse { status: 403, ..Refuse::default() })
        }
        _ => Plan::Relay(Relay {}),
    });
    location.trunk_addresses.store(true, std::sync::atomic::Ordering::SeqCst);
    let rig = Rig::resolving(location.clone(), Arc::new(dns), fast).await;
    let (alice, [first, _second]) = (rig.peer().await, servers.map(|server| server.toward(rig.address)));
    ask(&alice, "INVITE", "denied").await;
    let answer = alice.receive_status(403).await;
    assert!(values(&answer, HeaderId::Warning)[0].contains("gateway of a trunk"), "{answer:?}");
    ask(&alice, "MESSAGE", "allowed").await;
    next(&first, "MESSAGE", "allowed").await;
    let asked = location.routed.lock().unwrap().clone();
    let about: Vec<_> = asked.iter().map(|question| question.addresses.join(" ")).collect();
    assert_eq!(about, ["", "127.0.0.1 127.0.0.1", "", "127.0.0.1 127.0.0.1"]);
    assert!(asked.iter().all(|question| question.internal != question.addresses.is_empty()));
}

/// T6: of several addresses those of trunks are left out, and the host of a peer at another port serves names, and no numbers.
#[tokio::test]
async fn of_several_addresses_those_of_trunks_are_left_out() {
    let servers = [Peer::unbound().await, Peer::unbound().await];
    let dns = TwoServers(servers.each_ref().map(|server| server.address().port()));
    let location = FakeLocation::planning(|request| match request.addresses.is_empty() {
        true => Plan::Relay(Relay {}),
        false => Plan::Refuse(Refuse { status: 403, ..Refuse::default() }),
    });
    location.trunk_addresses.store(true, std::sync::atomic::Ordering::SeqCst);
    let rig = Rig::resolving(location.clone(), Arc::new(dns), fast).await;
    let places: Vec<String> = vec![servers[0].address().to_string()];
    rig.learns(View { gateways: places.into(), ..View::fixed(Vec::new(), vec![9; 32]) });
    let (alice, [first, second]) = (rig.peer().await, servers.map(|server| server.toward(rig.address)));
    ask(&alice, "MESSAGE", "beside").await;
    next(&second, "MESSAGE", "beside").await;
    let lines = ["From: <sip:alice@example.com>;tag=a", "To: <sip:1@far.example>", "Call-ID: number"];
    alice.request("MESSAGE sip:+33123@far.example", "number", &lines).await;
    alice.receive_status(403).await;
    first.expect_nothing().await;
}

fn is_of(request: &Message, call: &str) -> bool {
    request.call_id() == Ok(call.as_bytes())
}

/// The next request of this method in this call, past repetitions.
async fn next(server: &Peer, method: &str, call: &str) -> Message {
    loop {
        let request = server.receive().await;
        assert!(is_of(&request, call), "{call}: {request:?}");
        if request.method_str() == method {
            return request;
        }
    }
}

/// DNS-05: also when a provisional response came first; who says Retry-After is left alone, and is asked first again in its absence.
#[tokio::test]
async fn a_503_leads_to_the_next_server_and_retry_after_keeps_calls_away() {
    for (lines, goes_on_to) in [(&["Retry-After: 300"][..], 1), (&[][..], 0)] {
        let (rig, alice, servers) = two_servers().await;
        ask(&alice, "INVITE", "one").await;
        let invite = next(&servers[0], "INVITE", "one").await;
        servers[0].respond(&invite, "180 Ringing", "t", &[]).await;
        alice.receive_status(180).await;
        servers[0].respond(&invite, "503 Service Unavailable", "t", lines).await;
        let invite = next(&servers[1], "INVITE", "one").await;
        servers[1].respond(&invite, "486 Busy Here", "t", &[]).await;
        alice.receive_status(486).await;
        next(&servers[0], "ACK", "one").await;
        next(&servers[1], "ACK", "one").await;
        assert_eq!(rig.counted("edge_failed_servers_total", "unavailable"), goes_on_to as u64);
        ask(&alice, "MESSAGE", "two").await;
        next(&servers[goes_on_to], "MESSAGE", "two").await;
    }
}

/// SCN-09, DNS-05: an answer is an answer; only 503 and silence lead on.
#[tokio::test]
async fn any_other_failure_is_the_domain_s_own_answer() {
    let (rig, alice, servers) = two_servers().await;
    for status in ["500 Server Internal Error", "504 Server Time-out", "404 Not Found"] {
        let call = status.split(' ').next().expect("a status");
        ask(&alice, "INVITE", call).await;
        let invite = next(&servers[0], "INVITE", call).await;
        servers[0].respond(&invite, status, "t", &[]).await;
        // The one before comes again: nobody acknowledged it.
        let answered = loop {
            let answer = alice.receive_past_100().await;
            if is_of(&answer, call) {
                break answer;
            }
        };
        assert_eq!(answered.status(), call.parse().ok());
        next(&servers[0], "ACK", call).await;
    }
    servers[1].expect_nothing().await;
    assert_eq!(rig.counted("edge_branches_total", "name"), 3);
}

/// DNS-05, SCN-09: silence leads an INVITE to the next server, and later calls there at once, until it answers.
#[tokio::test]
async fn silence_leads_on_and_is_remembered() {
    let (rig, alice, servers) = two_servers().await;
    ask(&alice, "INVITE", "one").await;
    let invite = next(&servers[1], "INVITE", "one").await;
    servers[1].respond(&invite, "486 Busy Here", "t", &[]).await;
    alice.receive_status(486).await;
    next(&servers[1], "ACK", "one").await;
    assert_eq!(rig.counted("edge_failed_servers_total", "timeout"), 1);
    ask(&alice, "MESSAGE", "two").await;
    let message = next(&servers[1], "MESSAGE", "two").await;
    // Avoided is not excluded.
    servers[1].respond(&message, "503 Service Unavailable", "t", &[]).await;
    loop {
        let request = servers[0].receive().await;
        if is_of(&request, "two") {
            servers[0].respond(&request, "200 OK", "t", &[]).await;
            break;
        }
    }
    alice.receive_status(200).await;
    ask(&alice, "MESSAGE", "three").await;
    next(&servers[0], "MESSAGE", "three").await;
}

/// RFC 4320 4.2: when a request other than INVITE was not answered its sender has given up as well.
#[tokio::test]
async fn a_message_that_nobody_answers_goes_to_no_further_server() {
    let (rig, alice, servers) = two_servers().await;
    ask(&alice, "MESSAGE", "one").await;
    next(&servers[0], "MESSAGE", "one").await;
    while rig.counted("edge_branch_failures_total", "timeout") == 0 {
        tokio::task::yield_now().await;
    }
    servers[1].expect_nothing().await;
    ask(&alice, "MESSAGE", "two").await;
    next(&servers[1], "MESSAGE", "two").await;
}

/// DNS-05: a server that says nothing is not waited for until Timer B while another one is left, by no method; the CANCEL of its
/// INVITE waits for its first sign of life, and the next call goes to the other one at once.
#[tokio::test]
async fn a_silent_server_gives_way_long_before_timer_b() {
    for method in ["INVITE", "MESSAGE"] {
        let (rig, alice, servers) = two_servers_with(impatient).await;
        ask(&alice, method, "one").await;
        let given_up = next(&servers[0], method, "one").await;
        let request = next(&servers[1], method, "one").await;
        assert_eq!(rig.counted("edge_failed_servers_total", "silent"), 1);
        if method == "INVITE" {
            servers[0].respond(&given_up, "180 Ringing", "t0", &[]).await;
            let cancel = next(&servers[0], "CANCEL", "one").await;
            assert_eq!(values(&cancel, HeaderId::Reason), ["SIP;cause=408;text=\"No response in time\""]);
            servers[0].respond(&given_up, "487 Request Terminated", "t0", &[]).await;
            next(&servers[0], "ACK", "one").await;
        }
        servers[1].respond(&request, "486 Busy Here", "t1", &[]).await;
        alice.receive_status(486).await;
        ask(&alice, "OPTIONS", "two").await;
        loop {
            if is_of(&servers[1].receive().await, "two") {
                break;
            }
        }
    }
}

/// DNS-05, PXY-18: who answers after it was given up has the call all the same, and what was tried in its place is cancelled.
#[tokio::test]
async fn a_late_answer_of_a_server_that_was_given_up_counts() {
    let (_rig, alice, servers) = two_servers_with(impatient).await;
    ask(&alice, "INVITE", "one").await;
    let first = next(&servers[0], "INVITE", "one").await;
    let second = next(&servers[1], "INVITE", "one").await;
    servers[1].respond(&second, "180 Ringing", "t1", &[]).await;
    alice.receive_status(180).await;
    servers[0].respond(&first, "200 OK", "t0", &["Contact: <sip:b@h>"]).await;
    let answer = alice.receive_status(200).await;
    assert_eq!(answer.to().unwrap().tag(), Some("t0"));
    let cancel = next(&servers[1], "CANCEL", "one").await;
    assert_eq!(values(&cancel, HeaderId::Reason), ["SIP;cause=200;text=\"Call completed elsewhere\""]);
    servers[1].respond(&second, "200 OK", "t1", &["Contact: <sip:b@h>"]).await;
    let also = alice.receive_status(200).await;
    assert_eq!(also.to().unwrap().tag(), Some("t1"), "it crossed the CANCEL, and the caller ends it");
}

/// DNS-05, PXY-18: so has one that answers when the call is over.
#[tokio::test]
async fn a_late_answer_after_the_end_still_goes_up() {
    let (_rig, alice, servers) = two_servers_with(impatient).await;
    ask(&alice, "INVITE", "one").await;
    let first = next(&servers[0], "INVITE", "one").await;
    let second = next(&servers[1], "INVITE", "one").await;
    servers[1].respond(&second, "404 Not Found", "t1", &[]).await;
    alice.receive_status(404).await;
    servers[0].respond(&first, "200 OK", "t0", &["Contact: <sip:b@h>"]).await;
    loop {
        let answer = alice.receive_past_100().await;
        if answer.status() == Some(200) {
            break;
        }
        assert_eq!(answer.status(), Some(404), "nobody acknowledged it");
    }
}

/// DNS-05: the last server has all the time of the standard, and so has every one where the operator wants it.
#[tokio::test]
async fn the_last_server_is_waited_for() {
    let (rig, alice, servers) = two_servers_with(|config| {
        fast(config);
        config.target_timeout = Duration::ZERO;
    })
    .await;
    ask(&alice, "INVITE", "one").await;
    next(&servers[1], "INVITE", "one").await;
    assert_eq!(rig.counted("edge_failed_servers_total", "timeout"), 1, "Timer B has ended the first");
    alice.receive_status(408).await;
    assert_eq!(rig.counted("edge_failed_servers_total", "timeout"), 2);
    assert_eq!(rig.counted("edge_failed_servers_total", "silent"), 0);
}

/// DNS-05: a trunk that says nothing gives way to the next trunk as soon.
#[tokio::test]
async fn a_silent_trunk_gives_way_to_the_next() {
    let trunks = [Peer::unbound().await, Peer::unbound().await];
    let uris = trunks.each_ref().map(|trunk| format!("sip:+49@{};user=phone", trunk.address()));
    let location = FakeLocation::planning(move |_| {
        let group = |(cause, uri): (&str, &String)| Group {
            targets: vec![Target { uri: uri.clone(), ..Target::default() }],
            cause: cause.into(),
            ring_time: None,
        };
        let groups = [("trunk", &uris[0]), ("trunk-failover", &uris[1])].map(group);
        Plan::Fork(Fork { groups: groups.to_vec(), recurse: false })
    });
    let rig = Rig::configured(location, impatient).await;
    let (alice, trunks) = (rig.peer().await, trunks.map(|trunk| trunk.toward(rig.address)));
    ask(&alice, "INVITE", "one").await;
    let given_up = next(&trunks[0], "INVITE", "one").await;
    let taken = next(&trunks[1], "INVITE", "one").await;
    trunks[0].respond(&given_up, "180 Ringing", "t0", &[]).await;
    next(&trunks[0], "CANCEL", "one").await;
    trunks[1].respond(&taken, "486 Busy Here", "t1", &[]).await;
    alice.receive_status(486).await;
    assert_eq!(rig.counted("edge_failed_servers_total", "silent"), 1);
    ask(&alice, "MESSAGE", "two").await;
    while !is_of(&trunks[1].receive().await, "two") {}
    assert_eq!(
        rig.counted("edge_failed_servers_total", "silent"),
        1,
        "nobody waited for the first one again"
    );
}

/// DNS-05: a domain of a trunk is reached by way of its next peer when the first one does not serve.
#[tokio::test]
async fn a_domain_is_tried_by_way_of_each_peer() {
    let peers = [Peer::unbound().await, Peer::unbound().await];
    let routes = peers.each_ref().map(|peer| format!("<sip:{};lr>", peer.address()));
    let location = FakeLocation::planning(move |_| {
        let group = |(cause, route): (&str, &String)| Group {
            targets: vec![Target {
                uri: "sip:bob@far.example".into(),
                route: vec![route.clone()],
                ..Target::default()
            }],
            cause: cause.into(),
            ring_time: None,
        };
        let groups = [("trunk", &routes[0]), ("trunk-failover", &routes[1])].map(group);
        Plan::Fork(Fork { groups: groups.to_vec(), recurse: false })
    });
    let rig = Rig::with(location).await;
    let (alice, peers) = (rig.peer().await, peers.map(|peer| peer.toward(rig.address)));
    ask(&alice, "INVITE", "one").await;
    let first = next(&peers[0], "INVITE", "one").await;
    peers[0].respond(&first, "503 Service Unavailable", "t0", &[]).await;
    let second = next(&peers[1], "INVITE", "one").await;
    assert_eq!(second.request_uri(), Some(&b"sip:bob@far.example"[..]));
}

/// A plan with trunks one after the other.
fn trunks(uris: Vec<String>) -> Arc<FakeLocation> {
    FakeLocation::planning(move |_| {
        let group = |(at, uri): (usize, &String)| Group {
            targets: vec![Target { uri: uri.clone(), ..Target::default() }],
            cause: if at == 0 { "trunk" } else { "trunk-failover" }.into(),
            ring_time: None,
        };
        Plan::Fork(Fork { groups: uris.iter().enumerate().map(group).collect(), recurse: false })
    })
}

/// DNS-05: the silent address of a trunk that is given by name costs one call a wait, and the next one goes to the other address at once.
#[tokio::test]
async fn a_silent_address_of_a_named_trunk_is_remembered() {
    let servers = [Peer::unbound().await, Peer::unbound().await];
    let dns = TwoServers(servers.each_ref().map(|server| server.address().port()));
    let location = trunks(vec!["sip:+49@far.example;user=phone".into()]);
    let rig = Rig::resolving(location, Arc::new(dns), impatient).await;
    let (alice, servers) = (rig.peer().await, servers.map(|server| server.toward(rig.address)));
    ask(&alice, "INVITE", "one").await;
    next(&servers[0], "INVITE", "one").await;
    for call in ["one", "two", "three"] {
        if call != "one" {
            ask(&alice, "INVITE", call).await;
        }
        let invite = next(&servers[1], "INVITE", call).await;
        servers[1].respond(&invite, "486 Busy Here", "t", &[]).await;
        while alice.receive().await.status() != Some(486) {}
        next(&servers[1], "ACK", call).await;
    }
    assert_eq!(rig.counted("edge_failed_servers_total", "silent"), 1);
}

/// DNS-05: a trunk that is given by name, and none of whose addresses says anything, comes after the others for a while; one that answers
/// again is tried in its turn.
#[tokio::test]
async fn a_named_trunk_that_is_silent_is_tried_last() {
    let servers = [Peer::unbound().await, Peer::unbound().await];
    let dns = TwoServers(servers.each_ref().map(|server| server.address().port()));
    let good = Peer::unbound().await;
    let location = trunks(vec![
        "sip:+49@far.example;user=phone".into(),
        format!("sip:+49@{};user=phone", good.address()),
    ]);
    let rig = Rig::resolving(location, Arc::new(dns), impatient).await;
    let (alice, good) = (rig.peer().await, good.toward(rig.address));
    for call in ["one", "two", "three"] {
        ask(&alice, "INVITE", call).await;
        let invite = next(&good, "INVITE", call).await;
        good.respond(&invite, "486 Busy Here", "t", &[]).await;
        while alice.receive().await.status() != Some(486) {}
        next(&good, "ACK", call).await;
        assert_eq!(rig.counted("edge_failed_servers_total", "silent"), 2, "{call}");
    }
    assert_eq!(rig.counted("edge_branches_total", "name"), 1, "only the first call tried it");
}
