//! The edge's part in races of a call that call-control dials: it gives up, and the phone does something else meanwhile.

use std::time::Duration;

use cluster_api::callcontrol::v1::request_failed::Cause;
use cluster_api::edge::v1::{CancelInvite, SendRequest, carry_request::What as Effect};

use super::stage::{Stage, uri};
use crate::legs::invite;

const ONE: &[(&str, &str)] = &[("contact", "B")];
const TOGETHER: &[(&str, &str)] = &[("contact", "BC")];
const TERMINATED: &str = "487 Request Terminated";

/// LAD-10 R1: call-control gives up before the phone has said anything.
#[tokio::test(start_paused = true)]
async fn r1_a_cancel_of_a_leg_waits_for_the_first_1xx() {
    let mut race = dialled(ONE).await;
    race.gives_up().await;
    assert_eq!(race.next().await, [""; 0]);
    race.answers('B', "INVITE", "100 Trying");
    assert_eq!(race.next().await, ["P>B CANCEL"]);
    race.answers('B', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>B ACK"]);
    assert_eq!(race.rig.response().await, (1, 487));

    let mut race = dialled(ONE).await;
    race.gives_up().await;
    let all = race.after(Duration::from_secs(33)).await;
    assert!(all.iter().all(|line| line == "P>B INVITE"), "no 1xx, no CANCEL: {all:?}");
    assert_eq!(race.rig.failure().await, (1, Cause::Timeout));
}

/// LAD-10 R2, R4: while the phone rings; and when it has refused already, nothing is sent.
#[tokio::test(start_paused = true)]
async fn r2_r4_a_ringing_leg_is_cancelled_and_one_that_has_ended_is_not() {
    let mut race = ringing(ONE).await;
    race.gives_up().await;
    assert_eq!(race.next().await, ["P>B CANCEL"]);
    race.answers('B', "CANCEL", "200 OK");
    race.answers('B', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>B ACK"]);
    assert_eq!(race.rig.response().await, (1, 487));

    let mut race = ringing(ONE).await;
    race.answers('B', "INVITE", "486 Busy Here");
    assert_eq!(race.next().await, ["P>B ACK"]);
    race.gives_up().await;
    assert_eq!(race.after(Duration::from_secs(40)).await, [""; 0]);
    assert_eq!(race.rig.response().await, (1, 486));
    assert!(race.rig.events.is_empty());
}

/// LAD-10 R3: the 200 crosses: call-control is told, acknowledges it and ends the leg.
#[tokio::test(start_paused = true)]
async fn r3_a_200_that_crosses_the_cancel_of_a_leg_is_reported() {
    let mut race = ringing(ONE).await;
    race.gives_up().await;
    race.answers('B', "INVITE", "200 OK");
    assert_eq!(race.next().await, ["P>B CANCEL"]);
    race.answers('B', "CANCEL", "481 Call/Transaction Does Not Exist");
    assert_eq!(race.rig.response().await, (1, 200));
    race.rig.carry(3, in_dialog("ACK", 1, 'B')).await;
    race.rig.carry(4, in_dialog("BYE", 2, 'B')).await;
    assert_eq!(race.next().await, ["P>B ACK", "P>B BYE"]);
    race.answers('B', "BYE", "200 OK");
    assert_eq!(race.rig.response().await, (4, 200));
    assert!(race.rig.events.is_empty(), "what the phone says to the late CANCEL is nobody's business");
}

/// LAD-10 R5: the dialled user has two phones.
#[tokio::test(start_paused = true)]
async fn r5_all_phones_of_a_leg_are_cancelled_and_one_487_is_reported() {
    let mut race = ringing(TOGETHER).await;
    race.gives_up().await;
    assert_eq!(race.next().await, ["P>B CANCEL"]);
    race.answers('C', "INVITE", "180 Ringing");
    assert_eq!(race.next().await, ["P>C CANCEL"]);
    assert_eq!(race.rig.response().await, (1, 180));
    race.answers('B', "INVITE", TERMINATED);
    race.answers('C', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>B ACK", "P>C ACK"]);
    assert_eq!(race.rig.response().await, (1, 487));
    assert!(race.rig.events.is_empty());
}

/// LAD-10 R6: both phones answer: both are reported, for each has to be acknowledged, and one of them ended.
#[tokio::test(start_paused = true)]
async fn r6_both_200s_of_a_leg_are_reported() {
    let mut race = ringing(TOGETHER).await;
    race.answers('C', "INVITE", "180 Ringing");
    race.next().await;
    assert_eq!(race.rig.response().await, (1, 180));
    race.answers('B', "INVITE", "200 OK");
    race.answers('C', "INVITE", "200 OK");
    assert_eq!(race.next().await, ["P>C CANCEL"]);
    assert_eq!(race.reason_to('C'), ["SIP;cause=200;text=\"Call completed elsewhere\""]);
    assert_eq!([race.rig.response().await, race.rig.response().await], [(1, 200), (1, 200)]);
    race.rig.carry(2, in_dialog("ACK", 1, 'B')).await;
    race.rig.carry(3, in_dialog("ACK", 1, 'C')).await;
    race.rig.carry(4, in_dialog("BYE", 2, 'C')).await;
    assert_eq!(race.next().await, ["P>B ACK", "P>C ACK", "P>C BYE"]);
}

/// LAD-10 R7: no 487 comes.
#[tokio::test(start_paused = true)]
async fn r7_a_cancelled_leg_without_487_is_given_up() {
    let mut race = ringing(ONE).await;
    race.gives_up().await;
    assert_eq!(race.next().await, ["P>B CANCEL"]);
    race.answers('B', "CANCEL", "200 OK");
    assert_eq!(race.after(Duration::from_millis(31_990)).await, [""; 0]);
    assert!(race.rig.events.is_empty());
    race.after(Duration::from_millis(20)).await;
    assert_eq!(race.rig.failure().await, (1, Cause::Timeout));
    race.answers('B', "INVITE", "200 OK");
    assert_eq!(race.after(Duration::from_secs(40)).await, [""; 0]);
    assert!(race.rig.events.is_empty(), "a stray 2xx is dropped. RFC 6026 7.2");
}

/// LAD-10 R10: the PRACK was on its way when call-control gave up.
#[tokio::test(start_paused = true)]
async fn r10_a_prack_of_a_cancelled_leg_is_still_answered() {
    let mut race = dialled(ONE).await;
    let reliable = ["Require: 100rel", "RSeq: 7"];
    race.answers_also('B', "INVITE", "183 Session Progress", &reliable);
    race.next().await;
    assert_eq!(race.rig.response().await, (1, 183));
    race.gives_up().await;
    race.rig.carry(3, in_dialog("PRACK", 2, 'B')).await;
    assert_eq!(race.next().await, ["P>B CANCEL", "P>B PRACK"]);
    race.answers('B', "INVITE", TERMINATED);
    race.answers_also('B', "INVITE", "183 Session Progress", &reliable);
    race.answers('B', "PRACK", "481 Call/Transaction Does Not Exist");
    assert_eq!(race.next().await, ["P>B ACK"]);
    assert_eq!([race.rig.response().await, race.rig.response().await], [(1, 487), (3, 481)]);
    assert!(race.rig.events.is_empty(), "the repeated 1xx is not told");
}

/// LAD-10 R15: the dialled user is forwarded when she does not answer, and answers at that moment.
#[tokio::test(start_paused = true)]
async fn r15_a_leg_that_answers_while_it_is_forwarded_wins() {
    let mut race = ringing(&[("contact", "B"), ("forward-no-answer", "C")]).await;
    assert_eq!(race.after(Duration::from_millis(60_100)).await, ["P>B CANCEL"]);
    race.answers('B', "INVITE", "200 OK");
    race.answers('B', "CANCEL", "200 OK");
    assert_eq!(race.after(Duration::from_secs(60)).await, [""; 0], "nothing for C");
    assert_eq!(race.rig.response().await, (1, 200));
}

impl Stage {
    /// Call-control cancels the INVITE.
    async fn gives_up(&self) {
        let cancel = CancelInvite { invite_effect: 1, headers: Vec::new() };
        self.rig.carry(2, Effect::Cancel(cancel)).await;
    }
}

fn in_dialog(method: &str, cseq: u32, phone: char) -> Effect {
    let (request_uri, to_tag) = (uri(phone), phone.to_string());
    Effect::Send(SendRequest { method: method.into(), request_uri, to_tag, cseq, ..invite() })
}

/// Call-control dials the phones of this plan.
async fn dialled(groups: &'static [(&'static str, &'static str)]) -> Stage {
    let mut race = Stage::of(groups).await;
    let ring_limit = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    race.rig.carry(1, Effect::Send(SendRequest { ring_limit, ..invite() })).await;
    assert!(race.next().await.contains(&"P>B INVITE".to_owned()));
    race
}

/// The first of them rings.
async fn ringing(groups: &'static [(&'static str, &'static str)]) -> Stage {
    let mut race = dialled(groups).await;
    race.answers('B', "INVITE", "180 Ringing");
    assert_eq!(race.next().await, [""; 0]);
    assert_eq!(race.rig.response().await, (1, 180));
    race
}
