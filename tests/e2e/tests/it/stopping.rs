//! The end of a process: at once when it has nothing to do, politely when it has, and now when told twice.

use std::process::Stdio;

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, Lines, Redis, Starting, TestPhone, binary};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::calls::{dial, hang_up};

/// Alice and Bob of `localhost`, in a call that Carillon dialled; its id.
async fn connected(carillon: &Carillon) -> (TestPhone, TestPhone, String) {
    let script = Script { answer: Answer::After(std::time::Duration::ZERO), ..Script::default() };
    let mut phones = Vec::new();
    for aor in ["sip:alice@localhost", "sip:bob@localhost"] {
        carillon.account(aor, "secret");
        phones.push(TestPhone::registered(&carillon.sip, aor, "secret", script.clone()).await);
    }
    let (mut bob, mut alice) = (phones.pop().unwrap(), phones.pop().unwrap());
    let id = dial(carillon, &[]);
    alice.wait_for("the call", |h| *h == Happening::Connected).await;
    bob.wait_for("the call", |h| *h == Happening::Connected).await;
    (alice, bob, id)
}

fn is_hung_up(h: &Happening) -> bool {
    matches!(h, Happening::Ended { by_peer: true, .. })
}

/// What it logged, when it ended by itself and well.
fn ended(carillon: Carillon) -> String {
    let (status, log) = carillon.ended();
    assert!(status.success(), "{status}:\n{log}");
    // Nothing may hold the end up until it is stopped by force.
    assert!(!log.contains("was stopped"), "{log}");
    log
}

#[test]
fn an_idle_process_ends_at_once_with_phones_connections_and_watchers_still_there() {
    let carillon = Carillon::all_in_one();
    let _phone = std::net::TcpStream::connect(&carillon.sip).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _watch = runtime.block_on(crate::calls::Watch::begin_all(&carillon));
    carillon.terminate();
    let log = ended(carillon);
    assert!(log.contains("nothing is left to do"), "{log}");
}

/// A call that only this process knows may end by itself; nothing new is taken meanwhile.
#[tokio::test]
async fn a_draining_process_lets_a_call_end_by_itself_and_refuses_new_ones() {
    let carillon = Carillon::all_in_one();
    let (alice, mut bob, _) = connected(&carillon).await;
    carillon.terminate();
    carillon.log.wait_for("the drain", |l| l.contains("asked to end"));
    let refused = carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("about to stop"), "{refused:?}");
    alice.act(Remote::Hangup).await;
    bob.wait_for("the end", is_hung_up).await;
    let log = ended(carillon);
    assert!(log.contains("nothing is left to do"), "{log}");
}

#[tokio::test]
async fn a_call_that_outlasts_the_drain_is_hung_up_at_both_phones() {
    let carillon = Starting::with(&[], &[("CARILLON_DRAIN", "200ms")]).ready();
    let (mut alice, mut bob, _) = connected(&carillon).await;
    carillon.terminate();
    alice.wait_for("BYE", is_hung_up).await;
    bob.wait_for("BYE", is_hung_up).await;
    let log = ended(carillon);
    // What delays it is told with its count, when the drain begins and when it took too long.
    let calls = "calls that live in this process alone: 1";
    assert!(log.contains(&format!("waiting 200ms at most for {calls}")), "{log}");
    assert!(log.contains(&format!("the drain took too long (200ms); left are {calls}")), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_the_process_whatever_is_left() {
    let carillon = Carillon::all_in_one();
    let (_alice, _bob, _) = connected(&carillon).await;
    carillon.terminate();
    carillon.log.wait_for("the drain", |l| l.contains("asked to end"));
    carillon.terminate();
    let (status, log) = carillon.ended();
    assert!(status.success() && log.contains("told to end now"), "{status}:\n{log}");
}

/// F3: with a shared store a call is not the process's: it ends without the call, and the next one goes on with it.
#[tokio::test]
async fn a_call_in_a_shared_store_does_not_hold_the_end_and_goes_on_in_the_next_process() {
    let redis = Redis::start();
    let first = Carillon::serve(&["--redis", &redis.url()]);
    let (mut alice, mut bob, id) = connected(&first).await;
    first.terminate();
    let log = ended(first);
    assert!(log.contains("nothing is left to do"), "{log}");
    let second = Carillon::serve(&["--redis", &redis.url()]);
    hang_up(&second, &id);
    alice.wait_for("BYE", is_hung_up).await;
    bob.wait_for("BYE", is_hung_up).await;
}

/// F3: whoever watches a call on the command line goes on watching it at the next replica, from where he was.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_watched_further_at_the_next_replica() {
    let redis = Redis::start();
    let first = Carillon::serve(&["--redis", &redis.url()]);
    let (api, leads_to) = service(&first.api).await;
    let script = Script { answer: Answer::After(std::time::Duration::ZERO), ..Script::default() };
    let mut phones = Vec::new();
    for aor in ["sip:alice@localhost", "sip:bob@localhost"] {
        first.account(aor, "secret");
        phones.push(TestPhone::registered(&first.sip, aor, "secret", script.clone()).await);
    }
    let mut watching = std::process::Command::new(binary())
        .args(["dial", "sip:alice@localhost", "sip:bob@localhost", "--watch", "--api", &api])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = Lines::of("dial --watch", watching.stdout.take().unwrap());
    let complaints = Lines::of("dial --watch (errors)", watching.stderr.take().unwrap());
    let id = told.wait_for("the id of the call", |_| true);
    told.wait_for("the connection", |l| l.contains("CONNECTED"));
    first.terminate();
    complaints.wait_for("word of the end of the replica", |l| l.contains("(DRAINING)"));
    ended(first);
    let second = Carillon::serve(&["--redis", &redis.url()]);
    leads_to.send_replace(second.api.clone());
    hang_up(&second, &id);
    told.wait_for("the end", |l| l.contains("ENDED") && !l.contains("LEG_ENDED"));
    let status = watching.wait().unwrap();
    let events = told.seen();
    assert!(status.success(), "{events:?} {:?}", complaints.seen());
    // No event twice, and the end.
    assert_eq!(events.iter().filter(|l| l.contains("CONNECTED")).count(), 1, "{events:?}");
    assert!(events.last().is_some_and(|l| l.contains("ENDED")), "{events:?}");
}

/// One address that leads to one process after another, as that of a service in a cluster does.
async fn service(first: &str) -> (String, watch::Sender<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, leads_to) = watch::channel(first.to_owned());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let to = leads_to.borrow().trim_start_matches("http://").to_owned();
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(to).await {
                    // Either end may go.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (address, sender)
}
