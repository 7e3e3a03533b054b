//! Calls to other domains, found by a real name server.

use std::collections::HashMap;
use std::io::Write;
use std::net::UdpSocket;

use scripted_phone::{Happening, Script};
use test_support::{Carillon, NameServer, Starting, TestPhone, free_port};

use crate::wire::{Wire, header, status};

/// Carillon that asks a name server at this port, which need not be there yet, and trusts 127.0.0.1; a silent server costs 1.3 s.
fn asking(port: u16) -> Carillon {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "[dns]\nservers = [\"127.0.0.1:{port}\"]\n[sip]\nt1 = \"20ms\"\nt2 = \"160ms\"\nt4 = \"200ms\"\n\
         [call_control]\nguard = \"1s\"\n[edge]\ntrusted = [\"127.0.0.1/32\"]\n"
    );
    file.write_all(text.as_bytes()).unwrap();
    Carillon::serve(&["--config", file.path().to_str().unwrap()])
}

/// The final answer to an INVITE to this URI, from a trusted neighbour.
fn invite(alice: &Wire, uri: &str) -> String {
    let contact = format!("Contact: <sip:alice@{}>", alice.address());
    alice.request(&format!("INVITE {uri}"), &[&contact])
}

/// DNS-02, DNS-03, PXY-14, PXY-27: an own user who has proved to be one calls somebody of another domain; NAPTR chooses the transport,
/// SRV the host and port, and the call ends where it was made. A stranger does not get out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_user_calls_somebody_of_another_domain() {
    let dns = free_port();
    let server = format!("127.0.0.1:{dns}");
    let variables = [("CARILLON_DNS_SERVERS", server.as_str())];
    let carillon = Starting::with(&[], &variables).ready();
    let far = Wire::at("127.0.0.2", &carillon);
    let records = format!(
        "@ NAPTR 20 1 \"s\" \"SIP+D2T\" \"\" _sip._tcp\n@ NAPTR 10 1 \"s\" \"SIP+D2U\" \"\" here._udp\n\
         here._udp SRV 1 1 {} phone\n_sip._tcp SRV 1 1 9 phone\nphone CNAME machine\nmachine A 127.0.0.2",
        far.address().port()
    );
    let _dns = NameServer::serving(dns, "far.test", &records);
    carillon.account("sip:alice@localhost", "secret");
    let mut alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::plain()).await;
    alice.act(scripted_phone::Remote::Dial("sip:bob@far.test".into())).await;
    let request = far.receive_request("INVITE");
    assert!(request.starts_with("INVITE sip:bob@far.test SIP/2.0"), "the Request-URI stays: {request}");
    assert!(header(&request, "Proxy-Authorization").is_none(), "{request}");
    far.respond(&request, "486 Busy Here", &[]);
    let refused = alice.wait_for("the answer", |h| matches!(h, Happening::Refused { .. })).await;
    assert!(matches!(refused, Happening::Refused { status: 486, .. }), "{refused:?}");
    let stranger = Wire::of(&carillon);
    let call_id = stranger.request("MESSAGE sip:bob@far.test", &["From: <sip:eve@elsewhere.test>;tag=e"]);
    assert_eq!(status(&stranger.answer_to(&call_id)), 403);
}

/// DNS-05, DNS-06, SCN-09, PXY-14: the first server is silent, the second one answers; its ACK and CANCEL go to it, and the next call
/// does not wait for the first again.
#[test]
fn the_second_server_answers_when_the_first_is_dead_and_is_asked_first_from_then_on() {
    let dns = free_port();
    let carillon = asking(dns);
    let (alice, second) = (Wire::of(&carillon), Wire::at("127.0.0.3", &carillon));
    let dead = UdpSocket::bind("127.0.0.2:0").unwrap();
    let records = format!(
        "_sip._udp SRV 1 1 {} one\n_sip._udp SRV 2 1 {} two\none A 127.0.0.2\ntwo A 127.0.0.3",
        dead.local_addr().unwrap().port(),
        second.address().port()
    );
    let _dns = NameServer::serving(dns, "far.test", &records);
    let call_id = invite(&alice, "sip:bob@far.test");
    let request = second.receive_request("INVITE");
    let mut first = [0; 4096];
    let length = dead.recv(&mut first).expect("it was tried first");
    let first = String::from_utf8_lossy(&first[..length]).into_owned();
    assert_ne!(header(&first, "Via"), header(&request, "Via"), "a branch of its own");
    second.respond(&request, "486 Busy Here", &[]);
    assert_eq!(status(&alice.answer_to(&call_id)), 486);
    assert!(second.receive_request("ACK").starts_with("ACK sip:bob@far.test "));
    assert_eq!(carillon.metric("carillon_edge_failed_servers_total{reason=\"timeout\"}"), 1.0);

    // What the dead one still has are repetitions of the first call.
    let (text, call_id) = alice.compose("INVITE sip:bob@far.test", &["Contact: <sip:alice@127.0.0.1>"]);
    alice.send(&text);
    let request = second.receive_request("INVITE");
    assert_eq!(header(&request, "Call-ID"), Some(call_id.as_str()));
    second.respond(&request, "180 Ringing", &[]);
    let lines = [format!("Via: {}", header(&text, "Via").unwrap()), format!("Call-ID: {call_id}")];
    alice.request("CANCEL sip:bob@far.test", &lines.each_ref().map(String::as_str));
    let cancel = second.receive_request("CANCEL");
    assert_eq!(header(&cancel, "Via"), header(&request, "Via"));
    // What the dead one still has are repetitions of the first call.
    dead.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = dead.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert_ne!(header(&text, "Call-ID"), Some(call_id.as_str()), "{text}");
    }
    assert_eq!(carillon.metric("carillon_edge_failed_servers_total{reason=\"timeout\"}"), 1.0);
}

/// DNS-04: calls of different Call-IDs spread by weight, and a repeated question of one dialog does not.
#[test]
fn requests_spread_by_weight_and_those_of_one_call_stay_together() {
    let dns = free_port();
    let carillon = asking(dns);
    let alice = Wire::of(&carillon);
    let [heavy, light] = ["127.0.0.2", "127.0.0.3"].map(|ip| Wire::at(ip, &carillon));
    let records = format!(
        "_sip._udp SRV 1 90 {} heavy\n_sip._udp SRV 1 10 {} light\nheavy A 127.0.0.2\nlight A 127.0.0.3",
        heavy.address().port(),
        light.address().port()
    );
    let _dns = NameServer::serving(dns, "far.test", &records);
    let mut counts: HashMap<u16, usize> = HashMap::new();
    std::thread::scope(|scope| {
        let places = [heavy.address(), light.address()];
        // Each says by its status who it is, until the test is over.
        for (status, far) in [("481 Heavy", heavy), ("482 Light", light)] {
            scope.spawn(move || {
                loop {
                    let request = far.receive();
                    if request.starts_with("BYE sip:stop") {
                        return;
                    }
                    far.respond(&request, status, &[]);
                }
            });
        }
        let ask = |call: &str| {
            let call_id = alice.request("MESSAGE sip:bob@far.test", &[&format!("Call-ID: {call}")]);
            status(&alice.answer_to(&call_id))
        };
        for call in 0..100 {
            *counts.entry(ask(&format!("weight-{call}"))).or_default() += 1;
        }
        let again: Vec<u16> = (0..10).map(|_| ask("one-call")).collect();
        assert!(again.iter().all(|by| *by == again[0]), "{again:?}");
        let stop = UdpSocket::bind("127.0.0.1:0").unwrap();
        for place in places {
            stop.send_to(b"BYE sip:stop SIP/2.0\r\n\r\n", place).unwrap();
        }
    });
    let (heavy, light) = (counts[&481], counts[&482]);
    assert!((80..=98).contains(&heavy) && heavy + light == 100, "{counts:?}");
}

/// DNS-03: no NAPTR, no SRV, and an address of IPv6 alone.
#[test]
fn a_domain_with_nothing_but_an_ipv6_address_is_called_there() {
    let dns = free_port();
    let server = format!("127.0.0.1:{dns}");
    let variables = [("CARILLON_DNS_SERVERS", server.as_str()), ("CARILLON_EDGE_TRUSTED", "127.0.0.1/32")];
    let carillon = Starting::with(&["--sip", "udp://[::1]:0", "--sip", "tcp://[::1]:0"], &variables).ready();
    let far = Wire::at("::1", &carillon);
    let _dns = NameServer::serving(dns, "far.test", "host AAAA ::1");
    let alice = Wire::of(&carillon);
    alice.request(&format!("MESSAGE sip:bob@host.far.test:{}", far.address().port()), &[]);
    far.receive_request("MESSAGE");
}

/// DNS-03, PXY-14: a name server that says nothing costs the call that asked it, and nobody else; a name that is not there fails at once.
#[test]
fn a_silent_name_server_fails_its_own_call_and_delays_no_other() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let carillon = asking(silent.local_addr().unwrap().port());
    let [alice, bob, carol] = [(); 3].map(|()| Wire::of(&carillon));
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    let call_id = bob.request("REGISTER sip:localhost", &["From: <sip:bob@localhost>;tag=b", &contact]);
    assert_eq!(status(&bob.answer_to(&call_id)), 404, "an account comes first");
    carillon.account("sip:bob@localhost", "secret");
    let call_id = bob.request("REGISTER sip:localhost", &["From: <sip:bob@localhost>;tag=b", &contact]);
    assert_eq!(status(&bob.answer_to(&call_id)), 200, "trusted");

    let lost = invite(&alice, "sip:dave@far.test");
    let mut question = [0; 512];
    silent.recv(&mut question).expect("the name server is asked");
    assert_eq!(carillon.metric("carillon_dns_lookups_in_flight"), 1.0);
    // The question is open. Somebody else's call passes.
    let found = invite(&carol, "sip:bob@localhost");
    let request = bob.receive_request("INVITE");
    bob.respond(&request, "486 Busy Here", &[]);
    assert_eq!(status(&carol.answer_to(&found)), 486);
    assert_eq!(carillon.metric("carillon_edge_unlocated_total"), 0.0, "the other one still waits");
    let answer = alice.answer_to(&lost);
    assert!(
        status(&answer) == 480 && header(&answer, "Warning").is_some_and(|why| why.contains("DNS")),
        "{answer}"
    );
    assert_eq!(carillon.metric("carillon_edge_unlocated_total{reason=\"timeout\"}"), 1.0);
    assert_eq!(carillon.metric("carillon_dns_lookups_in_flight"), 0.0);
}

/// DNS-03: a domain that does not exist, one that refuses and one whose records lead nowhere.
#[test]
fn a_domain_that_cannot_be_found_fails_the_call_at_once() {
    let dns = free_port();
    let carillon = asking(dns);
    let alice = Wire::of(&carillon);
    let _dns = NameServer::serving(dns, "far.test", "_sip._udp SRV 1 1 5060 .\n_sip._tcp SRV 1 1 5060 .");
    for (uri, reason) in [
        ("sip:bob@gone.far.test", "none"),
        ("sip:bob@far.test", "none"),
        ("sip:bob@elsewhere.test", "unavailable"),
    ] {
        let name = format!("carillon_edge_unlocated_total{{reason=\"{reason}\"}}");
        let before = carillon.metric(&name);
        let call_id = invite(&alice, uri);
        let answer = alice.answer_to(&call_id);
        let why = header(&answer, "Warning").unwrap_or_default();
        assert!(status(&answer) == 480 && why.contains("DNS"), "{uri}: {answer}");
        assert_eq!(carillon.metric(&name), before + 1.0, "{uri}");
    }
}
