//! linphonec, which nobody here wrote, as either party of dialled calls.

use cluster_api::callcontrol::v1::call_event::Type;
use test_support::{Baresip, Carillon, Linphone, Sound};

use crate::calls::{Watch, dial, hang_up, outcome};

/// TPC-12, LAD-1: a linphonec and a baresip, whichever is rung first.
#[tokio::test]
async fn a_linphonec_and_a_baresip_are_connected() {
    let carillon = with_accounts(Carillon::for_old_phones());
    for (first, second) in [("alice", "bob"), ("bob", "alice")] {
        let mut linphone = Linphone::registered(first, "secret", &carillon, "udp");
        let baresip = Baresip::sounding(second, "secret", &carillon.sip, "udp", Sound::Bridge);
        let leg = if first == "alice" { "a" } else { "b" };
        for flow in ["ringback", "iv"] {
            for by in ["api", leg] {
                let id = connected(&carillon, flow).await;
                match by {
                    "api" => hang_up(&carillon, &id),
                    _ => linphone.order("terminate"),
                }
                ended(&carillon, &id, by).await;
                baresip.lines.wait_for("BYE", |l| l.contains("session closed"));
                linphone.lines.wait_for("the end of the call", |l| l.contains(" ended ("));
            }
        }
    }
}

fn with_accounts(carillon: Carillon) -> Carillon {
    for aor in ["sip:alice@localhost", "sip:bob@localhost"] {
        carillon.account(aor, "secret");
    }
    carillon
}

async fn connected(carillon: &Carillon, flow: &str) -> String {
    let id = dial(carillon, &["--flow", flow]);
    Watch::begin(carillon, &id, Some(String::new())).await.until(Type::Connected).await;
    id
}

async fn ended(carillon: &Carillon, id: &str, by: &str) {
    let outcome = outcome(carillon, id).await;
    assert_eq!((&outcome["kind"], &outcome["ended_by"]), (&"COMPLETED".into(), &by.into()), "{outcome}");
}
