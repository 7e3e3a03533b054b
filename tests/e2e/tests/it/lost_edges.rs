//! Phones on connections to an edge that is killed, and come back by another one. ADR 13, ADR 18

use std::time::{Duration, Instant};

use scripted_phone::{Answer, Happening, Script};
use test_support::{Carillon, PATIENCE, Redis, TestPhone};

use crate::calls::{dial, hang_up, outcome};
use crate::connection::Connection;
use crate::push::{config, push_service};
use crate::wire::{Wire, header, route_of_callee, route_of_caller, status};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// What phones here register: an address behind their NAT, and the instance that they are known by.
fn contact(user: &str) -> String {
    format!(
        "<sip:{user}@192.0.2.9;transport=tcp>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000000000001>\""
    )
}

/// Two edges and what they need, for calls without passwords.
struct Tier {
    edges: [Carillon; 2],
    core: Carillon,
    _redis: Redis,
}

impl Tier {
    fn start(further: &[&str]) -> Self {
        let redis = Redis::start();
        let url = redis.url();
        let roles = "registrar,call-control";
        let core = ["--roles", roles, "--id", "core-1", "--redis", &url, "--auth", "none"];
        let core = Carillon::serve(&[&core[..], further].concat());
        let peers = [format!("registrar={}", core.api), format!("call-control={}", core.api)];
        let edge = |id| {
            let arguments = ["--roles", "edge", "--id", id, "--auth", "none"];
            Carillon::serve(&[&arguments[..], &["--peers", &peers[0], "--peers", &peers[1]]].concat())
        };
        let edges = [edge("edge-1"), edge("edge-2")];
        Self { edges, core, _redis: redis }
    }

    /// A call whose leg to Bob is carried by this edge, and the INVITE of it.
    fn dialled(&self, bob: &mut Connection, carried_by: usize) -> (String, String) {
        // Call-control spreads legs over the edges, each of which it finds within a second.
        let since = Instant::now();
        loop {
            let id = dial(&self.core, &["--flow", "iii"]);
            let invite = bob.receive_request("INVITE");
            let carrier = self.edges[carried_by].sip.rsplit(':').next().expect("a port");
            if header(&invite, "Contact").is_some_and(|contact| contact.contains(carrier)) {
                return (id, invite);
            }
            assert!(since.elapsed() < PATIENCE, "never by that edge: {invite}");
            bob.respond(&invite, "486 Busy Here", &[], "");
            bob.receive_request("ACK");
        }
    }

    /// Kills the second edge, and waits until nobody lists it any more when `is_noticed`.
    fn lose(&mut self, is_noticed: bool) {
        self.edges[1].kill();
        let since = Instant::now();
        let lists = || {
            let listed = self.edges[0].command(&["edges"]);
            assert!(listed.status.success(), "{listed:?}");
            String::from_utf8_lossy(&listed.stdout).contains("edge-2")
        };
        while is_noticed && lists() {
            assert!(since.elapsed() < PATIENCE, "the dead edge is still listed");
        }
    }
}

/// A call between phones, and the names that requests within it have.
struct Call {
    id: String,
    from: String,
    to: String,
}

impl Call {
    /// Of what the callee got.
    fn of(invite: &str) -> Self {
        let of = |name| header(invite, name).expect("every request has it").to_owned();
        Self { id: of("Call-ID"), from: of("From"), to: format!("{};tag=w", of("To")) }
    }

    /// The lines of a request of one side.
    fn lines(&self, is_callers: bool, route: &str, cseq: &str) -> [String; 5] {
        let (from, to) = if is_callers { (&self.from, &self.to) } else { (&self.to, &self.from) };
        [
            format!("From: {from}"),
            format!("To: {to}"),
            format!("Call-ID: {}", self.id),
            format!("Route: {route}"),
            format!("CSeq: {cseq}"),
        ]
    }
}

/// PSH-01, PSH-02, OBD-05, F1: the edge of a phone that can be pushed is killed. A call that finds it dead, be it listed still or not, has
/// the phone pushed at once, waits for it, and rings by way of the edge where it registers.
#[test]
fn a_phone_whose_edge_was_killed_is_pushed_and_rings_by_way_of_another() {
    let (url, pushes) = push_service("204 No Content");
    let config = config(&url);
    for is_noticed in [false, true] {
        let mut tier = Tier::start(&["--config", config.path().to_str().expect("a path of the test")]);
        let pushed_by = "<sip:bob@192.0.2.9;pn-provider=acme;pn-prid=t0ken;transport=tcp>";
        let mut bob = Connection::to(&tier.edges[1]);
        bob.register("bob", pushed_by);
        tier.lose(is_noticed);
        drop(bob);
        let alice = Wire::of(&tier.edges[0]);
        let own = format!("Contact: <sip:alice@{}>", alice.address());
        let call_id = alice.request("INVITE sip:bob@localhost", &[&own]);
        let push = pushes.recv_timeout(PATIENCE).expect("a push is asked for");
        assert!(push.contains("\"pn_prid\":\"t0ken\""), "{push}");
        let mut bob = Connection::to(&tier.edges[0]);
        bob.register("bob", pushed_by);
        let invite = bob.receive_request("INVITE");
        assert!(!invite.contains("pn-") && !invite.contains("t0ken"), "{invite}");
        bob.respond(&invite, "200 OK", &["Contact: <sip:bob@192.0.2.9;transport=tcp>"], "");
        let answer = alice.answer_to(&call_id);
        assert_eq!(status(&answer), 200, "{answer}");
        let (call, route) = (Call::of(&invite), route_of_caller(&answer));
        let ask = |method: &str, cseq: &str| {
            let lines = call.lines(true, &route, cseq);
            alice.request(&format!("{method} sip:bob@192.0.2.9"), &lines.each_ref().map(String::as_str));
        };
        ask("ACK", "1 ACK");
        bob.receive_request("ACK");
        ask("BYE", "2 BYE");
        let bye = bob.receive_request("BYE");
        bob.respond(&bye, "200 OK", &[], "");
        assert_eq!(status(&alice.answer_to(&call_id)), 200);
        assert!(pushes.try_recv().is_err(), "one call is one push");
    }
}

/// F1, OBD-05, OBD-07, design 5: the edge of a phone in a call is killed. What the other side asks for once the phone is back reaches it
/// there, be it the callee or the caller whose edge it was, and so does the end of the call.
#[test]
fn a_call_goes_on_where_a_phone_comes_back_whose_edge_was_killed() {
    for is_callers_edge in [false, true] {
        let mut tier = Tier::start(&[]);
        let (stays, mut moves) = (Wire::of(&tier.edges[0]), Connection::to(&tier.edges[1]));
        let answer = ["Contact: <sip:x@192.0.2.9>", "Content-Type: application/sdp"];
        let (call, route) = if is_callers_edge {
            register(&stays, "bob");
            moves.register("alice", &contact("alice"));
            moves.request("INVITE sip:bob@localhost", &[&format!("Contact: {}", contact("alice"))]);
            let invite = stays.receive_request("INVITE");
            stays.respond_with(&invite, "200 OK", &answer, SDP);
            (Call::of(&invite), route_of_callee(&invite))
        } else {
            moves.register("bob", &contact("bob"));
            let call_id = stays.request("INVITE sip:bob@localhost", &["Contact: <sip:alice@192.0.2.9>"]);
            let invite = moves.receive_request("INVITE");
            moves.respond(&invite, "200 OK", &answer, SDP);
            (Call::of(&invite), route_of_caller(&stays.answer_to(&call_id)))
        };
        tier.lose(false);
        drop(moves);
        let mut moves = Connection::to(&tier.edges[0]);
        let user = if is_callers_edge { "alice" } else { "bob" };
        moves.register(user, &contact(user));
        for (method, cseq) in [("INFO", "7 INFO"), ("BYE", "8 BYE")] {
            let lines = call.lines(!is_callers_edge, &route, cseq);
            stays.request(
                &format!("{method} sip:{user}@192.0.2.9;transport=tcp"),
                &lines.each_ref().map(String::as_str),
            );
            let request = moves.receive_request(method);
            moves.respond(&request, "200 OK", &[], "");
            let answer = stays.answer_to(&call.id);
            assert_eq!((status(&answer), header(&answer, "CSeq")), (200, Some(cseq)), "{answer}");
        }
    }
}

/// F1, design 5: the other side hangs up in the moment when the edge of the phone is dead and the phone not back yet. It is waited for.
#[test]
fn a_call_that_is_ended_while_a_phone_has_no_edge_ends_at_that_phone_too() {
    // Nobody is waited for longer than 4.5 s: on a machine that takes as long to register, nothing was seen.
    assert!((0..10).any(|_| is_waited_for()), "ten times it took too long, or was not waited for");
}

/// Whether Bob was back in time; then he was told that the call is over.
fn is_waited_for() -> bool {
    let mut tier = Tier::start(&[]);
    let (alice, mut bob) = (Wire::of(&tier.edges[0]), Connection::to(&tier.edges[1]));
    bob.register("bob", &contact("bob"));
    let call_id = alice.request("INVITE sip:bob@localhost", &["Contact: <sip:alice@192.0.2.9>"]);
    let invite = bob.receive_request("INVITE");
    bob.respond(&invite, "200 OK", &["Contact: <sip:bob@192.0.2.9;transport=tcp>"], "");
    let (call, route) = (Call::of(&invite), route_of_caller(&alice.answer_to(&call_id)));
    tier.lose(false);
    drop(bob);
    let asked = Instant::now();
    let is_late = || asked.elapsed() > Duration::from_secs(4);
    let lines = call.lines(true, &route, "2 BYE");
    alice.request("BYE sip:bob@192.0.2.9;transport=tcp", &lines.each_ref().map(String::as_str));
    while tier.edges[0].metric("carillon_edge_held") < 1.0 {
        if is_late() {
            return false;
        }
    }
    let mut bob = Connection::to(&tier.edges[0]);
    bob.register("bob", &contact("bob"));
    if is_late() {
        return false;
    }
    let bye = bob.receive_request("BYE");
    bob.respond(&bye, "200 OK", &[], "");
    let answer = alice.answer_to(&call_id);
    assert_eq!((status(&answer), header(&answer, "CSeq")), (200, Some("2 BYE")), "{answer}");
    true
}

/// F1, LAD-1, OBD-07, design 5: the same of a call that the application dialled. An edge is killed that has Bob's connection, carries his
/// leg, or both. The application ends the call, and Bob hears of it where he is now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialled_call_ends_at_a_phone_whose_edge_was_killed() {
    for (at, carried_by) in [(1, 1), (1, 0), (0, 1)] {
        let mut tier = Tier::start(&[]);
        let at_once = Script { answer: Answer::After(Duration::ZERO), ..Script::default() };
        let mut alice = TestPhone::registered(&tier.edges[0].sip, "sip:alice@localhost", "", at_once).await;
        let mut bob = Connection::to(&tier.edges[at]);
        bob.register("bob", &contact("bob"));
        let (id, invite) = tier.dialled(&mut bob, carried_by);
        let answer = [&format!("Contact: {}", contact("bob")), "Content-Type: application/sdp"];
        bob.respond(&invite, "200 OK", &answer, SDP);
        bob.receive_request("ACK");
        alice.wait_for("the call", |h| *h == Happening::Connected).await;
        tier.lose(false);
        if at == 1 {
            bob = Connection::to(&tier.edges[0]);
            bob.register("bob", &contact("bob"));
        }
        hang_up(&tier.core, &id);
        let bye = bob.receive_request("BYE");
        assert_eq!(header(&bye, "Call-ID"), header(&invite, "Call-ID"));
        bob.respond(&bye, "200 OK", &[], "");
        alice.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
        let outcome = outcome(&tier.core, &id).await;
        let found = (&outcome["kind"], &outcome["ended_by"]);
        assert_eq!(found, (&"COMPLETED".into(), &"api".into()), "{outcome}");
    }
}

fn register(phone: &Wire, user: &str) {
    let lines = [
        format!("From: <sip:{user}@localhost>;tag=r"),
        format!("To: <sip:{user}@localhost>"),
        format!("Contact: <sip:{user}@{}>", phone.address()),
    ];
    let call_id = phone.request("REGISTER sip:localhost", &lines.each_ref().map(String::as_str));
    assert_eq!(status(&phone.answer_to(&call_id)), 200);
}
