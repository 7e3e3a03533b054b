//! Requests that we receive.

use sip_transaction::{Config, RespondError, ServerKey};

use crate::lab::*;

/// TXN-04
#[test]
fn a_slow_user_has_100_sent_for_it_with_time_to_spare_before_200_ms() {
    let mut lab = Lab::unreliable();
    lab.receive(&request("INVITE", "z9hG4bK1"), 1);
    lab.run_until(10_000);
    assert_eq!(lab.log(), ["0 request INVITE from 1", "150 send 100 to 1"]);
}

/// TXN-04
#[test]
fn a_fast_user_spares_the_100() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.receive(&invite, 1);
    lab.run_until(149);
    lab.respond(lab.requests[0], &response(&invite, 180, "b")).unwrap();
    lab.run_until(10_000);
    assert_eq!(lab.log(), ["0 request INVITE from 1", "149 send 180 to 1"]);
}

/// TXN-05
#[test]
fn a_repeated_invite_gets_the_last_provisional_or_the_final_or_nothing() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.receive(&invite, 1);
    let key = lab.requests[0];
    lab.receive(&invite, 1);
    assert_eq!(lab.log(), ["0 request INVITE from 1"], "nothing was sent yet that could be repeated");
    lab.respond(key, &response(&invite, 180, "b")).unwrap();
    lab.respond(key, &response(&invite, 183, "b")).unwrap();
    lab.receive(&invite, 1);
    assert_eq!(lab.log(), ["0 send 180 to 1", "0 send 183 to 1", "0 send 183 to 1"]);
    lab.respond(key, &response(&invite, 486, "b")).unwrap();
    lab.receive(&invite, 1);
    assert_eq!(lab.log(), ["0 send 486 to 1", "0 send 486 to 1"]);
    let accepted = request("INVITE", "z9hG4bK2");
    lab.receive(&accepted, 1);
    lab.respond(lab.requests[1], &response(&accepted, 200, "b")).unwrap();
    lab.receive(&accepted, 1);
    assert_eq!(lab.log(), ["0 request INVITE from 1", "0 send 200 to 1"]);
}

/// TXN-06
#[test]
fn an_unacknowledged_failure_is_repeated_up_to_t2_until_timer_h() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.receive(&invite, 1);
    lab.respond(lab.requests[0], &response(&invite, 404, "b")).unwrap();
    lab.run_until(31_999);
    let expected = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(lab.times("send 404 to 1"), expected);
    lab.run_until(40_000);
    assert_eq!(lab.log(), ["32000 ACK timed out", "32000 ended"]);
}

/// TXN-06
#[test]
fn after_the_ack_more_copies_are_absorbed_for_t4() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    let busy = response(&invite, 486, "b");
    lab.receive(&invite, 1);
    lab.respond(lab.requests[0], &busy).unwrap();
    lab.run_until(700);
    lab.receive(&ack(&invite, &busy, None), 1);
    lab.receive(&ack(&invite, &busy, None), 1);
    lab.receive(&invite, 1);
    lab.run_until(40_000);
    let expected = ["0 request INVITE from 1", "0 send 486 to 1", "500 send 486 to 1", "5700 ended"];
    assert_eq!(lab.log(), expected);
    assert_eq!(lab.table.stats().absorbed, 3);
}

/// TXN-06
#[test]
fn over_a_reliable_transport_a_failure_is_sent_once_and_still_wants_its_ack() {
    let mut lab = Lab::reliable();
    let invite = request("INVITE", "z9hG4bK1");
    let busy = response(&invite, 486, "b");
    lab.receive(&invite, 1);
    lab.respond(lab.requests[0], &busy).unwrap();
    lab.run_until(1000);
    lab.receive(&ack(&invite, &busy, None), 1);
    assert_eq!(lab.log(), ["0 request INVITE from 1", "0 send 486 to 1", "1000 ended"]);
}

/// TXN-07
#[test]
fn a_2xx_is_not_repeated_here_and_a_late_ack_reaches_the_user() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    let ok = response(&invite, 200, "b");
    lab.receive(&invite, 1);
    lab.respond(lab.requests[0], &ok).unwrap();
    lab.run_until(20_000);
    lab.receive(&ack(&invite, &ok, Some("z9hG4bKother")), 1);
    lab.receive(&ack(&invite, &ok, None), 1);
    lab.respond(lab.requests[0], &response(&invite, 200, "fork")).unwrap();
    lab.run_until(40_000);
    let expected = [
        "0 request INVITE from 1",
        "0 send 200 to 1",
        "20000 ACK from 1 for nothing",
        "20000 ACK from 1 for a transaction",
        "20000 send 200 to 1",
        "32000 ended",
    ];
    assert_eq!(lab.log(), expected);
}

/// TXN-09
#[test]
fn a_repeated_request_is_swallowed_until_answered_and_then_answered_again() {
    let mut lab = Lab::unreliable();
    let bye = request("BYE", "z9hG4bK1");
    lab.receive(&bye, 1);
    lab.run_until(500);
    lab.receive(&bye, 1);
    assert_eq!(lab.log(), ["0 request BYE from 1"]);
    lab.respond(lab.requests[0], &response(&bye, 200, "b")).unwrap();
    lab.run_until(32_499);
    lab.receive(&bye, 1);
    lab.run_until(32_500);
    assert_eq!(lab.log(), ["500 send 200 to 1", "32499 send 200 to 1", "32500 ended"]);
}

/// TXN-10
#[test]
fn the_same_branch_from_two_senders_opens_two_transactions() {
    let mut lab = Lab::unreliable();
    lab.receive(&request_via("OPTIONS", "SIP/2.0/UDP one.example;branch=z9hG4bK1"), 1);
    lab.receive(&request_via("OPTIONS", "SIP/2.0/UDP two.example;branch=z9hG4bK1"), 2);
    lab.receive(&request_via("BYE", "SIP/2.0/UDP one.example;branch=z9hG4bK1"), 1);
    lab.receive(&request_via("OPTIONS", "SIP/2.0/UDP ONE.example;branch=z9hG4bK1"), 1);
    let expected = ["0 request OPTIONS from 1", "0 request OPTIONS from 2", "0 request BYE from 1"];
    assert_eq!(lab.log(), expected);
}

/// RFC 4475 3.4.1: an INVITE of a client of RFC 2543, without a branch.
const OLD_INVITE: &[u8] = b"INVITE sip:UserB@example.com SIP/2.0\r\nVia: SIP/2.0/UDP iftgw.example.com\r\n\
    From: <sip:+13035551111@ift.client.example.net;user=phone>\r\nTo: sip:+16505552222@ss1.example.net;user=phone\r\n\
    Call-ID: inv2543.1717@ift.client.example.com\r\nCSeq: 56 INVITE\r\nContact: <sip:+13035551111@192.0.2.3>\r\n\
    Content-Length: 0\r\n\r\n";

/// TXN-11
#[test]
fn an_old_client_has_its_ack_and_cancel_matched_without_a_branch() {
    let mut lab = Lab::unreliable();
    let invite = parse(OLD_INVITE);
    lab.receive(&invite, 1);
    lab.receive(&invite, 1);
    let text = String::from_utf8(OLD_INVITE.to_vec()).unwrap();
    let cancel = parse(text.replace("INVITE sip", "CANCEL sip").replace("56 INVITE", "56 CANCEL").as_bytes());
    lab.receive(&cancel, 1);
    assert_eq!(lab.log(), ["0 request INVITE from 1", "0 CANCEL from 1 for INVITE"]);
    let gone = response(&invite, 487, "us");
    lab.respond(lab.requests[0], &gone).unwrap();
    lab.log();
    let forked = response(&invite, 487, "another");
    lab.receive(&ack(&invite, &forked, None), 1);
    assert_eq!(lab.log(), ["0 ACK from 1 for nothing"], "an ACK for somebody else's response");
    lab.receive(&ack(&invite, &gone, None), 1);
    lab.run_until(5000);
    assert_eq!(lab.times("ended"), [5000], "absorbed, and Timer I ran");
}

/// TXN-12
#[test]
fn a_slow_answer_to_another_request_gets_100_after_three_and_a_half_seconds() {
    let mut lab = Lab::unreliable();
    let register = request("REGISTER", "z9hG4bK1");
    lab.receive(&register, 1);
    let key = lab.requests[0];
    lab.respond(key, &response(&register, 100, "b")).unwrap();
    assert_eq!(lab.respond(key, &response(&register, 183, "b")), Err(RespondError::Provisional));
    lab.run_until(5000);
    lab.receive(&register, 1);
    lab.respond(key, &response(&register, 200, "b")).unwrap();
    let expected =
        ["0 request REGISTER from 1", "3500 send 100 to 1", "5000 send 100 to 1", "5000 send 200 to 1"];
    assert_eq!(lab.log(), expected);
}

/// TXN-12
#[test]
fn over_a_reliable_transport_an_early_100_is_sent() {
    let mut lab = Lab::reliable();
    let register = request("REGISTER", "z9hG4bK1");
    lab.receive(&register, 1);
    lab.respond(lab.requests[0], &response(&register, 100, "b")).unwrap();
    lab.run_until(4000);
    assert_eq!(lab.log(), ["0 request REGISTER from 1", "0 send 100 to 1"]);
}

/// TXN-13
#[test]
fn another_request_gets_no_408_and_nothing_once_its_sender_has_given_up() {
    let mut lab = Lab::unreliable();
    let bye = request("BYE", "z9hG4bK1");
    lab.receive(&bye, 1);
    let key = lab.requests[0];
    lab.run_until(31_000);
    lab.log();
    assert_eq!(lab.respond(key, &response(&bye, 408, "b")), Err(RespondError::Timeout));
    lab.run_until(32_000);
    assert_eq!(lab.respond(key, &response(&bye, 200, "b")), Err(RespondError::Unknown));
    assert_eq!(lab.log(), ["32000 ended"]);
}

/// TXN-15
#[test]
fn an_invite_whose_connection_broke_is_answered_where_it_comes_again() {
    let mut lab = Lab::reliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.receive(&invite, 1);
    let key = lab.requests[0];
    lab.respond(key, &response(&invite, 180, "b")).unwrap();
    lab.transport_error(key);
    assert_eq!(lab.log(), ["0 request INVITE from 1", "0 send 180 to 1", "0 transport failed"]);
    lab.receive(&invite, 2);
    lab.respond(key, &response(&invite, 200, "b")).unwrap();
    assert_eq!(lab.log(), ["0 send 180 to 2", "0 send 200 to 2"], "the same transaction, no second call");
    lab.transport_error(key);
    assert_eq!(lab.alive(), 1);
}

/// LAD-10 R2, R4, R8, R12
#[test]
fn a_cancel_finds_what_it_is_about() {
    let mut lab = Lab::unreliable();
    lab.receive(&request("INVITE", "z9hG4bK1"), 1);
    lab.receive(&request("SUBSCRIBE", "z9hG4bK2"), 1);
    lab.log();
    for (branch, target) in [("z9hG4bK1", "INVITE"), ("z9hG4bK2", "another request"), ("z9hG4bK3", "nothing")]
    {
        let cancel = request("CANCEL", branch);
        lab.receive(&cancel, 1);
        lab.receive(&cancel, 1);
        assert_eq!(lab.log(), [format!("0 CANCEL from 1 for {target}")]);
    }
    let elsewhere = request_via("CANCEL", "SIP/2.0/UDP other.example;branch=z9hG4bK1");
    lab.receive(&elsewhere, 1);
    assert_eq!(lab.log(), ["0 CANCEL from 1 for nothing"], "another sender's INVITE is none of its business");
}

#[test]
fn a_final_response_stays_final() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.receive(&invite, 1);
    let key = lab.requests[0];
    lab.respond(key, &response(&invite, 486, "b")).unwrap();
    assert_eq!(lab.respond(key, &response(&invite, 200, "b")), Err(RespondError::AlreadyFinal));
    assert_eq!(lab.respond(key, &invite), Err(RespondError::NotAResponse));
}

#[test]
fn a_request_answered_and_forgotten_leaves_nothing_behind() {
    let mut lab = Lab::unreliable();
    let invite = request("INVITE", "z9hG4bK1");
    lab.receive(&invite, 1);
    let challenge = response(&invite, 407, "b");
    lab.table.respond_and_forget(lab.requests[0], &challenge).unwrap();
    assert_eq!(lab.alive(), 0);
    lab.receive(&ack(&invite, &challenge, None), 1);
    lab.run_until(60_000);
    let expected = ["0 request INVITE from 1", "0 send 407 to 1", "0 ended", "0 ACK from 1 for nothing"];
    assert_eq!(lab.log(), expected, "not repeated, whoever asked for it");
}

#[test]
fn beyond_the_bound_a_request_is_shown_and_not_remembered() {
    let mut lab = Lab::new(false, Config { max_server: 1, ..Config::default() });
    lab.receive(&request("BYE", "z9hG4bK1"), 1);
    lab.receive(&request("BYE", "z9hG4bK2"), 1);
    lab.receive(&request("BYE", "z9hG4bK1"), 1);
    assert_eq!(lab.log(), ["0 request BYE from 1", "0 overflow BYE from 1"]);
    assert_eq!(lab.table.stats().overflow, 1);
}

#[test]
fn a_handle_opens_its_own_transaction_and_no_other() {
    let mut lab = Lab::new(false, Config { space: 7, ..Config::default() });
    let bye = request("BYE", "z9hG4bK1");
    lab.receive(&bye, 1);
    let handle = lab.requests[0].to_string();
    let of_another_table = handle.replacen("s7", "s8", 1).parse::<ServerKey>().unwrap();
    assert_eq!(lab.respond(of_another_table, &response(&bye, 200, "b")), Err(RespondError::Unknown));
    assert_eq!(lab.respond(handle.parse().unwrap(), &response(&bye, 200, "b")), Ok(()));
}
