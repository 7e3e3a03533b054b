//! Offers that phones cannot use: what the caller hears of it.

use sip_message::HeaderId;

use crate::peer::{Peer, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};

/// UAC-11: one phone's 488 speaks for that phone, so that another one may answer; only a phone says 606, which speaks for its user; both
/// come with the Warning that the phone gave, and Carillon makes no 606 of its own out of several 488.
#[tokio::test]
async fn what_a_phone_cannot_use_is_told_in_its_own_words() {
    let phones = [Peer::unbound().await, Peer::unbound().await];
    let uris = phones.each_ref().map(|phone| format!("sip:bob@{}", phone.address()));
    let rig = Rig::with(FakeLocation::planning(move |_| fork_to(&uris))).await;
    let alice = rig.peer().await;
    let [desk, cell] = phones.map(|phone| phone.toward(rig.address));
    let warning = "Warning: 305 desk.example \"Incompatible media format\"";
    let told = ["305 desk.example \"Incompatible media format\""];
    for (call, answers, expected) in [
        ("both", ["488 Not Acceptable Here"; 2], 488),
        ("one", ["488 Not Acceptable Here", "200 OK"], 200),
        ("user", ["488 Not Acceptable Here", "606 Not Acceptable"], 606),
    ] {
        let call_id = format!("Call-ID: {call}");
        let lines = [
            "From: <sip:alice@example.com>;tag=a",
            "To: <sip:bob@example.com>",
            &call_id,
            "Contact: <sip:a@h>",
        ];
        alice.request("INVITE sip:bob@example.com", call, &lines).await;
        for (phone, answer) in [&desk, &cell].into_iter().zip(answers) {
            let invite = phone.receive_request("INVITE").await;
            let more = if answer.starts_with("200") { "Contact: <sip:b@h>" } else { warning };
            phone.respond(&invite, answer, "b", &[more]).await;
            if !answer.starts_with("200") {
                phone.receive_request("ACK").await;
            }
        }
        let answer = alice.receive_status(expected).await;
        if expected != 200 {
            assert_eq!(values(&answer, HeaderId::Warning), told, "{call}");
        }
    }
}
