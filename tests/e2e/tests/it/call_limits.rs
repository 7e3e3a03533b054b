//! The most calls that an account may have at a time, with phones at two edges.

use std::time::Duration;

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, PATIENCE, Redis, TestPhone};

async fn phone(at: &Carillon, name: &str) -> TestPhone {
    let script = Script { answer: Answer::After(Duration::ZERO), ..Script::default() };
    TestPhone::registered(&at.sip, &format!("sip:{name}@localhost"), "secret", script).await
}

/// Calls bob until somebody is called.
async fn call_until(phone: &mut TestPhone, wanted: impl Fn(&Happening) -> bool) {
    let again = async {
        loop {
            phone.act(Remote::Dial("sip:bob@localhost".into())).await;
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
    call_until(&mut carol, connected).await;
    carol.act(Remote::Hangup).await;
    bob.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;

    let silent = Script { answer: Answer::After(Duration::from_secs(3600)), ..Script::default() };
    bob.act(Remote::Script(silent)).await;
    let rings = |h: &Happening| matches!(h, Happening::Progress { status: 180 });
    call_until(&mut alice, rings).await;
    // What an edge has not told yet goes with it, and counts for some seconds more.
    listed_until(&core, |calls| calls.contains("RINGING"));
    first.kill();
    bob.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;
    listed_until(&core, |calls| !calls.contains("RINGING"));
    call_until(&mut carol, rings).await;
}

/// Polled: nobody tells a test when a list of calls has changed.
fn listed_until(core: &Carillon, wanted: impl Fn(&str) -> bool) {
    let begun = std::time::Instant::now();
    while !wanted(&String::from_utf8_lossy(&core.command(&["calls", "--json"]).stdout)) {
        assert!(begun.elapsed() < PATIENCE, "the calls are still others");
    }
}
