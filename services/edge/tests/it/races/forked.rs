//! Races of a call that rings at several phones, together or one after the other.

use std::time::Duration;

use super::stage::Stage;

const TOGETHER: &[(&str, &str)] = &[("contact", "BCD")];
const NO_ANSWER: &[(&str, &str)] = &[("contact", "B"), ("forward-no-answer", "C")];

const TRUNKS: &[(&str, &str)] = &[("trunk", "B"), ("trunk-failover", "C")];

const TERMINATED: &str = "487 Request Terminated";

/// LAD-10 R5: 200 at once; CANCEL to the branches with a 1xx, to the other one when its first 1xx comes; all 487 make one 487.
#[tokio::test(start_paused = true)]
async fn r5_a_cancel_reaches_every_branch_that_may_be_cancelled() {
    let mut race = all_but_d_ring().await;
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL", "P>B CANCEL", "P>C CANCEL"]);
    race.answers('B', "INVITE", TERMINATED);
    race.answers('C', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>B ACK", "P>C ACK"]);
    race.answers('D', "INVITE", "100 Trying");
    assert_eq!(race.next().await, ["P>D CANCEL"]);
    race.answers('D', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>D ACK", "P>U 487"]);
}

/// LAD-10 R5: one 200 wins and goes up; the caller acknowledges and ends it.
#[tokio::test(start_paused = true)]
async fn r5_a_200_of_one_branch_wins_over_the_cancel() {
    let mut race = all_but_d_ring().await;
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL", "P>B CANCEL", "P>C CANCEL"]);
    race.answers('B', "INVITE", TERMINATED);
    race.answers('C', "INVITE", "200 OK");
    assert_eq!(race.next().await, ["P>B ACK", "P>U 200"]);
    race.says_in_dialog("ACK", 1, 'C', &[]);
    race.says_in_dialog("BYE", 2, 'C', &[]);
    assert_eq!(race.next().await, ["P>C ACK", "P>C BYE"]);
    race.answers('C', "BYE", "200 OK");
    race.answers('D', "INVITE", "180 Ringing");
    assert_eq!(race.next().await, ["P>U 200 BYE", "P>D CANCEL"], "and its ringing is not told any more");
}

/// LAD-10 R6: two 200s: both go up, both are acknowledged, the second is ended; the third phone is told that the call was completed
/// elsewhere.
#[tokio::test(start_paused = true)]
async fn r6_two_200s_both_go_up_and_the_losers_are_told_why() {
    let mut race = all_but_d_ring().await;
    race.answers('D', "INVITE", "180 Ringing");
    race.next().await;
    race.answers('B', "INVITE", "200 OK");
    race.answers('C', "INVITE", "200 OK");
    assert_eq!(race.next().await, ["P>U 200", "P>C CANCEL", "P>D CANCEL", "P>U 200"]);
    for loser in ['C', 'D'] {
        assert_eq!(race.reason_to(loser), ["SIP;cause=200;text=\"Call completed elsewhere\""]);
    }
    race.answers('C', "CANCEL", "200 OK");
    race.answers('D', "CANCEL", "200 OK");
    race.answers('D', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>D ACK"]);
    race.says_in_dialog("ACK", 1, 'B', &[]);
    race.says_in_dialog("ACK", 1, 'C', &[]);
    race.says_in_dialog("BYE", 2, 'C', &[]);
    assert_eq!(race.next().await, ["P>B ACK", "P>C ACK", "P>C BYE"]);
}

/// LAD-10 R11: 603 of one phone cancels the others, and goes up when they have ended.
#[tokio::test(start_paused = true)]
async fn r11_a_603_cancels_the_others_and_goes_up() {
    let mut race = all_but_d_ring().await;
    race.answers('D', "INVITE", "603 Decline");
    assert_eq!(race.next().await, ["P>D ACK", "P>B CANCEL", "P>C CANCEL"]);
    assert_eq!(race.reason_to('B'), ["SIP;cause=603;text=\"Declined\""]);
    race.answers('B', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>B ACK"]);
    race.answers('C', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>C ACK", "P>U 603"]);
}

/// LAD-10 R11: a 200 that crosses wins.
#[tokio::test(start_paused = true)]
async fn r11_a_200_that_crosses_a_603_wins() {
    let mut race = all_but_d_ring().await;
    race.answers('D', "INVITE", "603 Decline");
    race.next().await;
    race.answers('B', "INVITE", "200 OK");
    assert_eq!(race.next().await, ["P>U 200"]);
    race.answers('C', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>C ACK"]);
    race.says("CANCEL", 1);
    assert_eq!(race.next().await, ["P>U 200 CANCEL"], "her CANCEL comes too late for anything");
}

/// LAD-10 R14: it rings past Timer C, which each 1xx starts again: CANCEL by the edge, and 408 goes up.
#[tokio::test(start_paused = true)]
async fn r14_a_branch_that_rings_past_timer_c_is_cancelled() {
    let mut race =
        ringing(&[("contact", "B")], |config| config.ring_timeout = Duration::from_secs(1_000)).await;
    assert_eq!(race.after(Duration::from_secs(100)).await, [""; 0]);
    race.answers('B', "INVITE", "180 Ringing");
    assert_eq!(race.next().await, ["P>U 180"]);
    assert_eq!(race.after(Duration::from_millis(180_900)).await, [""; 0]);
    assert_eq!(race.after(Duration::from_millis(200)).await, ["P>B CANCEL"]);
    assert_eq!(race.reason_to('B'), ["SIP;cause=480;text=\"No answer\""]);
    race.answers('B', "CANCEL", "200 OK");
    race.answers('B', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>B ACK", "P>U 408"]);
}

/// LAD-10 R14: or the next target is tried.
#[tokio::test(start_paused = true)]
async fn r14_past_timer_c_the_next_target_is_tried() {
    let mut race = ringing(NO_ANSWER, |config| config.ring_timeout = Duration::from_secs(1_000)).await;
    assert_eq!(race.after(Duration::from_millis(181_100)).await, ["P>B CANCEL"]);
    race.answers('B', "CANCEL", "200 OK");
    race.answers('B', "INVITE", TERMINATED);
    assert_eq!(race.next().await, ["P>B ACK", "P>U 181", "P>C INVITE"]);
}

/// LAD-10 R15: nobody answers in time, and the 200 crosses the CANCEL: it goes up, and the next target is not tried.
#[tokio::test(start_paused = true)]
async fn r15_a_200_that_crosses_the_forwarding_wins() {
    let mut race = ringing(NO_ANSWER, |_| {}).await;
    assert_eq!(race.after(Duration::from_millis(60_100)).await, ["P>B CANCEL"]);
    race.answers('B', "INVITE", "200 OK");
    assert_eq!(race.next().await, ["P>U 200"]);
    race.answers('B', "CANCEL", "200 OK");
    race.says_in_dialog("ACK", 1, 'B', &[]);
    assert_eq!(race.after(Duration::from_secs(60)).await, ["P>B ACK"], "and nothing for C");
}

/// LAD-10 R15: the next target was tried already, for the first one had said nothing at all: it is cancelled.
#[tokio::test(start_paused = true)]
async fn r15_a_late_200_cancels_the_next_target() {
    let short = |config: &mut edge::Config| config.ring_timeout = Duration::from_secs(10);
    let mut race = Stage::configured(NO_ANSWER, short).await;
    race.says("INVITE", 1);
    let tried = race.after(Duration::from_millis(10_100)).await;
    assert!(tried[..tried.len() - 2].iter().all(|line| line == "P>B INVITE"), "{tried:?}");
    assert_eq!(tried[tried.len() - 2..], ["P>U 181", "P>C INVITE"]);
    race.answers('C', "INVITE", "180 Ringing");
    assert_eq!(race.next().await, ["P>U 180"]);
    race.answers('B', "INVITE", "200 OK");
    assert_eq!(race.next().await, ["P>U 200", "P>C CANCEL"]);
    assert_eq!(race.reason_to('C'), ["SIP;cause=200;text=\"Call completed elsewhere\""]);
}

/// PXY-15: how long phones ring is nothing to a trunk. One that tells of progress is given up by Timer C alone.
#[tokio::test(start_paused = true)]
async fn a_trunk_that_rings_is_ended_by_timer_c_alone() {
    let mut race = Stage::of(TRUNKS).await;
    race.says("INVITE", 1);
    assert_eq!(race.next().await, ["P>B INVITE"]);
    for _ in 0..10 {
        race.answers('B', "INVITE", "183 Session Progress");
        assert_eq!(race.after(Duration::from_secs(20)).await, ["P>U 183"]);
    }
    assert_eq!(race.after(Duration::from_millis(160_900)).await, [""; 0]);
    assert_eq!(race.after(Duration::from_millis(200)).await, ["P>B CANCEL"]);
    race.answers('B', "INVITE", TERMINATED);
    assert_eq!(
        race.next().await,
        ["P>B ACK", "P>U 408"],
        "it has served the call, and nobody is tried in its place"
    );
}

/// PXY-14, DNS-05: a trunk that says nothing for the whole ring time does not serve, and the next call leaves it alone for a while.
#[tokio::test(start_paused = true)]
async fn a_trunk_that_is_silent_for_the_ring_time_gives_way_and_is_tried_last() {
    let short = |config: &mut edge::Config| config.ring_timeout = Duration::from_secs(2);
    let mut race = Stage::configured(TRUNKS, short).await;
    race.says("INVITE", 1);
    let tried = race.after(Duration::from_millis(2_100)).await;
    assert_eq!(tried, ["P>B INVITE", "P>B INVITE", "P>B INVITE", "P>C INVITE"]);
    race.answers('C', "INVITE", "486 Busy Here");
    assert_eq!(race.next().await, ["P>C ACK", "P>U 486"]);
    race.acknowledges(1);
    race.says("INVITE", 2);
    assert_eq!(race.next().await, ["P>C INVITE"]);
    race.answers('C', "INVITE", "503 Service Unavailable");
    assert_eq!(race.next().await, ["P>C ACK", "P>B INVITE"], "avoided is not excluded");
}

/// Three phones have the call; two of them ring.
async fn all_but_d_ring() -> Stage {
    let mut race = Stage::of(TOGETHER).await;
    race.says("INVITE", 1);
    assert_eq!(race.next().await, ["P>B INVITE", "P>C INVITE", "P>D INVITE"]);
    race.answers('B', "INVITE", "180 Ringing");
    race.answers('C', "INVITE", "180 Ringing");
    assert_eq!(race.next().await, ["P>U 180", "P>U 180"]);
    race
}

/// The first phone of the plan rings.
async fn ringing(
    groups: &'static [(&'static str, &'static str)],
    configure: impl FnOnce(&mut edge::Config),
) -> Stage {
    let mut race = Stage::configured(groups, configure).await;
    race.says("INVITE", 1);
    assert_eq!(race.next().await, ["P>B INVITE"]);
    race.answers('B', "INVITE", "180 Ringing");
    assert_eq!(race.next().await, ["P>U 180"]);
    race
}
