//! Requests that we send.

use sip_message::HeaderId;
use sip_transaction::{CancelOutcome, Config, SendError};

use crate::lab::*;

/// TXN-01
#[test]
fn an_invite_to_a_silent_peer_is_sent_seven_times_and_given_up_after_32_seconds() {
    let mut lab = Lab::unreliable();
    lab.send(&request("INVITE", "z9hG4bK1"), 1).unwrap();
    lab.run_until(60_000);
    let log = lab.log();
    let expected = [
        "0 send INVITE to 1",
        "500 send INVITE to 1",
        "1500 send INVITE to 1",
        "3500 send INVITE to 1",
        "7500 send INVITE to 1",
        "15500 send INVITE to 1",
        "31500 send INVITE to 1",
        "32000 timed out",
        "32000 ended",
    ];
    assert_eq!(log, expected);
    assert_eq!(lab.alive(), 0);
}

/// TXN-01
#[test]
fn a_provisional_response_ends_the_repetition_of_an_invite() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.send(&invite, 1).unwrap();
    lab.run_until(100);
    lab.receive(&response(&invite, 100, "b"), 1);
    lab.run_until(300_000);
    assert_eq!(lab.log(), ["0 send INVITE to 1", "100 response 100 from 1"]);
    assert_eq!(lab.alive(), 1, "a call may ring as long as the user likes");
}

/// TXN-01, TXN-08
#[test]
fn nothing_is_repeated_over_a_reliable_transport() {
    for method in ["INVITE", "BYE"] {
        let mut lab = Lab::reliable();
        lab.send(&request(method, "z9hG4bK1"), 1).unwrap();
        lab.run_until(60_000);
        assert_eq!(lab.log(), [&format!("0 send {method} to 1"), "32000 timed out", "32000 ended"]);
    }
}

/// TXN-02
#[test]
fn each_copy_of_a_failure_is_acknowledged_and_the_user_sees_one() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.send(&invite, 1).unwrap();
    lab.run_until(100);
    for at in [200, 700, 31_900] {
        lab.run_until(at);
        lab.receive(&response(&invite, 486, "b"), 1);
    }
    lab.run_until(33_000);
    let expected = [
        "0 send INVITE to 1",
        "200 response 486 from 1",
        "200 send ACK to 1",
        "700 send ACK to 1",
        "31900 send ACK to 1",
        "32200 ended",
    ];
    assert_eq!(lab.log(), expected);
    let ack = parse(&lab.sent[1]);
    assert_eq!(ack.first(HeaderId::Via), invite.first(HeaderId::Via));
    assert_eq!(ack.to().unwrap().tag(), Some("b"));
    assert_eq!(ack.request_uri(), invite.request_uri());
}

/// TXN-02
#[test]
fn over_a_reliable_transport_the_transaction_ends_with_the_ack() {
    let mut lab = Lab::reliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.send(&invite, 1).unwrap();
    lab.receive(&response(&invite, 603, "b"), 1);
    assert_eq!(lab.log(), ["0 send INVITE to 1", "0 response 603 from 1", "0 send ACK to 1", "0 ended"]);
}

/// TXN-03, TXN-14
#[test]
fn every_2xx_reaches_the_user_until_timer_m_and_none_afterwards() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.send(&invite, 1).unwrap();
    lab.receive(&response(&invite, 200, "one"), 1);
    lab.run_until(50);
    lab.receive(&response(&invite, 200, "two"), 1);
    lab.run_until(500);
    lab.receive(&response(&invite, 200, "one"), 1);
    lab.receive(&response(&invite, 486, "late"), 1);
    lab.run_until(32_000);
    lab.receive(&response(&invite, 200, "one"), 1);
    let expected = [
        "0 send INVITE to 1",
        "0 response 200 from 1",
        "50 response 200 from 1",
        "500 response 200 from 1",
        "32000 ended",
        "32000 stray 200 from 1",
    ];
    assert_eq!(lab.log(), expected);
    assert_eq!(lab.table.stats().stray, 1);
}

/// TXN-08
#[test]
fn another_request_to_a_silent_peer_is_sent_eleven_times() {
    let mut lab = Lab::unreliable();
    lab.send(&request("OPTIONS", "z9hG4bK1"), 1).unwrap();
    lab.run_until(31_999);
    let expected = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(lab.times("send OPTIONS to 1"), expected);
    lab.run_until(32_000);
    assert_eq!(lab.log(), ["32000 timed out", "32000 ended"]);
}

/// TXN-08
#[test]
fn after_a_provisional_response_another_request_goes_every_four_seconds() {
    let mut lab = Lab::unreliable();
    let options = request("OPTIONS", "z9hG4bK1");
    lab.send(&options, 1).unwrap();
    lab.run_until(100);
    lab.receive(&response(&options, 100, "b"), 1);
    lab.run_until(31_999);
    assert_eq!(lab.times("send OPTIONS to 1"), [0, 500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500]);
}

/// TXN-08
#[test]
fn copies_of_a_final_response_are_absorbed_for_t4() {
    let mut lab = Lab::unreliable();
    let bye = request("BYE", "z9hG4bK1");
    lab.send(&bye, 1).unwrap();
    lab.receive(&response(&bye, 200, "b"), 1);
    lab.run_until(4999);
    lab.receive(&response(&bye, 200, "b"), 1);
    lab.run_until(5000);
    assert_eq!(lab.log(), ["0 send BYE to 1", "0 response 200 from 1", "5000 ended"]);
}

/// TXN-10
#[test]
fn a_response_is_matched_by_branch_and_method_together() {
    let mut lab = Lab::unreliable();
    let (invite, cancel) = (request("INVITE", "z9hG4bK1"), request("CANCEL", "z9hG4bK1"));
    lab.send(&invite, 1).unwrap();
    lab.send(&cancel, 1).unwrap();
    lab.log();
    lab.receive(&response(&cancel, 200, "b"), 1);
    lab.receive(&response(&request("INVITE", "z9hG4bK2"), 180, "b"), 1);
    lab.receive(&response(&invite, 180, "b"), 1);
    assert_eq!(lab.log(), ["0 response 200 from 1", "0 stray 180 from 1", "0 response 180 from 1"]);
}

/// TRN-08
#[test]
fn a_transport_error_ends_a_request_that_waits_and_only_that() {
    for method in ["INVITE", "BYE"] {
        let mut lab = Lab::unreliable();
        let sent = request(method, "z9hG4bK1");
        let key = lab.send(&sent, 1).unwrap();
        lab.transport_error(key);
        lab.transport_error(key);
        assert_eq!(lab.log(), [&format!("0 send {method} to 1"), "0 transport failed", "0 ended"]);
    }
}

/// LAD-10 R1, DNS-06
#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    let key = lab.send(&invite, 1).unwrap();
    assert_eq!(lab.cancel(key), CancelOutcome::Held);
    lab.run_until(600);
    assert_eq!(lab.cancel(key), CancelOutcome::TooLate, "once is enough");
    lab.receive(&response(&invite, 100, "b"), 1);
    let expected =
        ["0 send INVITE to 1", "500 send INVITE to 1", "600 response 100 from 1", "600 send CANCEL to 1"];
    assert_eq!(lab.log(), expected);
    let cancel = parse(lab.sent.last().unwrap());
    lab.receive(&response(&cancel, 200, "b"), 1);
    lab.receive(&response(&invite, 487, "b"), 1);
    assert_eq!(lab.log(), ["600 response 200 from 1", "600 response 487 from 1", "600 send ACK to 1"]);
}

/// LAD-10 R1
#[test]
fn an_invite_nobody_answers_is_never_cancelled() {
    let mut lab = Lab::unreliable();
    let key = lab.send(&request("INVITE", "z9hG4bK1"), 1).unwrap();
    lab.cancel(key);
    lab.run_until(40_000);
    assert!(lab.sent.iter().all(|sent| name(&parse(sent)) == "INVITE"));
    assert_eq!(lab.log()[7..], ["32000 timed out", "32000 ended"]);
}

/// LAD-10 R2, R3
#[test]
fn a_2xx_that_crosses_the_cancel_still_reaches_the_user() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    let key = lab.send(&invite, 1).unwrap();
    lab.receive(&response(&invite, 180, "b"), 1);
    assert_eq!(lab.cancel(key), CancelOutcome::Sent);
    lab.receive(&response(&invite, 200, "b"), 1);
    assert_eq!(lab.cancel(key), CancelOutcome::TooLate);
    assert_eq!(lab.times("response 200 from 1"), [0]);
}

/// LAD-10 R7
#[test]
fn a_cancelled_invite_without_a_final_response_ends_64_t1_after_the_cancel() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    let key = lab.send(&invite, 1).unwrap();
    lab.receive(&response(&invite, 180, "b"), 1);
    lab.run_until(10_000);
    lab.cancel(key);
    let cancel = parse(lab.sent.last().unwrap());
    lab.receive(&response(&cancel, 200, "b"), 1);
    lab.run_until(20_000);
    lab.log();
    lab.run_until(42_000);
    assert_eq!(lab.log(), ["42000 timed out", "42000 ended"]);
    lab.receive(&response(&invite, 200, "b"), 1);
    assert_eq!(lab.log(), ["42000 stray 200 from 1"]);
    assert_eq!(lab.cancel(key), CancelOutcome::Unknown);
}

#[test]
fn a_request_with_a_known_branch_is_recognised() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    let key = lab.send(&invite, 1).unwrap();
    assert_eq!(lab.send(&invite, 1), Err(SendError::Duplicate(key)));
    assert_eq!(lab.log(), ["0 send INVITE to 1"]);
}

#[test]
fn what_cannot_be_matched_later_is_not_sent() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    assert_eq!(lab.send(&request("INVITE", "1"), 1), Err(SendError::NoBranch));
    assert_eq!(lab.send(&request("ACK", "z9hG4bK1"), 1), Err(SendError::NotARequest));
    assert_eq!(lab.send(&response(&invite, 200, "b"), 1), Err(SendError::NotARequest));
    assert_eq!(lab.log(), [""; 0]);
}

#[test]
fn the_bound_on_client_transactions_holds() {
    let mut lab = Lab::new(false, Config { max_client: 1, ..Config::default() });
    lab.send(&request("BYE", "z9hG4bK1"), 1).unwrap();
    assert_eq!(lab.send(&request("BYE", "z9hG4bK2"), 1), Err(SendError::Full));
    lab.run_until(32_000);
    assert!(lab.send(&request("BYE", "z9hG4bK2"), 1).is_ok());
}

/// TRN-02
#[test]
fn a_request_that_goes_another_way_begins_anew_under_its_key() {
    let mut lab = Lab::reliable();
    let key = lab.send(&request_via("MESSAGE", "SIP/2.0/TCP near.example;branch=z9hG4bK1"), 1).unwrap();
    lab.run_until(2000);
    let now = std::time::Instant::now() + std::time::Duration::from_secs(2);
    let by_udp = request("MESSAGE", "z9hG4bK1");
    assert_eq!(
        lab.table.resend_request(now, key, request("MESSAGE", "z9hG4bK2"), 2, false),
        Err(SendError::NotARequest)
    );
    lab.table.resend_request(now, key, by_udp, 2, false).unwrap();
    lab.run_until(2600);
    assert_eq!(lab.times("send MESSAGE to 2").len(), 2, "sent again at once, and repeated as datagrams are");
}
