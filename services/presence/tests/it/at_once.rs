//! What is told of where somebody is registered is so when it is told, whenever the registrar's log says it; and of accounts that go.

use std::time::Duration;

use cluster_api::edge::v1::SendRequest;
use cluster_api::presence::v1::HandleRequest;
use cluster_api::registrar::v1::{Binding, binding_event::Type};
use store::Store as _;
use tokio::time::sleep;

use crate::lists::{allow, create, list, says, watch};
use crate::rig::{Rig, ask, body, publish, subscribe};

const ALICE: &str = "sip:alice@d";

/// A SUBSCRIBE by somebody with a Call-ID of its own for each package.
fn of(user: &str, resource: &str, package: &str) -> HandleRequest {
    HandleRequest { sip_call_id: format!("{user}-{package}"), ..subscribe(user, resource, package, 3_600) }
}

/// Alice is registered here, of which the log says nothing yet.
fn bind(rig: &Rig, contacts: &[&str]) {
    let binding = |contact: &&str| Binding {
        binding_id: (*contact).to_owned(),
        aor: ALICE.to_owned(),
        contact_uri: (*contact).to_owned(),
        q_milli: 1_000,
        ..Binding::default()
    };
    rig.bound.set(ALICE, contacts.iter().map(binding).collect());
}

fn state(request: &SendRequest) -> &str {
    request.headers.iter().find(|header| header.is("Subscription-State")).map_or("", |header| &header.value)
}

/// PRS-01, PKG-01, EVT-03, EVT-13: the first NOTIFY shows what the registrar has committed, and so does the one after each refresh, though its
/// log says nothing yet. What it says later takes nothing back, and versions grow by one.
#[tokio::test(start_paused = true)]
async fn the_notify_after_a_subscribe_is_true_before_the_log_says_so() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    bind(&rig, &["sip:alice@desk"]);
    let mut tag = String::new();
    for package in ["reg", "presence"] {
        let answer = ask(&replica, of("alice", "alice", package)).await;
        assert_eq!(answer.status, 200);
        if package == "reg" {
            tag = answer.to_tag;
        }
        let first = body(&rig.phones.notify(&format!("alice-{package}"), 1).await);
        let shown = if package == "reg" { "sip:alice@desk" } else { "<basic>open<" };
        assert!(first.contains(shown), "{first}");
    }
    bind(&rig, &["sip:alice@cell"]);
    let refresh = HandleRequest { to_tag: tag, cseq: 2, ..of("alice", "alice", "reg") };
    assert_eq!(ask(&replica, refresh).await.status, 200);
    let second = body(&rig.phones.notify("alice-reg", 2).await);
    assert!(second.contains("sip:alice@cell") && second.contains("version=\"1\" state=\"full\""), "{second}");
    assert!(second.contains("state=\"terminated\" event=\"unregistered\""), "{second}");
    for (kind, contact) in [
        (Type::Registered, "sip:alice@desk"),
        (Type::Registered, "sip:alice@cell"),
        (Type::Unregistered, "sip:alice@desk"),
    ] {
        rig.bound.log(ALICE, kind, Some(contact), rig.store.now());
    }
    sleep(Duration::from_secs(30)).await;
    let told = rig.phones.notified("alice-reg");
    assert_eq!(told.len(), 2, "{:?}", told.iter().map(|(_, request)| body(request)).collect::<Vec<_>>());
    // Another watcher who comes sees it at once, and those who are there hear of it then.
    bind(&rig, &[]);
    let other = HandleRequest { sip_call_id: "another".to_owned(), ..of("alice", "alice", "reg") };
    assert_eq!(ask(&replica, other).await.status, 200);
    assert!(!body(&rig.phones.notify("another", 1).await).contains("state=\"active\" event"));
    assert!(body(&rig.phones.notify("alice-reg", 3).await).contains("version=\"2\""));
}

/// EVT-04, WIN-01: when an account is deleted, whoever watches it in any package is told that there is no such resource, also where nobody was
/// registered. Who watches the account that has the name afterwards is left alone, and sees nothing of the old one.
#[tokio::test(start_paused = true)]
async fn who_watches_an_account_that_is_deleted_is_told_so() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    assert_eq!(ask(&replica, publish("alice", 1, "", "of the old one")).await.status, 200);
    allow(&replica, ALICE, "sip:bob@d").await;
    let watching = [
        ("alice", "presence.winfo"),
        ("alice", "message-summary"),
        ("alice", "reg"),
        ("alice", "dialog"),
        ("bob", "presence"),
    ];
    for (user, package) in watching {
        assert_eq!(ask(&replica, of(user, "alice", package)).await.status, 200, "{package}");
        rig.phones.notify(&format!("{user}-{package}"), 1).await;
    }
    assert!(body(&rig.phones.notify("bob-presence", 1).await).contains("of the old one"));
    sleep(Duration::from_secs(10)).await;
    let deleted = rig.store.now();
    sleep(Duration::from_millis(10)).await;
    let later = HandleRequest { sip_call_id: "later".to_owned(), ..of("bob", "alice", "presence") };
    assert_eq!(ask(&replica, later).await.status, 200);
    rig.bound.log(ALICE, Type::Deactivated, None, deleted);
    sleep(Duration::from_secs(10)).await;
    for (user, package) in watching {
        let told = rig.phones.notified(&format!("{user}-{package}"));
        let last = &told.last().expect("a NOTIFY").1;
        assert_eq!((state(last), body(last).as_str()), ("terminated;reason=noresource", ""), "{package}");
    }
    let told = rig.phones.notified("later");
    assert!(told.iter().all(|(_, request)| state(request).starts_with("active")), "{told:?}");
    assert!(!body(&told.last().expect("a NOTIFY").1).contains("of the old one"));
}

/// RLS-03: a member that nobody has is shown as one that there is not, and as itself once it is somebody's.
#[tokio::test(start_paused = true)]
async fn a_member_that_is_nobody_is_no_resource() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    rig.bound.nobody.lock().insert("sip:ghost@d".to_owned());
    create(&replica, list("sip:list-a@d", &["sip:ghost@d", "sip:bob@d"])).await.expect("a list");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&replica, watch("alice", "list-a")).await.status, 200);
    let first = rig.phones.notify("alice", 1).await;
    assert!(says(&first, "state=\"terminated\" reason=\"noresource\""), "{}", body(&first));
    assert!(says(&first, "state=\"pending\""), "nobody has decided about bob: {}", body(&first));
    rig.bound.nobody.lock().clear();
    rig.bound.log("sip:ghost@d", Type::Registered, Some("sip:ghost@h"), rig.store.now());
    let second = rig.phones.notify("alice", 2).await;
    assert!(says(&second, "state=\"pending\"") && !says(&second, "noresource"), "{}", body(&second));
}

/// WIN-01: whose subscription lapses before the owner has decided waits, and so does who only fetched; both are shown to an owner who comes
/// later. Who is let in is told no more, and who waits for a week is given up.
#[tokio::test(start_paused = true)]
async fn who_was_not_decided_about_waits() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let brief = HandleRequest { expires: Some(60), ..of("bob", "alice", "presence") };
    assert_eq!(ask(&replica, brief).await.status, 200);
    let fetch = HandleRequest { expires: Some(0), ..of("carol", "alice", "presence") };
    assert_eq!(ask(&replica, fetch).await.status, 200);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(ask(&replica, of("alice", "alice", "presence.winfo")).await.status, 200);
    let first = body(&rig.phones.notify("alice-presence.winfo", 1).await);
    for watcher in ["bob", "carol"] {
        let waits = format!("event=\"timeout\" status=\"waiting\">sip:{watcher}@d<");
        assert!(first.contains(&waits), "{first}");
    }
    allow(&replica, ALICE, "sip:bob@d").await;
    let second = body(&rig.phones.notify("alice-presence.winfo", 2).await);
    assert!(second.contains("event=\"approved\" status=\"terminated\">sip:bob@d<"), "{second}");
    assert!(second.contains("state=\"partial\"") && !second.contains("carol"), "{second}");
    // Another replica finds what was due in the week in which there was none.
    replica.stop(Duration::ZERO).await;
    sleep(Duration::from_secs(7 * 24 * 3_600)).await;
    let replica = rig.replica(false);
    sleep(Duration::from_secs(10)).await;
    let later = HandleRequest { sip_call_id: "later".to_owned(), ..of("alice", "alice", "presence.winfo") };
    assert_eq!(ask(&replica, later).await.status, 200);
    let full = body(&rig.phones.notify("later", 1).await);
    assert!(!full.contains("<watcher "), "{full}");
}
