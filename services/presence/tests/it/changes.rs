//! Changes are told to who watches, in their time.

use std::time::Duration;

use cluster_api::sip::v1::{Body, Header};
use tokio::time::sleep;

use crate::rig::{Rig, ask, body, header, publish, subscribe, voice};

/// PRS-01: ten changes within a second are two notifications, and the second is the last state.
#[tokio::test(start_paused = true)]
async fn ten_changes_within_a_second_are_two_notifications() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    ask(&replica, subscribe("alice", "alice", "presence", 3_600)).await;
    rig.phones.notify("alice", 1).await;
    sleep(Duration::from_secs(10)).await;
    let known = rig.phones.notified("alice").len();
    let mut etag = String::new();
    for number in 1..=10 {
        let answer = ask(&replica, publish("alice", number, &etag, &format!("note {number}"))).await;
        assert_eq!(answer.status, 200);
        etag = header(&answer, "SIP-ETag");
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(20)).await;
    let told = rig.phones.notified("alice").split_off(known);
    let notes: Vec<String> = told.iter().map(|(_, request)| body(request)).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("<note>note 1<") && notes[1].contains("<note>note 10<"), "{notes:?}");
    assert!(told[1].0 - told[0].0 >= Duration::from_secs(5), "{:?}", told[1].0 - told[0].0);
}

/// PUB-04: of PUBLISHs to the same tag at the same time one survives.
#[tokio::test(start_paused = true)]
async fn of_two_changes_of_one_version_one_survives() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    let etag = header(&ask(&one, publish("alice", 1, "", "a")).await, "SIP-ETag");
    let (left, right) =
        tokio::join!(ask(&one, publish("alice", 2, &etag, "b")), ask(&two, publish("alice", 3, &etag, "c")));
    let mut statuses = [left.status, right.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

/// A watcher that does not answer delays no other one, and is given up (EVT-06).
#[tokio::test(start_paused = true)]
async fn a_silent_watcher_delays_nobody() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    rig.phones.answers.lock().insert("silent".to_owned(), 0);
    for call in ["silent", "alice"] {
        let mut request = subscribe("alice", "alice", "message-summary", 3_600);
        request.sip_call_id = call.to_owned();
        assert_eq!(ask(&replica, request).await.status, 200);
        rig.phones.notify(call, 1).await;
    }
    for new in 1..=5 {
        voice(&replica, "alice", new).await;
        let told = rig.phones.notify("alice", new + 1).await;
        assert!(body(&told).contains(&format!("Voice-Message: {new}/0")));
    }
    let took = rig.phones.notified("alice").last().map(|(at, _)| *at).unwrap_or_default();
    assert!(took < Duration::from_secs(10), "{took:?}");
    sleep(Duration::from_secs(60)).await;
    voice(&replica, "alice", 9).await;
    rig.phones.notify("alice", 7).await;
    assert!(rig.phones.notified("silent").iter().all(|(_, request)| request.cseq == 1));
}

/// T27: entities, depth, size, numbers and rate of what is published have their bounds, and what is refused changes nothing.
#[tokio::test(start_paused = true)]
async fn what_is_published_has_its_bounds() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    ask(&replica, subscribe("alice", "alice", "presence", 3_600)).await;
    rig.phones.notify("alice", 1).await;
    let with = |text: String| {
        let mut request = publish("alice", 1, "", "x");
        request.body = Some(Body::new("application/pidf+xml", text));
        request
    };
    let document = |inside: &str| {
        format!("<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@d\">{inside}</presence>")
    };
    let nested = |depth: usize| document(&("<x xmlns=\"urn:x\">".repeat(depth) + &"</x>".repeat(depth)));
    let entities = "<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c SYSTEM \"file:///etc/passwd\">";
    for (text, what) in [
        (format!("<!DOCTYPE presence [{entities}]>{}", document("<note>&b;&c;</note>")), "a DTD"),
        (document("<note>&b;</note>"), "an entity that nobody defined"),
        (nested(40), "too deep"),
        (document(&format!("<note>{}</note>", "a".repeat(70_000))), "too large"),
        (document("<tuple id=\"a\"><status/></tuple>").replace("</presence>", ""), "cut off"),
        (String::from("\u{0}"), "no XML"),
    ] {
        let refused = ask(&replica, with(text)).await;
        assert_eq!(refused.status, 400, "{what}");
        assert!(refused.reason.starts_with("Bad Presence Document"), "{what}: {}", refused.reason);
    }
    assert_eq!(ask(&replica, with(nested(20))).await.status, 200);
    rig.phones.notify("alice", 2).await;
    // So many at a time, and so many within some seconds.
    let mut publications = 1;
    while ask(&replica, publish("alice", 100 + publications, "", "one more")).await.status == 200 {
        publications += 1;
    }
    assert_eq!(publications, 16);
    let mut etag = header(&ask(&replica, publish("bob", 1, "", "first")).await, "SIP-ETag");
    let mut taken = 1;
    let refused = loop {
        let answer = ask(&replica, publish("bob", 1 + taken, &etag, &format!("note {taken}"))).await;
        if answer.status != 200 {
            break answer;
        }
        (etag, taken) = (header(&answer, "SIP-ETag"), taken + 1);
    };
    assert_eq!((taken, refused.status, header(&refused, "Retry-After").as_str()), (100, 503, "10"));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(ask(&replica, publish("bob", 300, &etag, "later")).await.status, 200);
}

/// PRS-05, PUB-03: a document that breaks the schema is refused with the rule that it breaks; one in an encoding that is not read here
/// with those that are. Nobody is shown either.
#[tokio::test(start_paused = true)]
async fn what_breaks_the_schema_is_refused_with_its_rule() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let with = |text: &str, content_type: &str, more: Option<Header>| {
        let mut request = publish("alice", 1, "", "x");
        request.body = Some(Body::new(content_type, text.to_owned()));
        request.headers.extend(more);
        request
    };
    let pidf = "application/pidf+xml";
    let document = |tuple: &str| {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@d\">\
             <tuple id=\"t\">{tuple}</tuple></presence>"
        )
    };
    let status = "<status><basic>open</basic></status>";
    for (tuple, rule) in [
        (String::new(), "a tuple has one status"),
        (status.repeat(2), "a tuple has one status"),
        (format!("{status}<timestamp>soon</timestamp>"), "a timestamp is a date and time"),
        ("<status><basic>open</basic><basic>open</basic></status>".to_owned(), "a status holds one basic"),
    ] {
        let refused = ask(&replica, with(&document(&tuple), pidf, None)).await;
        let expected = format!("Bad Presence Document ({rule}");
        assert_eq!(refused.status, 400, "{tuple}");
        assert!(refused.reason.starts_with(&expected), "{tuple}: {}", refused.reason);
    }
    let good = document(status);
    let packed = with(&good, pidf, Some(Header::new("Content-Encoding", "gzip")));
    let refused = ask(&replica, packed).await;
    assert_eq!((refused.status, header(&refused, "Accept-Encoding").as_str()), (415, "identity"));
    let refused = ask(&replica, with(&good, "application/pidf+xml;charset=UTF-16", None)).await;
    assert_eq!((refused.status, header(&refused, "Accept")), (415, format!("{pidf};charset=\"UTF-8\"")));
    assert_eq!(refused.reason, "Unsupported Media Type (charset UTF16, expected UTF-8)");
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>{good}");
    let refused = ask(&replica, with(&declared, pidf, None)).await;
    assert_eq!((refused.status, refused.reason.contains("an encoding other than UTF-8")), (400, true));
    ask(&replica, subscribe("alice", "alice", "presence", 3_600)).await;
    assert!(body(&rig.phones.notify("alice", 1).await).contains("<basic>closed<"), "nothing was taken");
    let plain = with(
        &good,
        "application/pidf+xml; charset=\"utf-8\"",
        Some(Header::new("Content-Encoding", "identity")),
    );
    assert_eq!(ask(&replica, plain).await.status, 200);
}

/// T27: one more than may watch somebody is told when to come again.
#[tokio::test(start_paused = true)]
async fn watchers_of_one_user_are_bounded() {
    let rig = Rig::new();
    let replica = rig.replica_with(presence::Config { watchers: 3, ..presence::Config::default() }, false);
    for user in ["alice", "bob", "carol"] {
        assert_eq!(ask(&replica, subscribe(user, "alice", "presence", 3_600)).await.status, 200);
    }
    let refused = ask(&replica, subscribe("dave", "alice", "presence", 3_600)).await;
    assert_eq!((refused.status, header(&refused, "Retry-After").as_str()), (503, "300"));
    assert_eq!(ask(&replica, subscribe("dave", "bob", "presence", 3_600)).await.status, 200);
}
