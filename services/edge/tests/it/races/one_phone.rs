//! Races of a call to one phone.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Challenge, Fork, Group, Target};
use sip_endpoint::{Answer, Dns};
use sip_message::HeaderId;

use super::stage::{Stage, address};
use crate::rig::Rig;
use crate::services::FakeLocation;

const ONE: &[(&str, &str)] = &[("contact", "B")];

/// LAD-10 R1: before any 1xx of the phone the CANCEL is held; its first 1xx lets it go.
#[tokio::test(start_paused = true)]
async fn r1_a_cancel_waits_for_the_first_1xx() {
    let mut race = Stage::of(ONE).await;
    race.says("INVITE", 1);
    assert_eq!(race.next().await, ["P>B INVITE"]);
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL"]);
    race.answers('B', "INVITE", "100 Trying");
    assert_eq!(race.next().await, ["P>B CANCEL"]);
    race.answers('B', "CANCEL", "200 OK");
    race.answers('B', "INVITE", "487 Request Terminated");
    assert_eq!(race.next().await, ["P>B ACK", "P>U 487"]);
}

/// LAD-10 R1: no 1xx at all: Timer B ends it with 408, and nothing but the INVITE was ever sent to the phone.
#[tokio::test(start_paused = true)]
async fn r1_a_phone_that_says_nothing_is_never_sent_a_cancel() {
    let mut race = Stage::of(ONE).await;
    race.says("INVITE", 1);
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>B INVITE", "P>U 200 CANCEL"]);
    let all = race.after(Duration::from_millis(31_990)).await;
    assert!(all.iter().all(|line| line == "P>B INVITE") && all.len() == 6, "{all:?}");
    assert_eq!(race.after(Duration::from_millis(20)).await, ["P>U 408"]);
}

/// LAD-10 R2: while it rings.
#[tokio::test(start_paused = true)]
async fn r2_a_ringing_phone_is_cancelled() {
    let mut race = ringing(ONE).await;
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL", "P>B CANCEL"]);
    race.answers('B', "CANCEL", "200 OK");
    assert_eq!(race.next().await, [""; 0]);
    race.answers('B', "INVITE", "487 Request Terminated");
    assert_eq!(race.next().await, ["P>B ACK", "P>U 487"]);
    race.acknowledges(1);
    assert_eq!(race.after(Duration::from_secs(60)).await, [""; 0], "all is said");
}

/// LAD-10 R3: the 200 was on its way: it goes up, the caller ends the call by BYE, and whatever the phone says to the late CANCEL
/// harms nothing.
#[tokio::test(start_paused = true)]
async fn r3_a_200_that_crosses_the_cancel_makes_a_call_that_bye_ends() {
    for late in ["200 OK", "481 Call/Transaction Does Not Exist"] {
        let mut race = ringing(ONE).await;
        race.says("CANCEL", 1);
        assert_eq!(race.next().await, ["P>U 200 CANCEL", "P>B CANCEL"]);
        race.answers('B', "INVITE", "200 OK");
        assert_eq!(race.next().await, ["P>U 200"]);
        race.answers('B', "CANCEL", late);
        race.says_in_dialog("ACK", 1, 'B', &[]);
        assert_eq!(race.next().await, ["P>B ACK"], "{late}");
        race.says_in_dialog("BYE", 2, 'B', &[]);
        assert_eq!(race.next().await, ["P>B BYE"]);
        race.answers('B', "BYE", "200 OK");
        assert_eq!(race.next().await, ["P>U 200 BYE"]);
        assert_eq!(race.after(Duration::from_secs(60)).await, [""; 0]);
    }
}

/// LAD-10 R4: a final failure was on its way: it goes up and is acknowledged. The CANCEL is confirmed while its transaction is there,
/// 481 later, and reaches nobody.
#[tokio::test(start_paused = true)]
async fn r4_a_cancel_that_crosses_a_failure_changes_nothing() {
    let mut race = ringing(ONE).await;
    race.answers('B', "INVITE", "486 Busy Here");
    assert_eq!(race.next().await, ["P>B ACK", "P>U 486"]);
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL"]);
    race.acknowledges(1);
    assert_eq!(race.after(Duration::from_secs(40)).await, [""; 0]);
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 481 CANCEL"]);
}

/// LAD-10 R7: no 487 comes: 64*T1 after the CANCEL the edge gives up, and a 200 that comes later goes nowhere.
#[tokio::test(start_paused = true)]
async fn r7_a_cancelled_phone_that_never_says_487_is_given_up() {
    let mut race = ringing(ONE).await;
    race.after(Duration::from_secs(10)).await;
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL", "P>B CANCEL"]);
    race.answers('B', "CANCEL", "200 OK");
    assert_eq!(race.after(Duration::from_millis(31_990)).await, [""; 0]);
    assert_eq!(race.after(Duration::from_millis(20)).await, ["P>U 408"]);
    race.acknowledges(1);
    race.answers('B', "INVITE", "200 OK");
    assert_eq!(race.after(Duration::from_secs(40)).await, [""; 0], "a stray 2xx is dropped. RFC 6026 7.2");
}

/// LAD-10 R9: 487 ends only the re-INVITE; the dialog goes on. A 200 instead is passed on as well.
#[tokio::test(start_paused = true)]
async fn r9_a_cancelled_reinvite_leaves_the_call() {
    for end in ["487 Request Terminated", "200 OK"] {
        let mut race = ringing(ONE).await;
        race.answers('B', "INVITE", "200 OK");
        assert_eq!(race.next().await, ["P>U 200"]);
        race.says_in_dialog("ACK", 1, 'B', &[]);
        assert_eq!(race.next().await, ["P>B ACK"]);
        race.says_in_dialog("INVITE", 2, 'B', &[]);
        assert_eq!(race.next().await, ["P>B INVITE"]);
        race.answers('B', "INVITE", "100 Trying");
        race.next().await;
        race.says_in_dialog("CANCEL", 2, 'B', &[]);
        assert_eq!(race.next().await, ["P>U 200 CANCEL", "P>B CANCEL"]);
        race.answers('B', "CANCEL", "200 OK");
        race.answers('B', "INVITE", end);
        let said = race.next().await;
        if end.starts_with("487") {
            assert_eq!(said, ["P>B ACK", "P>U 487"]);
        } else {
            assert_eq!(said, ["P>U 200"]);
            race.says_in_dialog("ACK", 2, 'B', &[]);
            assert_eq!(race.next().await, ["P>B ACK"]);
        }
        race.says_in_dialog("BYE", 3, 'B', &[]);
        assert_eq!(race.next().await, ["P>B BYE"], "the dialog is there, {end}");
    }
}

/// LAD-10 R10: with a reliable provisional response open, 487 goes up at once; the PRACK that was on its way is still answered, by 200
/// or 481, and a repetition of the 1xx goes nowhere.
#[tokio::test(start_paused = true)]
async fn r10_a_prack_after_the_cancel_is_still_answered() {
    for answer in ["200 OK", "481 Call/Transaction Does Not Exist"] {
        let mut race = Stage::of(ONE).await;
        race.says_also("INVITE", 1, &["Supported: 100rel"]);
        race.next().await;
        let reliable = ["Require: 100rel", "RSeq: 7"];
        race.answers_also('B', "INVITE", "183 Session Progress", &reliable);
        assert_eq!(race.next().await, ["P>U 183"]);
        race.says("CANCEL", 1);
        assert_eq!(race.next().await, ["P>U 200 CANCEL", "P>B CANCEL"]);
        race.says_in_dialog("PRACK", 2, 'B', &["RAck: 7 1 INVITE"]);
        assert_eq!(race.next().await, ["P>B PRACK"]);
        race.answers('B', "CANCEL", "200 OK");
        race.answers('B', "INVITE", "487 Request Terminated");
        race.answers_also('B', "INVITE", "183 Session Progress", &reliable);
        assert_eq!(race.next().await, ["P>B ACK", "P>U 487"], "the 1xx is not repeated any more");
        race.answers('B', "PRACK", answer);
        assert_eq!(race.next().await, [format!("P>U {} PRACK", &answer[..3])]);
    }
}

/// LAD-10 R12: CANCEL of anything but an INVITE is confirmed and has no effect.
#[tokio::test(start_paused = true)]
async fn r12_a_cancel_of_another_request_has_no_effect() {
    let mut race = Stage::of(ONE).await;
    race.says("MESSAGE", 1);
    assert_eq!(race.next().await, ["P>B MESSAGE"]);
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL"]);
    race.answers('B', "MESSAGE", "200 OK");
    assert_eq!(race.next().await, ["P>U 200 MESSAGE"]);

    let mut race = ringing(ONE).await;
    race.answers('B', "INVITE", "200 OK");
    race.next().await;
    for (cseq, method) in (2..).zip(["SUBSCRIBE", "NOTIFY", "INFO"]) {
        race.says_in_dialog(method, cseq, 'B', &["Event: refer"]);
        assert_eq!(race.next().await, [format!("P>B {method}")]);
        race.says_in_dialog("CANCEL", cseq, 'B', &[]);
        assert_eq!(race.next().await, ["P>U 200 CANCEL"], "{method}");
        race.answers('B', method, "200 OK");
        assert_eq!(race.next().await, [format!("P>U 200 {method}")]);
    }
}

/// LAD-10 R13: the registrar challenges whatever comes without credentials; CANCEL and ACK it is not even asked about.
#[tokio::test(start_paused = true)]
async fn r13_a_cancel_is_never_challenged() {
    let location = FakeLocation::planning(|request| match request.proxy_authorization.is_empty() {
        true => Plan::Challenge(Challenge {
            challenges: vec!["Digest realm=\"example.com\"".into()],
            ..Challenge::default()
        }),
        false => crate::services::fork_to(&[super::stage::uri('B')]),
    });
    let (rig, wires) = Rig::on_wires(location.clone(), |_| {}).await;
    let mut race = Stage::over(rig, wires, location);
    race.says_also("INVITE", 1, &["Proxy-Authorization: Digest username=\"alice\""]);
    assert_eq!(race.next().await, ["P>B INVITE"]);
    race.answers('B', "INVITE", "180 Ringing");
    assert_eq!(race.next().await, ["P>U 180"]);
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL", "P>B CANCEL"]);
    race.answers('B', "INVITE", "487 Request Terminated");
    assert_eq!(race.next().await, ["P>B ACK", "P>U 487"]);
    race.acknowledges(1);
    assert_eq!(race.next().await, [""; 0]);
    assert_eq!(race.location.routed.lock().unwrap().len(), 1, "only the INVITE needed a decision");
}

/// LAD-10 R13: the name of the next hop leads elsewhere by now; CANCEL and ACK go where the INVITE went.
#[tokio::test(start_paused = true)]
async fn r13_a_cancel_and_its_ack_follow_the_invite_when_dns_has_changed() {
    let by_name = || Target { uri: "sip:bob@phones.example:5060".into(), ..Target::default() };
    let location = FakeLocation::planning(move |_| {
        let group = Group { targets: vec![by_name()], ring_time: None, cause: "trunk".into() };
        Plan::Fork(Fork { groups: vec![group], recurse: false })
    });
    let dns = Arc::new(Moving(Mutex::new(VecDeque::from(['B', 'C']))));
    let (rig, wires) = Rig::on_wires_resolving(location.clone(), dns.clone(), |_| {}).await;
    let mut race = Stage::over(rig, wires, location);
    race.says("INVITE", 1);
    assert_eq!(race.next().await, ["P>B INVITE"]);
    race.answers('B', "INVITE", "180 Ringing");
    race.next().await;
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL", "P>B CANCEL"]);
    race.answers('B', "CANCEL", "200 OK");
    race.answers('B', "INVITE", "487 Request Terminated");
    assert_eq!(race.next().await, ["P>B ACK", "P>U 487"]);
    let ack = race.last_to('B', |message| message.method_str() == "ACK");
    assert!(!ack.has(HeaderId::Route));
    race.says("INVITE", 2);
    assert_eq!(race.next().await, ["P>C INVITE"], "the next call goes to the new place");
}

/// A name that leads to another phone each time.
struct Moving(Mutex<VecDeque<char>>);

impl Dns for Moving {
    fn addresses<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<IpAddr>> {
        let phone = self.0.lock().expect("no test panics with it").pop_front().expect("asked this often");
        Box::pin(async move { Ok(vec![address(phone).ip()]) })
    }
}

/// The first phone of the plan rings.
async fn ringing(groups: &'static [(&'static str, &'static str)]) -> Stage {
    let mut race = Stage::of(groups).await;
    race.says("INVITE", 1);
    assert_eq!(race.next().await, ["P>B INVITE"]);
    race.answers('B', "INVITE", "180 Ringing");
    assert_eq!(race.next().await, ["P>U 180"]);
    race
}
