//! Many phones at the same moment, at a process with its default settings: a burst is no overload.

use std::time::Duration;

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, TestPhone};

const CALLS: usize = 30;

/// AUT-01, REG-07, PXY-09: sixty phones register at once with digest, then half of them call the other half at once.
#[tokio::test]
async fn sixty_phones_register_at_once_and_thirty_calls_start_at_once() {
    let carillon = Carillon::all_in_one();
    let at_once = || Script { answer: Answer::After(Duration::ZERO), ..Script::default() };
    let mut phones = Vec::new();
    for number in 0..2 * CALLS {
        let aor = format!("sip:phone{number}@localhost");
        carillon.account(&aor, "secret");
        phones.push(TestPhone::new(&carillon.sip, &aor, "secret", at_once()).await);
    }
    for phone in &phones {
        phone.act(Remote::Register).await;
    }
    for phone in &mut phones {
        let is_answer =
            |h: &Happening| matches!(h, Happening::Registered(_) | Happening::RegisterFailed { .. });
        let answer = phone.wait_for("the answer to its REGISTER", is_answer).await;
        assert!(matches!(answer, Happening::Registered(_)), "{}: {answer:?}", phone.aor);
    }
    let (callers, callees) = phones.split_at_mut(CALLS);
    for (caller, callee) in callers.iter().zip(&*callees) {
        caller.act(Remote::Dial(callee.aor.clone())).await;
    }
    for phone in callers.iter_mut().chain(callees.iter_mut()) {
        let is_answer = |h: &Happening| matches!(h, Happening::Connected | Happening::Refused { .. });
        let answer = phone.wait_for("the call", is_answer).await;
        assert_eq!(answer, Happening::Connected, "{}", phone.aor);
    }
    for caller in callers.iter() {
        caller.act(Remote::Hangup).await;
    }
    for callee in callees.iter_mut() {
        callee.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    }
    for reason in ["overloaded", "full", "decision_unavailable"] {
        let name = format!("carillon_edge_rejects_total{{reason=\"{reason}\"");
        assert_eq!(carillon.metric(&name), 0.0, "{reason}");
    }
    assert!(carillon.metric("carillon_edge_sip_total{event=\"datagrams_sent\"}") > 0.0);
    assert_eq!(carillon.metric("carillon_edge_sip_total{event=\"datagrams_dropped\"}"), 0.0);
}
