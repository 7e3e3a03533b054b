//! RFC 3665 2: registrations.

use scripted_phone::{Happening, Remote, Script};
use test_support::TestPhone;

use super::Places;
use crate::wire::{Wire, header, status};

const BOB: [&str; 2] = ["From: <sip:bob@localhost>;tag=b", "To: <sip:bob@localhost>"];
const NO_QUESTIONS: [(&str, &str); 1] = [("CARILLON_AUTH", "none")];

/// The values of Contact in an answer.
fn contacts(answer: &str) -> Vec<&str> {
    answer.lines().filter_map(|line| line.strip_prefix("Contact: ")).collect()
}

/// A REGISTER for bob; the answer.
fn register(places: &Places, from: &Wire, lines: &[&str]) -> String {
    let call_id = from.request("REGISTER sip:localhost", &[&BOB[..], lines].concat());
    let answer = from.answer_to(&call_id);
    assert_eq!(status(&answer), 200, "{answer}");
    places.read_by_tshark(&[&call_id]);
    answer
}

/// SCN-01, SCN-04: challenged, registered, known at once to everybody, and taken back.
#[tokio::test]
async fn a_phone_registers_and_cancels_its_registration() {
    for places in Places::all(&[]) {
        let mut bob =
            TestPhone::registered(&places.near().sip, "sip:bob@localhost", "secret", Script::default()).await;
        assert!(bob.seen().iter().any(|h| matches!(h, Happening::Received(line) if line.contains(" 401 "))));
        assert!(places.bindings("bob").contains(&bob.address.to_string()));
        bob.act(Remote::Unregister).await;
        bob.wait_for("the end", |h| matches!(h, Happening::Registered(time) if time.is_zero())).await;
        assert_eq!(places.bindings("bob"), "");
        let messages = places.read_by_tshark(&[&bob.registration]);
        assert_eq!(messages, ["REGISTER", "401", "REGISTER", "200"].repeat(2));
    }
}

/// SCN-02, SCN-03, SCN-04: a mailto: address beside a phone; a query changes nothing; `*` takes all of it back. Each request goes to
/// the other edge than the one before.
#[test]
fn a_contact_list_is_updated_queried_and_cancelled() {
    for places in Places::all(&NO_QUESTIONS) {
        let (near, far) = (Wire::of(places.near()), Wire::of(places.far()));
        let phone = format!("<sip:bob@{}>", near.address());
        register(&places, &near, &[&format!("Contact: {phone};expires=600")]);
        let updated = register(&places, &far, &["Contact: <mailto:bob@biloxi.example.com>;expires=300"]);
        let both = contacts(&updated);
        assert_eq!(both.len(), 2, "{updated}");
        assert!(both.iter().any(|value| value.starts_with(&phone)), "{updated}");
        assert!(both.iter().any(|value| value.starts_with("<mailto:bob@biloxi.example.com>")), "{updated}");

        let before = places.bindings("bob");
        let queried = register(&places, &near, &[]);
        let seconds = |value: &str| -> u32 {
            let found = value.split(";expires=").nth(1).expect("an expiry");
            found.split(';').next().and_then(|digits| digits.parse().ok()).expect("a number")
        };
        for value in contacts(&queried) {
            let most = if value.contains("mailto:") { 300 } else { 600 };
            assert!((1..=most).contains(&seconds(value)), "a query prolongs nothing: {value}");
        }
        let uris = |list: &str| list.matches("bob@").count();
        assert_eq!(uris(&places.bindings("bob")), uris(&before));

        let cancelled = register(&places, &far, &["Contact: *", "Expires: 0"]);
        assert_eq!(header(&cancelled, "Contact"), None, "{cancelled}");
        assert_eq!(places.bindings("bob"), "");
    }
}

/// SCN-05: a wrong password is challenged again, and leaves nothing.
#[tokio::test]
async fn a_wrong_password_is_not_registered() {
    for places in Places::all(&[]) {
        let mut bob =
            TestPhone::new(&places.near().sip, "sip:bob@localhost", "wrong", Script::default()).await;
        bob.act(Remote::Register).await;
        let failed = bob.wait_for("a refusal", |h| matches!(h, Happening::RegisterFailed { .. })).await;
        assert!(matches!(failed, Happening::RegisterFailed { status: 401, .. }), "{failed:?}");
        assert_eq!(places.bindings("bob"), "");
        assert_eq!(places.read_by_tshark(&[&bob.registration]), ["REGISTER", "401"].repeat(2));
    }
}
