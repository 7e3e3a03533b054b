//! Our registrations at trunks: who keeps them up, when, and how they end.

use std::time::Duration;

use cluster_api::edge::v1::{ExchangeResponse, SendRequest};
use cluster_api::registrar::v1::{
    DeleteTrunkRequest, Trunk, TrunkCredentials, TrunkRegistration, TrunkRegistrationState,
    trunks_server::Trunks as _,
};
use sip_digest::{Credentials, Ha1, Hash};
use tonic::Request;

use crate::far_side::{FarSide, answer, answer_with, pass, shown, until, value};
use crate::rig::{Phone, Rig, contact, status, targets};
use crate::trunks::{create, trunk, update};

/// A trunk at which to register, with credentials for one realm.
fn carrier(name: &str) -> Trunk {
    let credentials =
        TrunkCredentials { username: "u".into(), password: "zanzibar".into(), realm: "carrier".into() };
    let registration = TrunkRegistration {
        registrar_uri: "sip:carrier.example".into(),
        aor: "sip:+4930@carrier.example".into(),
        callee: "sip:alice@open".into(),
        expires: None,
    };
    Trunk {
        credentials: Some(credentials),
        registration: Some(registration),
        ..trunk(name, &["sip:carrier.example"], &[])
    }
}

/// A registrar that wants a digest and grants so many seconds.
fn granting(seconds: u32) -> impl FnMut(&SendRequest) -> Option<ExchangeResponse> + Send + 'static {
    move |send| {
        let Some(given) = value(send, "Authorization") else {
            let challenges = [Hash::Sha256, Hash::Md5].map(|hash| {
                format!("Digest realm=\"carrier\", nonce=\"n\", qop=\"auth\", algorithm={}", hash.as_str())
            });
            return Some(ExchangeResponse { challenges: challenges.to_vec(), ..answer(401) });
        };
        let credentials = Credentials::parse(given.as_bytes()).expect("credentials");
        let ha1 = Ha1::of_password(Hash::Sha256, b"u", b"carrier", b"zanzibar");
        if !credentials.matches(&ha1, "REGISTER", b"") {
            return Some(answer(403));
        }
        let expires: u32 = value(send, "Expires").expect("Expires").parse().expect("seconds");
        let contact = match send.contact.as_str() {
            "" => format!("<sip:{}@edge:5060>", send.contact_user),
            whole => whole.to_owned(),
        };
        let contacts = if expires == 0 { vec![] } else { vec![format!("{contact};expires={seconds}")] };
        Some(ExchangeResponse { contacts, ..answer(200) })
    }
}

async fn standing(rig: &Rig, status: u32) -> TrunkRegistrationState {
    until("the registration", async || {
        shown(rig, "t").await.registration_state.filter(|state| state.sip_status == status)
    })
    .await
}

fn strictly_rising(sent: &[SendRequest]) -> bool {
    sent.windows(2).all(|pair| pair[0].cseq < pair[1].cseq && pair[0].sip_call_id == pair[1].sip_call_id)
}

fn by_one(sent: &[SendRequest]) -> bool {
    strictly_rising(sent) && sent.windows(2).all(|pair| pair[1].cseq - pair[0].cseq == 1)
}

/// AUT-13: one of two replicas registers, with the best algorithm; it is refreshed before its end, with the same Call-ID and the
/// next number each (RFC 3261 10.2); and a trunk that is deleted is taken leave of.
#[tokio::test(start_paused = true)]
async fn one_replica_registers_refreshes_and_takes_leave() {
    let rig = Rig::new();
    let far = FarSide::new("e1", granting(600));
    far.lives(&rig).await;
    let _working = [far.keeps(&rig.replicas[0]), far.keeps(&rig.replicas[1])];
    create(&rig, carrier("t")).await.unwrap();
    let state = standing(&rig, 200).await;
    assert_eq!((state.edge_id.as_str(), shown(&rig, "t").await.health[0].registration_status), ("e1", 200));
    pass(5).await;
    let sent = far.sent();
    assert_eq!(sent.len(), 2, "once, and once with credentials");
    assert_eq!(
        (sent[0].request_uri.as_str(), sent[0].to_uri.as_str()),
        ("sip:carrier.example", "sip:+4930@carrier.example")
    );
    assert_eq!(value(&sent[1], "Expires"), Some("3600"));

    let left = |state: &TrunkRegistrationState| {
        let next = state.next_attempt_time.expect("a refresh").seconds;
        next - 1_800_000_000
    };
    assert!((480..=540).contains(&left(&state)), "{state:?}");
    rig.clock.advance(Duration::from_secs(541));
    far.lives(&rig).await;
    until("the refresh", async || (far.sent().len() == 4).then_some(())).await;
    pass(5).await;
    assert!(by_one(&far.sent()), "{:?}", far.sent());

    let delete = DeleteTrunkRequest { request_id: "1".into(), trunk_id: "t".into() };
    rig.registrar().delete_trunk(Request::new(delete)).await.unwrap();
    until("the farewell", async || (far.sent().len() == 6).then_some(())).await;
    pass(5).await;
    let sent = far.sent();
    assert_eq!((sent.len(), value(&sent[5], "Expires")), (6, Some("0")));
    assert!(by_one(&sent), "{sent:?}");
    assert!(sent[5].contact.starts_with("<sip:trunk-") && sent[5].contact.ends_with("@edge:5060>"));
    assert!(value(&sent[5], "Authorization").is_some(), "its credentials are known to the end");
}

/// RFC 5626 4.5, RFC 3261 10.2.8: failures are tried again after a pause, not before Retry-After; 423 at once, with the time it asks for.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_tried_again_when_it_may_be() {
    let rig = Rig::new();
    let far = FarSide::new("e1", |_| Some(answer_with(503, "Retry-After", "100")));
    far.lives(&rig).await;
    let _working = far.keeps(&rig.replicas[0]);
    create(&rig, carrier("t")).await.unwrap();
    let state = standing(&rig, 503).await;
    assert_eq!(state.next_attempt_time.expect("another attempt").seconds, 1_800_000_100);
    pass(5).await;
    assert_eq!(far.sent().len(), 1);

    far.answers(|send| match value(send, "Expires") {
        Some("7200") => Some(answer_with(200, "Expires", "7200")),
        _ => Some(answer_with(423, "Min-Expires", "7200")),
    });
    rig.clock.advance(Duration::from_secs(101));
    far.lives(&rig).await;
    let state = standing(&rig, 200).await;
    assert_eq!(far.sent().len(), 3);
    assert_eq!(state.expire_time.expect("an end").seconds, 1_800_007_301);

    // wrong credentials are not tried again and again
    let mut wrong = granting(600);
    far.answers(move |send| {
        wrong(send).map(|answer| ExchangeResponse { status: answer.status.max(401), ..answer })
    });
    update(&rig, Trunk { display_name: "x".into(), ..trunk("t", &[], &[]) }).await.unwrap();
    standing(&rig, 401).await;
    pass(5).await;
    assert_eq!(far.sent().len(), 5);
}

/// AUT-13, RFC 3261 10.2.2, 10.2.4: a grant of no time is a failure with a pause that doubles, and the shortest of grants is refreshed
/// no sooner than after 10 s.
#[tokio::test(start_paused = true)]
async fn a_grant_of_no_time_is_no_registration_and_a_brief_one_no_flood() {
    let rig = Rig::new();
    let far = FarSide::new("e1", granting(0));
    far.lives(&rig).await;
    let _working = far.keeps(&rig.replicas[0]);
    create(&rig, carrier("t")).await.unwrap();
    let state = standing(&rig, 503).await;
    let pause = state.next_attempt_time.expect("another attempt").seconds - 1_800_000_000;
    assert!((15..=30).contains(&pause) && state.expire_time.is_none(), "{state:?}");
    pass(5).await;
    assert_eq!(far.sent().len(), 2);

    far.answers(granting(1));
    rig.clock.advance(Duration::from_secs(31));
    far.lives(&rig).await;
    let state = standing(&rig, 200).await;
    assert_eq!(state.next_attempt_time.expect("a refresh").seconds, 1_800_000_041);
    rig.clock.advance(Duration::from_secs(9));
    far.lives(&rig).await;
    pass(5).await;
    assert_eq!(far.sent().len(), 4);
}

/// AUT-13, RFC 3261 22.3, 7616 3.4: a proxy and the registrar behind it both challenge, under one name; what the proxy is answered with
/// stays, with the next count of its nonce. Who refuses is not answered again.
#[tokio::test(start_paused = true)]
async fn two_challengers_in_a_row_are_both_answered() {
    let rig = Rig::new();
    let mut grants = granting(600);
    let far = FarSide::new("e1", move |send| {
        let Some(given) = value(send, "Proxy-Authorization") else {
            let challenge = "Digest realm=\"carrier\", nonce=\"p\", qop=\"auth\"".to_owned();
            return Some(ExchangeResponse { challenges: vec![challenge], ..answer(407) });
        };
        let credentials = Credentials::parse(given.as_bytes()).expect("credentials");
        let ha1 = Ha1::of_password(Hash::Md5, b"u", b"carrier", b"zanzibar");
        let count = credentials.protection.as_ref().expect("qop").count;
        let uses = if value(send, "Authorization").is_some() { 2 } else { 1 };
        if !credentials.matches(&ha1, "REGISTER", b"") || count != uses {
            return Some(answer(403));
        }
        grants(send)
    });
    far.lives(&rig).await;
    let _working = far.keeps(&rig.replicas[0]);
    create(&rig, carrier("t")).await.unwrap();
    standing(&rig, 200).await;
    let sent = far.sent();
    assert!(sent.len() == 3 && by_one(&sent), "{sent:?}");
}

/// Rule "a dead replica's work is taken over": it dies between REGISTER and answer; another one registers after the lease, with a
/// number that the dead one cannot have used.
#[tokio::test(start_paused = true)]
async fn another_replica_takes_over_from_one_that_died() {
    let rig = Rig::new();
    let silent = FarSide::new("e1", |_| None);
    silent.lives(&rig).await;
    let dying = silent.keeps(&rig.replicas[0]);
    create(&rig, carrier("t")).await.unwrap();
    until("the REGISTER", async || (!silent.sent().is_empty()).then_some(())).await;
    drop(dying);
    let far = FarSide::new("e1", granting(600));
    let _working = far.keeps(&rig.replicas[1]);
    pass(5).await;
    assert!(far.sent().is_empty(), "the lease holds");
    rig.clock.advance(Duration::from_secs(46));
    far.lives(&rig).await;
    standing(&rig, 200).await;
    let sent: Vec<SendRequest> = silent.sent().into_iter().chain(far.sent()).collect();
    assert!(strictly_rising(&sent), "{sent:?}");
}

/// F1: the contact leads to an edge; when that is gone, another one registers at once.
#[tokio::test(start_paused = true)]
async fn a_registration_moves_from_an_edge_that_is_gone() {
    let rig = Rig::new();
    let (one, two) = (FarSide::new("e1", granting(3_600)), FarSide::new("e2", granting(3_600)));
    one.lives(&rig).await;
    let working = one.keeps(&rig.replicas[0]);
    create(&rig, carrier("t")).await.unwrap();
    assert_eq!(standing(&rig, 200).await.edge_id, "e1");
    drop(working);
    let _working = two.keeps(&rig.replicas[1]);
    rig.clock.advance(Duration::from_secs(3));
    two.lives(&rig).await;
    until("the move", async || {
        shown(&rig, "t").await.registration_state.filter(|state| state.edge_id == "e2")
    })
    .await;
    let sent: Vec<SendRequest> = one.sent().into_iter().chain(two.sent()).collect();
    assert!(by_one(&sent), "{sent:?}");
}

/// Rule "a dead replica's work is taken over": it dies while it removes the contact of an edge that is gone; the numbers of that are
/// reserved too.
#[tokio::test(start_paused = true)]
async fn the_numbers_of_a_removal_are_not_used_again() {
    let rig = Rig::new();
    let far = FarSide::new("e1", granting(3_600));
    far.lives(&rig).await;
    let dying = far.keeps(&rig.replicas[0]);
    create(&rig, carrier("t")).await.unwrap();
    standing(&rig, 200).await;
    let mut grants = granting(3_600);
    far.answers(move |send| {
        let answer = grants(send).filter(|_| value(send, "Expires") != Some("0"))?;
        let contacts = answer.contacts.iter().map(|contact| contact.replace("@edge", "@other")).collect();
        Some(ExchangeResponse { contacts, ..answer })
    });
    rig.clock.advance(Duration::from_secs(3_241));
    far.lives(&rig).await;
    let is_removal = |send: &SendRequest| value(send, "Expires") == Some("0");
    until("the removal", async || far.sent().iter().any(is_removal).then_some(())).await;
    drop(dying);
    let last = FarSide::new("e1", granting(3_600));
    let _working = last.keeps(&rig.replicas[1]);
    rig.clock.advance(Duration::from_secs(46));
    last.lives(&rig).await;
    until("the takeover", async || (!last.sent().is_empty()).then_some(())).await;
    let sent: Vec<SendRequest> = far.sent().into_iter().chain(last.sent()).collect();
    assert!(strictly_rising(&sent), "{sent:?}");
}

/// AUT-13: how often registering failed does not count when leave is taken: a refused farewell is tried again.
#[tokio::test(start_paused = true)]
async fn a_farewell_is_tried_again_however_registering_went() {
    let rig = Rig::new();
    let far = FarSide::new("e1", granting(3_600));
    far.lives(&rig).await;
    let _working = far.keeps(&rig.replicas[0]);
    create(&rig, carrier("t")).await.unwrap();
    standing(&rig, 200).await;
    far.answers(|_| Some(answer(503)));
    rig.clock.advance(Duration::from_secs(3_241));
    // the time of day goes on with the other one
    let has_sent = async |count: usize| {
        until("another REGISTER", async || {
            rig.clock.advance(Duration::from_millis(200));
            far.lives(&rig).await;
            (far.sent().len() >= count).then_some(())
        })
        .await;
    };
    has_sent(5).await;
    let delete = DeleteTrunkRequest { request_id: "1".into(), trunk_id: "t".into() };
    rig.registrar().delete_trunk(Request::new(delete)).await.unwrap();
    has_sent(8).await;
    rig.clock.advance(Duration::from_secs(200));
    far.lives(&rig).await;
    pass(5).await;
    let sent = far.sent();
    assert!(sent[5..].iter().all(|send| value(send, "Expires") == Some("0")), "{sent:?}");
    assert_eq!(sent.len(), 8, "three farewells are enough");
}

/// One trunk that is silent delays no other.
#[tokio::test(start_paused = true)]
async fn a_silent_registrar_delays_nobody() {
    let rig = Rig::new();
    let mut grants = granting(600);
    let far = FarSide::new("e1", move |send| match send.request_uri.contains("silent") {
        true => None,
        false => grants(send),
    });
    far.lives(&rig).await;
    let _working = far.keeps(&rig.replicas[0]);
    for index in 0..20 {
        let mut silent = carrier(&format!("silent-{index}"));
        silent.registration.as_mut().unwrap().registrar_uri = "sip:silent.example".into();
        create(&rig, silent).await.unwrap();
    }
    create(&rig, carrier("t")).await.unwrap();
    standing(&rig, 200).await;
    let state = until("the silence", async || shown(&rig, "silent-0").await.registration_state).await;
    assert_eq!((state.sip_status, state.expire_time), (408, None));
}

/// PXY-27: a request to the contact that is registered there, from wherever, is a call for the user named; and nothing else.
#[tokio::test(start_paused = true)]
async fn a_call_to_the_registered_contact_reaches_its_user() {
    let rig = Rig::new();
    let far = FarSide::new("e1", granting(600));
    far.lives(&rig).await;
    let _working = far.keeps(&rig.replicas[0]);
    Phone::of(&rig, "alice", "open").register(&[contact("sip:desk@h")]).await;
    create(&rig, carrier("t")).await.unwrap();
    standing(&rig, 200).await;
    let user = far.sent()[0].contact_user.clone();
    let mut caller = Phone::of(&rig, "+49555", "far.example");
    assert_eq!(targets(&caller.route(&format!("sip:{user}@192.0.2.9:5060")).await), [["sip:desk@h"]]);
    assert_eq!(status(&caller.route("sip:trunk-0@192.0.2.9:5060").await), 403);
    update(&rig, Trunk { disabled: true, ..trunk("t", &[], &[]) }).await.unwrap();
    assert_eq!(status(&caller.route(&format!("sip:{user}@192.0.2.9:5060")).await), 403);
}
