//! Phones and clients that nobody here wrote: baresip, and Python with server reflection.

use std::path::PathBuf;
use std::process::Command;

use scripted_phone::Script;
use test_support::{Baresip, Carillon, Sound, TestPhone};

use crate::calls::{dial, hang_up};

/// TPC-12, LAD-1: two baresips, dialled over gRPC, exchange RTP, and are hung up by gRPC.
#[test]
fn two_baresips_are_dialled_hear_each_other_and_are_hung_up() {
    dialled_baresips("udp");
}

/// TRN-01, TRN-06: the same over TCP.
#[test]
fn two_baresips_on_tcp_are_dialled_and_hung_up() {
    dialled_baresips("tcp");
}

fn dialled_baresips(transport: &str) {
    let carillon = Carillon::for_old_phones();
    carillon.account("sip:alice@localhost", "a-secret");
    carillon.account("sip:bob@localhost", "b-secret");
    let alice = Baresip::registered("alice", "a-secret", &carillon.sip, transport);
    let bob = Baresip::registered("bob", "b-secret", &carillon.sip, transport);
    let dialled = carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--json"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    let call: serde_json::Value = serde_json::from_slice(&dialled.stdout).unwrap();
    let id = call["call_id"].as_str().unwrap();
    for phone in [&alice, &bob] {
        phone.lines.wait_for("RTP", |l| l.contains("incoming rtp for 'audio' established"));
    }
    let ended = carillon.command(&["hangup", id]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    for phone in [&alice, &bob] {
        phone.lines.wait_for("BYE", |l| l.contains("session closed"));
    }
    let shown = carillon.command(&["call", "show", id]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("COMPLETED") && text.contains("ended by api"), "{text}");
}

/// TPC-12, TPC-02, TPC-03: with the codecs that baresip has by itself, and with one codec in common, every flow connects.
#[test]
fn baresips_with_a_codec_in_common_are_connected_by_every_flow() {
    let carillon = Carillon::for_old_phones();
    carillon.account("sip:alice@localhost", "secret");
    carillon.account("sip:bob@localhost", "secret");
    for sounds in [(Sound::Bridge, Sound::Bridge), (Sound::Opus, Sound::Bridge), (Sound::Bridge, Sound::G711)]
    {
        let alice = Baresip::sounding("alice", "secret", &carillon.sip, "udp", sounds.0);
        let bob = Baresip::sounding("bob", "secret", &carillon.sip, "udp", sounds.1);
        for flow in ["iv", "iii", "i", "ringback"] {
            let id = dial(&carillon, &["--flow", flow]);
            for phone in [&alice, &bob] {
                phone.lines.wait_for("RTP", |l| l.contains("incoming rtp for 'audio' established"));
            }
            hang_up(&carillon, &id);
            for phone in [&alice, &bob] {
                phone.lines.wait_for("BYE", |l| l.contains("session closed"));
            }
        }
    }
}

/// LAD-1 g, LAD-1 h, LAD-2 k, UAC-11: no session is a failed call, never a silent one. A phone that cannot open its sound card
/// refuses the first re-INVITE that makes it do so, and what it says about that reaches the application.
#[test]
fn baresips_that_cannot_talk_end_the_call_and_say_why() {
    let carillon = Carillon::for_old_phones();
    carillon.account("sip:alice@localhost", "secret");
    carillon.account("sip:bob@localhost", "secret");
    let cases = [
        ((Sound::Broken, Sound::Tone), "a", "Operation not supported"),
        ((Sound::G711, Sound::Opus), "a", "Not Acceptable Here"),
    ];
    for (sounds, by, why) in cases {
        let _alice = Baresip::sounding("alice", "secret", &carillon.sip, "udp", sounds.0);
        let _bob = Baresip::sounding("bob", "secret", &carillon.sip, "udp", sounds.1);
        for flow in ["iv", "ringback"] {
            let parties = ["dial", "sip:alice@localhost", "sip:bob@localhost", "--watch", "--json"];
            let done = carillon.command(&[&parties[..], &["--flow", flow]].concat());
            let text = String::from_utf8_lossy(&done.stdout);
            assert_eq!(done.status.code(), Some(1), "{sounds:?} {flow}: {text}");
            let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            let outcome = &last["call"]["outcome"];
            let found =
                (&outcome["kind"], &outcome["sip_status"], &outcome["ended_by"], &outcome["sip_reason"]);
            assert_eq!(found, (&"FAILED".into(), &488.into(), &by.into(), &why.into()), "{sounds:?} {flow}");
        }
    }
}

/// A client in another language needs reflection alone: it dials, dials again with the same request id, watches, hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_dials_and_watches_by_reflection() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    carillon.account("sip:bob@localhost", "secret");
    let _alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::default()).await;
    let _bob = TestPhone::registered(&carillon.sip, "sip:bob@localhost", "secret", Script::default()).await;
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../target/test-python/bin/python3");
    assert!(
        python.exists(),
        "{} is missing: run `make test`, or scripts/install-test-deps",
        python.display()
    );
    let address = carillon.api.trim_start_matches("http://").to_string();
    let run = move || {
        Command::new(python)
            .arg(here.join("python/dial_and_watch.py"))
            .args([&address, "sip:alice@localhost", "sip:bob@localhost"])
            .output()
    };
    let done = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    assert!(text.starts_with("CREATED\n"), "{text}");
    assert!(text.contains("LEG_RINGING") && text.lines().filter(|l| *l == "ENDED").count() == 1, "{text}");
}
