//! Phones on every transport at one edge of a tier, and on every transport at another one: each calls each.

use std::time::Instant;

use scripted_phone::{Happening, Remote, Wire};
use test_support::{Authority, Carillon, PATIENCE, Redis, TestPhone, Traffic};

use crate::calls::{dial, hang_up};
use crate::transports::{connected, ended, listeners, phone};

const WIRES: [Wire; 5] = [Wire::Udp, Wire::Tcp, Wire::Tls, Wire::Ws, Wire::Wss];

/// F5, OBD-05, OBD-07, TRN-01, TRN-09, TRN-12, PXY-12: each of the 25 pairs calls in both directions. Either side holds the call and takes
/// it back, and either side ends it. tshark reads every message of every phone, and finds nothing wrong with any.
#[tokio::test(flavor = "multi_thread")]
async fn each_phone_of_one_edge_calls_each_of_another_edge() {
    let tier = Tier::start();
    let edges: Vec<&Carillon> = tier.edges.iter().collect();
    let mut traffic = Traffic::of(&edges, Some(&tier.authority));
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for (edge, phones) in [(0, &mut here), (1, &mut there)] {
        for wire in WIRES {
            let user = format!("{wire:?}-{edge}").to_ascii_lowercase();
            tier.registrar.account(&format!("sip:{user}@localhost"), "secret");
            phones.push(phone(&tier.edges[edge], &tier.authority, &user, wire).await);
        }
    }
    for (a, alice) in here.iter_mut().enumerate() {
        for (b, bob) in there.iter_mut().enumerate() {
            println!("{:?} and {:?}", WIRES[a], WIRES[b]);
            call(alice, bob, (a + b) % 2 == 0).await;
            call(bob, alice, (a + b) % 2 == 0).await;
        }
    }
    // What is sent again because the machine was slow may still be on its way when the last call has ended.
    let since = Instant::now();
    loop {
        let capture = traffic.read();
        assert!(capture.faults.is_empty(), "{:#?}", capture.faults);
        let phones = here.iter_mut().chain(&mut there);
        let counts: Vec<_> = phones
            .map(|phone| (phone.aor.clone(), phone.passed(), capture.of_port(phone.address.port())))
            .collect();
        if counts.iter().all(|(_, own, captured)| own == captured) {
            assert!(counts.iter().all(|(_, own, _)| own.iter().all(|count| *count >= 80)), "{counts:?}");
            break;
        }
        assert!(since.elapsed() < PATIENCE, "what the phones and what tshark counted: {counts:#?}");
    }
    for edge in &tier.edges {
        assert_eq!(edge.metric("carillon_edge_sip_total{event=\"internal_panics\"}"), 0.0);
    }
}

/// One calls the other one, each holds the call, and one of them ends it.
async fn call(caller: &mut TestPhone, callee: &mut TestPhone, is_ended_by_caller: bool) {
    caller.act(Remote::Dial(callee.aor.clone())).await;
    connected(caller).await;
    connected(callee).await;
    hold(caller, callee).await;
    hold(callee, caller).await;
    let ends = if is_ended_by_caller { &caller } else { &callee };
    ends.act(Remote::Hangup).await;
    let by_peer = |phone: Happening| matches!(phone, Happening::Ended { by_peer: true, .. });
    assert_eq!(by_peer(ended(caller).await), !is_ended_by_caller);
    assert_eq!(by_peer(ended(callee).await), is_ended_by_caller);
}

async fn hold(holder: &mut TestPhone, held: &mut TestPhone) {
    for (holds, direction) in [(true, "sendonly"), (false, "sendrecv")] {
        holder.act(Remote::Hold(holds)).await;
        held.wait_for("the change", |h| *h == Happening::Changed { direction }).await;
        holder.wait_for("the answer", |h| *h == Happening::Agreed { direction }).await;
    }
}

/// TPC-12, TRN-12, OBD-07: the same, dialled by the application, whose legs one edge carries to phones that have their connections to another.
#[tokio::test(flavor = "multi_thread")]
async fn phones_of_every_kind_are_dialled_at_two_edges() {
    let tier = Tier::start();
    for user in ["alice", "bob"] {
        tier.registrar.account(&format!("sip:{user}@localhost"), "secret");
    }
    for (n, wire) in WIRES.into_iter().enumerate() {
        let mut alice = phone(&tier.edges[0], &tier.authority, "alice", wire).await;
        let other = WIRES[(n + 1) % WIRES.len()];
        let mut bob = phone(&tier.edges[1], &tier.authority, "bob", other).await;
        let id = dial(&tier.calls, &[]);
        connected(&mut alice).await;
        connected(&mut bob).await;
        hang_up(&tier.calls, &id);
        ended(&mut alice).await;
        ended(&mut bob).await;
        for phone in [&mut alice, &mut bob] {
            phone.act(Remote::Unregister).await;
            phone.wait_for("its leave", |h| matches!(h, Happening::Registered(_))).await;
        }
    }
}

/// Two edges with every listener, and what they need.
struct Tier {
    edges: [Carillon; 2],
    calls: Carillon,
    registrar: Carillon,
    authority: Authority,
    _redis: Redis,
}

impl Tier {
    fn start() -> Self {
        let (redis, authority) = (Redis::start(), Authority::new());
        let registrar = ["--roles", "registrar", "--redis", &redis.url(), "--id", "registrar-1"];
        let registrar = Carillon::serve(&registrar);
        let at = format!("registrar={}", registrar.api);
        let calls = ["--roles", "call-control", "--redis", &redis.url(), "--id", "calls-1", "--peers", &at];
        let calls = Carillon::serve(&calls);
        let engine = format!("call-control={}", calls.api);
        let own = listeners(&authority);
        let edge = |id: &str| {
            let role = ["--roles", "edge", "--id", id, "--peers", &at, "--peers", &engine];
            let arguments: Vec<&str> = role.into_iter().chain(own.iter().map(String::as_str)).collect();
            Carillon::serve(&arguments)
        };
        let edges = [edge("edge-1"), edge("edge-2")];
        Self { edges, calls, registrar, authority, _redis: redis }
    }
}
