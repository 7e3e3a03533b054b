//! Phones that nobody here wrote, and a page, call each other through the proxy, each with each: baresip on UDP, TCP and TLS, linphonec
//! on UDP, and a client on WebSocket.
//!
//! In each pair both call once, the caller holds the call and takes it back, and the callee hangs up. What the phones cannot do here:
//! - The page is our scripted phone, which sends no media.
//! - baresip on TLS sends nothing to a `sips` URI, not even an ACK: its library (re 1.1) has none. It is what `edge.transport_tls` is for.
//! - There is no sound card: baresip hears itself, linphonec plays and records files. That media flows is seen of dialled calls, in
//!   `real_phones.rs`; here the phones say that the call is established, held and taken back.
//! - linphonec is on UDP alone: two of one kind on another connection are in `linphone.rs`, and its TLS takes no authority of ours.

use scripted_phone::{Answer, Happening, Remote, Script, Wire};
use test_support::{Authority, Baresip, Linphone, Sound, TestPhone};

use crate::transports::serving;

enum Phone {
    Baresip(Baresip),
    Linphone(Linphone),
    Page(TestPhone),
}

impl Phone {
    async fn dial(&mut self, aor: &str) {
        match self {
            Self::Baresip(phone) => phone.order(&format!("dial {aor}")),
            Self::Linphone(phone) => phone.order(&format!("call {aor}")),
            Self::Page(phone) => phone.act(Remote::Dial(aor.to_owned())).await,
        }
    }

    async fn connected(&mut self) {
        match self {
            Self::Baresip(phone) => {
                drop(phone.lines.wait_for("the call", |l| l.contains("Call established")))
            }
            Self::Linphone(phone) => {
                phone.lines.wait_for("the call", |l| l.contains("Media streams established"));
            }
            Self::Page(phone) => drop(phone.wait_for("the call", |h| *h == Happening::Connected).await),
        }
    }

    /// Holds the call and takes it back.
    async fn hold(&mut self, other: &mut Self) {
        match self {
            Self::Baresip(phone) => {
                for order in ["hold", "resume"] {
                    phone.order(order);
                    other.sees(order == "hold").await;
                    phone.lines.wait_for("the answer", |l| l.contains("stream: update 'audio'"));
                }
            }
            Self::Linphone(phone) => {
                phone.order("pause");
                phone.lines.wait_for("the pause", |l| l.contains("is now paused"));
                other.sees(true).await;
                phone.order("resume");
                phone.lines.wait_for("the media", |l| l.contains("Media streams established"));
                other.sees(false).await;
            }
            Self::Page(phone) => {
                for held in [true, false] {
                    phone.act(Remote::Hold(held)).await;
                    other.sees(held).await;
                    phone.wait_for("the answer", |h| matches!(h, Happening::Agreed { .. })).await;
                }
            }
        }
    }

    /// The other one holds the call, or takes it back.
    async fn sees(&mut self, hold: bool) {
        match self {
            Self::Baresip(phone) => drop(phone.lines.wait_for("the change", |l| l.contains("got re-INVITE"))),
            Self::Linphone(phone) if hold => {
                phone.lines.wait_for("the pause", |l| l.contains("has been paused by"));
            }
            Self::Linphone(phone) => {
                phone.lines.wait_for("the media", |l| l.contains("Media streams established"));
            }
            Self::Page(phone) => {
                let held = |direction: &str| matches!(direction, "sendonly" | "inactive");
                phone
                    .wait_for(
                        "the change",
                        |h| matches!(h, Happening::Changed { direction } if held(direction) == hold),
                    )
                    .await;
            }
        }
    }

    async fn hang_up(&mut self) {
        match self {
            Self::Baresip(phone) => phone.order("hangup"),
            Self::Linphone(phone) => phone.order("terminate"),
            Self::Page(phone) => phone.act(Remote::Hangup).await,
        }
    }

    async fn ended(&mut self) {
        match self {
            Self::Baresip(phone) => {
                let is_end = |l: &str| l.contains("call: terminate call") || l.contains("session closed");
                phone.lines.wait_for("the end", is_end);
            }
            Self::Linphone(phone) => drop(phone.lines.wait_for("the end", |l| l.contains(" ended ("))),
            Self::Page(phone) => {
                phone.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;
            }
        }
    }
}

/// TRN-01, TRN-06, TRN-09, TRN-12, PXY-12, SCN-06, SCN-12: every pair, both ways.
#[tokio::test(flavor = "multi_thread")]
async fn phones_of_all_kinds_call_hold_and_hang_up() {
    let authority = Authority::new();
    let carillon = serving(
        &authority,
        &[("CARILLON_REGISTRAR_ALGORITHMS", "MD5"), ("CARILLON_EDGE_TRANSPORT_TLS", "true")],
    );
    let users = ["udp", "tcp", "tls", "linphone", "page"].map(|user| format!("sip:{user}@localhost"));
    users.iter().for_each(|aor| carillon.account(aor, "secret"));
    let at_once = Script { answer: Answer::After(std::time::Duration::ZERO), ..Script::default() };
    let baresip = |transport| Baresip::sounding(transport, "secret", &carillon.sip, transport, Sound::G711);
    let page = TestPhone::on(&carillon, Wire::Ws, &authority, &users[4], "secret", at_once).await;
    let mut phones = [
        Some(Phone::Baresip(baresip("udp"))),
        Some(Phone::Baresip(baresip("tcp"))),
        Some(Phone::Baresip(Baresip::secured("tls", "secret", carillon.listener("tls"), &authority.file()))),
        Some(Phone::Linphone(Linphone::registered("linphone", "secret", &carillon, "udp"))),
        Some(Phone::Page(page)),
    ];
    for (caller, callee) in (0..users.len()).flat_map(|a| (0..users.len()).map(move |b| (a, b))) {
        if caller == callee {
            continue;
        }
        let [Some(mut a), Some(mut b)] = [phones[caller].take(), phones[callee].take()] else {
            unreachable!("each is put back")
        };
        println!("{} calls {}", users[caller], users[callee]);
        a.dial(&users[callee]).await;
        a.connected().await;
        b.connected().await;
        a.hold(&mut b).await;
        b.hang_up().await;
        a.ended().await;
        b.ended().await;
        (phones[caller], phones[callee]) = (Some(a), Some(b));
    }
    assert_eq!(carillon.metric("carillon_edge_sip_total{event=\"internal_panics\"}"), 0.0);
}
