//! Where somebody is registered, for those who watch it (RFC 3680).

use std::time::Duration;

use cluster_api::edge::v1::SendRequest;
use cluster_api::registrar::v1::Binding;
use cluster_api::registrar::v1::binding_event::Type;
use store::Store as _;
use tokio::time::sleep;

use crate::rig::{Rig, ask, body, subscribe};

const ALICE: &str = "sip:alice@d";

/// The contact of a phone, registered now for so long by the REGISTER of this number.
fn contact(rig: &Rig, id: &str, cseq: u32, seconds: u64) -> Binding {
    let end = rig.store.now() + Duration::from_secs(seconds);
    Binding {
        binding_id: id.to_owned(),
        aor: ALICE.to_owned(),
        contact_uri: format!("sip:alice@{id}"),
        q_milli: 1_000,
        sip_call_id: id.to_owned(),
        cseq,
        expire_time: Some(end.into()),
        ..Binding::default()
    }
}

/// The attribute of the contact of this phone.
fn attribute(told: &SendRequest, id: &str, name: &str) -> String {
    let text = body(told);
    let of_phone = text.split("<contact ").find(|contact| contact.contains(&format!("callid=\"{id}\"")));
    let value = of_phone.and_then(|contact| contact.split(&format!("{name}=\"")).nth(1));
    value.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

/// Seconds since 1970 until which a NOTIFY says that the contact of this phone goes on.
fn end_told(at: Duration, told: &SendRequest, id: &str) -> u64 {
    at.as_secs() + attribute(told, id, "expires").parse::<u64>().unwrap_or_default()
}

/// PKG-01: a contact that is refreshed, of which the registrar tells nobody, never runs out for who watches, and each time that was told
/// costs a few questions.
#[tokio::test(start_paused = true)]
async fn a_contact_that_is_refreshed_never_runs_out_for_its_watchers() {
    let rig = Rig::new();
    rig.bound.set(ALICE, vec![contact(&rig, "desk", 1, 60)]);
    let replica = rig.replica(false);
    let answer = ask(&replica, subscribe("alice", "alice", "reg", 3_600)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    sleep(Duration::from_secs(1)).await;
    for cseq in 2..=20 {
        sleep(Duration::from_secs(30)).await;
        rig.bound.set(ALICE, vec![contact(&rig, "desk", cseq, 60)]);
    }
    sleep(Duration::from_secs(40)).await;
    let told = rig.phones.notified("alice");
    let shown: Vec<_> =
        told.iter().skip_while(|(_, told)| attribute(told, "desk", "state").is_empty()).collect();
    assert!(shown.len() > 10, "{}", shown.len());
    for pair in shown.windows(2) {
        let (end, next) = (end_told(pair[0].0, &pair[0].1, "desk"), pair[1].0.as_secs());
        assert!(next < end, "told of {next} s, although it ran out at {end} s for who watches");
        let event = (attribute(&pair[1].1, "desk", "state"), attribute(&pair[1].1, "desk", "event"));
        assert_eq!(event, ("active".to_owned(), "refreshed".to_owned()));
    }
    assert!(rig.bound.asked(ALICE) < 2 * shown.len() + 3, "{}", rig.bound.asked(ALICE));
}

/// PKG-01: it is told once that a contact has expired, whether the registrar said so or the look found it.
#[tokio::test(start_paused = true)]
async fn a_contact_that_is_not_refreshed_expires_once() {
    for is_said in [true, false] {
        let rig = Rig::new();
        rig.bound.set(ALICE, vec![contact(&rig, "desk", 1, 60), contact(&rig, "cell", 1, 3_000)]);
        let replica = rig.replica(false);
        ask(&replica, subscribe("alice", "alice", "reg", 3_600)).await;
        sleep(Duration::from_secs(60)).await;
        let left = vec![contact(&rig, "cell", 1, 2_940)];
        match is_said {
            true => rig.bound.tell(ALICE, left, Type::Expired),
            false => rig.bound.set(ALICE, left),
        }
        sleep(Duration::from_secs(600)).await;
        let told = rig.phones.notified("alice");
        let ends: Vec<String> = told
            .iter()
            .filter(|(_, told)| attribute(told, "desk", "state") == "terminated")
            .map(|(_, told)| attribute(told, "desk", "event"))
            .collect();
        assert_eq!(ends, ["expired"], "{is_said}");
        assert_eq!(attribute(&told.last().expect("some").1, "cell", "state"), "active");
    }
}

/// PKG-01: what ends a contact before its time says why, also when the look at another one comes first.
#[tokio::test(start_paused = true)]
async fn a_look_does_not_say_why_a_contact_went_before_its_time() {
    let rig = Rig::new();
    rig.bound.set(ALICE, vec![contact(&rig, "desk", 1, 60), contact(&rig, "cell", 1, 3_000)]);
    let replica = rig.replica(false);
    ask(&replica, subscribe("alice", "alice", "reg", 3_600)).await;
    sleep(Duration::from_secs(45)).await;
    let left = vec![contact(&rig, "desk", 2, 60)];
    rig.bound.set(ALICE, left.clone());
    sleep(Duration::from_secs(10)).await;
    rig.bound.tell(ALICE, left, Type::Deactivated);
    sleep(Duration::from_secs(10)).await;
    let told = rig.phones.notified("alice");
    let events: Vec<String> = told.iter().map(|(_, told)| attribute(told, "cell", "event")).collect();
    let last = told.last().expect("some");
    assert_eq!(events.last().map(String::as_str), Some("deactivated"), "{events:?}");
    assert!(end_told(last.0, &last.1, "desk") > 100, "{}", body(&last.1));
}

/// PKG-01: nothing is looked at for nobody.
#[tokio::test(start_paused = true)]
async fn nobody_watches_any_more_and_nothing_is_looked_at() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    sleep(Duration::from_secs(5)).await;
    let before = rig.store.record_count();
    rig.bound.set(ALICE, vec![contact(&rig, "desk", 1, 3_000)]);
    let mut request = subscribe("alice", "alice", "reg", 60);
    ask(&replica, request.clone()).await;
    sleep(Duration::from_secs(5)).await;
    (request.expires, request.cseq) = (Some(0), 2);
    request.to_tag = rig.phones.notify("alice", 1).await.from_tag;
    assert_eq!(ask(&replica, request).await.status, 200);
    sleep(Duration::from_secs(60)).await;
    let asked = rig.bound.asked(ALICE);
    sleep(Duration::from_secs(4_000)).await;
    assert_eq!((rig.bound.asked(ALICE), rig.store.record_count()), (asked, before));
}
