//! Passwords are tried. T5

use std::time::Duration;

use cluster_api::sip::v1::Source;

use crate::rig::{PASSWORD, Phone, Rig, contact, source, status};

const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

/// Status of a REGISTER with this password from this address.
async fn attempt(rig: &Rig, user: &str, address: &str, password: &str) -> u32 {
    let mut phone = Phone::of(rig, user, "d");
    phone.password = password.to_owned();
    let first = phone.request(&[]);
    let challenge = phone.send(first).await;
    phone.take_challenge(&challenge.challenges);
    // A life of its own each time.
    phone.call_id.clone_from(&challenge.challenges[0]);
    let mut request = phone.request(&[contact("sip:a@h")]);
    request.source = Some(Source { address: address.to_owned(), ..source() });
    phone.sign(&mut request);
    let answer = phone.send(request).await;
    assert!(answer.status == 200 || answer.challenges.len() == 2, "an answer like any other");
    answer.status
}

/// T5: after ten wrong passwords of a source for a user one try a minute is looked at, and no other user or source suffers. Users who
/// do not exist are answered alike.
#[tokio::test]
async fn who_guesses_is_not_listened_to_for_a_minute() {
    let rig = Rig::new();
    rig.account("bob").await;
    rig.account("alice").await;
    for user in ["bob", "nobody"] {
        for number in 0..10 {
            assert_eq!(attempt(&rig, user, HOME, &format!("guess {number}")).await, 401);
        }
        assert_eq!(attempt(&rig, user, HOME, PASSWORD).await, 401, "{user}: not even the right one");
    }
    assert_eq!(attempt(&rig, "alice", HOME, PASSWORD).await, 200, "another user of the house");
    rig.clock.advance(Duration::from_secs(59));
    assert_eq!(attempt(&rig, "bob", HOME, PASSWORD).await, 401);
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(attempt(&rig, "bob", HOME, PASSWORD).await, 200);
}

/// T5: the user's phone at another address is let in meanwhile, and is then let in always.
#[tokio::test]
async fn who_is_bound_is_not_held_up() {
    let rig = Rig::new();
    rig.account("bob").await;
    for number in 0..11 {
        attempt(&rig, "bob", HOME, &format!("guess {number}")).await;
    }
    assert_eq!(attempt(&rig, "bob", ELSEWHERE, PASSWORD).await, 200);
    for number in 0..20 {
        assert_eq!(attempt(&rig, "bob", ELSEWHERE, &format!("guess {number}")).await, 401);
    }
    assert_eq!(attempt(&rig, "bob", ELSEWHERE, PASSWORD).await, 200, "its binding is from there");
}

/// T5: one password for many users is as many tries; and an INVITE is one like a REGISTER.
#[tokio::test]
async fn a_source_that_tries_many_users_is_not_listened_to() {
    let rig = Rig::new();
    rig.account("bob").await;
    for number in 0..100 {
        assert_eq!(attempt(&rig, &format!("user{number}"), HOME, "1234").await, 401);
    }
    assert_eq!(attempt(&rig, "bob", HOME, PASSWORD).await, 401);
    let mut phone = Phone::of(&rig, "bob", "d");
    assert_eq!(status(&phone.route("sip:bob@d").await), 407);
    assert_eq!(attempt(&rig, "bob", ELSEWHERE, PASSWORD).await, 200);
    rig.clock.advance(Duration::from_secs(10));
    assert_eq!(status(&phone.route("sip:bob@d").await), 0, "one in ten seconds");
}

/// T5: many sources that try one user are as many tries.
#[tokio::test]
async fn a_user_who_is_tried_from_everywhere_is_protected() {
    let rig = Rig::new();
    rig.account("bob").await;
    assert_eq!(attempt(&rig, "bob", HOME, PASSWORD).await, 200);
    for number in 0..100 {
        assert_eq!(attempt(&rig, "bob", &format!("203.0.113.{number}"), "1234").await, 401);
    }
    assert_eq!(attempt(&rig, "bob", ELSEWHERE, PASSWORD).await, 401);
    assert_eq!(attempt(&rig, "bob", HOME, PASSWORD).await, 200, "bound there");
    rig.clock.advance(Duration::from_secs(10));
    assert_eq!(attempt(&rig, "bob", ELSEWHERE, PASSWORD).await, 200);
}
