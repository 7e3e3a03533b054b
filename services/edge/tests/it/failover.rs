//! The servers of another domain, one after the other.

use std::net::IpAddr;
use std::sync::Arc;

use cluster_api::registrar::v1::Relay;
use cluster_api::registrar::v1::route_response::Plan;
use sip_endpoint::{Answer, Dns, DnsError, Srv};
use sip_message::Message;

use crate::peer::Peer;
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
    let servers = [Peer::unbound().await, Peer::unbound().await];
    let dns = TwoServers(servers.each_ref().map(|server| server.address().port()));
    let location = FakeLocation::planning(|_| Plan::Relay(Relay {}));
    let rig = Rig::resolving(location, Arc::new(dns), fast).await;
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
