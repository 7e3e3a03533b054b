//! A conference that call-control holds at a mixer, as one sees it who is in it.

use std::path::Path;

use cluster_api::callcontrol::v1::call_event::Type;
use scripted_phone::{Answer, Remote, Script};
use test_support::{Carillon, Redis, Sipp, Starting, TestPhone, free_port};

use super::watcher::{Told, Watcher};
use crate::calls::Watch;
use crate::wire::{Wire, header, status};

/// The element of a user in a document, with what is in it.
fn entry<'a>(told: &'a Told, user: &str) -> Option<&'a str> {
    let start = told.body.find(&format!("<user entity=\"sip:{user}@localhost\""))?;
    let element = &told.body[start..];
    let end = element.find("</user>").or_else(|| element.find("/>"))?;
    Some(&element[..end])
}

fn version(told: &Told) -> u32 {
    let info = &told.body[told.body.find("<conference-info").expect("a roster")..];
    let after = info.split(" version=\"").nth(1).expect("a roster has a version");
    after.split('"').next().and_then(|digits| digits.parse().ok()).expect("a number")
}

/// Reads until it is so; each document is a part, one on from the last.
fn until(watcher: &Watcher, last: &Told, is_it: impl Fn(&Told) -> bool) -> Told {
    let mut last = last.clone();
    loop {
        let told = watcher.told();
        assert_eq!(version(&told), version(&last) + 1, "{told:?} after {last:?}");
        assert!(told.body.contains("state=\"partial\""), "{told:?}");
        if is_it(&told) {
            return told;
        }
        last = told;
    }
}

async fn phone(edge: &Carillon, name: &str) -> TestPhone {
    let script = Script { answer: Answer::Never, ..Script::default() };
    TestPhone::registered(&edge.sip, &format!("sip:{name}@localhost"), "secret", script).await
}

/// PKG-05, CCL-17, CCL-19: who is in sees the whole roster, then who comes and who goes by itself, and the end; who is not in sees nothing.
/// Edge, registrar, presence and call-control are processes of their own, and the mixer is somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_a_conference_of_call_control_sees_who_comes_and_goes() {
    let port = free_port();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp/mixer.xml");
    let _mixer = Sipp::serves(&scenario, port);
    let mixer = format!("sip:127.0.0.1:{port}");
    let variables = [
        ("CARILLON_CALL_CONTROL_MIXERS", mixer.as_str()),
        ("CARILLON_CALL_CONTROL_CONFERENCE_USER", "conference"),
        ("CARILLON_AUTH", "none"),
    ];
    let redis = Redis::start();
    let url = redis.url();
    let serve = |role: &str, peers: &[&str]| {
        let store: &[&str] = if role == "edge" { &[] } else { &["--redis", &url] };
        let peers: Vec<&str> = peers.iter().flat_map(|peer| ["--peers", peer]).collect();
        Starting::with(&[&["--roles", role, "--id", role], store, &peers].concat(), &variables).ready()
    };
    let registrar = serve("registrar", &[]);
    let at = format!("registrar={}", registrar.api);
    let presence = serve("presence", &[&at]);
    let notifier = format!("presence={}", presence.api);
    let calls = serve("call-control", &[&at, &notifier]);
    let edge = serve("edge", &[&at, &notifier, &format!("call-control={}", calls.api)]);
    let (alice, bob) = (phone(&edge, "alice").await, phone(&edge, "bob").await);

    let mut watch = Watch::begin_all(&calls).await;
    alice.act(Remote::Dial("sip:conference@localhost".into())).await;
    let call = watch.until(Type::PartyJoined).await.call.expect("every event has its call");
    let uri = call.conference_uri.expect("it is one");
    let roster = (uri.clone(), "conference");
    let mut watcher = Watcher::of(Wire::of(&edge), ("alice", "localhost"), roster.clone(), &[]);
    // What call-control tells of it reaches presence a moment after it began.
    let answer = loop {
        let answer = watcher.subscribe(3_600);
        if status(&answer) != 404 {
            break answer;
        }
    };
    assert_eq!((status(&answer), header(&answer, "Expires")), (200, Some("3600")), "{answer}");
    let first = watcher.told();
    assert_eq!(header(&first.text, "Content-Type"), Some("application/conference-info+xml"));
    assert!(
        first.body.contains(&format!("entity=\"{uri}\"")) && first.body.contains("state=\"full\""),
        "{first:?}"
    );
    let mut eve = Watcher::of(Wire::of(&edge), ("eve", "localhost"), roster, &[]);
    assert_eq!(status(&eve.subscribe(3_600)), 403, "the roster is open to members");
    // That she is in may be told a moment after she is.
    let is_in =
        |told: &Told, user: &str| entry(told, user).is_some_and(|user| user.contains("<status>connected<"));
    let last =
        if is_in(&first, "alice") { first } else { until(&watcher, &first, |told| is_in(told, "alice")) };

    bob.act(Remote::Dial(uri.clone())).await;
    let come = until(&watcher, &last, |told| is_in(told, "bob"));
    assert!(come.body.contains("<user-count>2<") && entry(&come, "alice").is_none(), "{come:?}");
    bob.act(Remote::Hangup).await;
    let gone = until(&watcher, &come, |told| told.body.contains("state=\"deleted\""));
    assert!(entry(&gone, "bob").is_some() && gone.body.contains("<user-count>1<"), "{gone:?}");
    assert_eq!(super::bodies::read(&[&last, &come, &gone]).len(), 3);
    alice.act(Remote::Hangup).await;
    let over = watcher.until(|told| told.state.starts_with("terminated"));
    assert_eq!(over.state, "terminated;reason=noresource", "{over:?}");
    assert_eq!(
        status(&Watcher::of(Wire::of(&edge), ("alice", "localhost"), (uri, "conference"), &[]).subscribe(60)),
        404
    );
    drop(bob);
}
