//! A phone connects the parties of two calls of its own by REFER with Replaces, and gives the target by its address of record.

use std::time::Duration;

use call_control::Config;
use call_control::engine::Redirects;
use cluster_api::callcontrol::v1::Call;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::sip::v1::Header;

use crate::edges::World;
use crate::rig::{self, Replica, dial_request};

const SOON: Duration = Duration::from_secs(1);
const FIRST: &str = "in-0190abcde1";
const SECOND: &str = "in-0190abcde2";

async fn dialled(replica: &Replica, from: &str, to: &str) -> Call {
    let call = replica.dial(dial_request(from, to)).await.expect("a call");
    replica.wait_for(&call.call_id, State::Answered).await
}

/// What the phone of the first leg of a call would send to lead somebody to the other party.
fn refer_to_carol(other: &Call) -> Vec<Header> {
    let own = &other.legs[0];
    let dialog = format!("{};to-tag={};from-tag={}", own.sip_call_id, own.local_tag, own.remote_tag);
    let replaces = sip_message::percent_encode(dialog.as_bytes());
    let refer_to = format!("<sip:carol@example.com?Replaces={replaces}>");
    vec![Header { name: "Refer-To".into(), value: refer_to }]
}

/// CCL-08, LAD-9, F4, RFC 5589 7.3: the dialog is that of a leg of Carillon's at alice's phone, with her as the caller or as the one called;
/// the replica that takes the REFER has seen neither call. Carol's leg is taken, and nobody is called.
#[tokio::test(start_paused = true)]
async fn a_dialog_is_found_by_its_ids_when_the_target_is_named_by_its_address_of_record() {
    for is_called in [false, true] {
        let (world, store) = (World::new(&["edge-0"]), rig::store());
        let first = rig::replica(store.clone(), &world, Config::default());
        let call = match is_called {
            true => dialled(&first, "bob", "alice").await,
            false => {
                world.call_in("edge-0", FIRST, "bob");
                tokio::time::sleep(SOON).await;
                first.wait_for(FIRST, State::Answered).await
            }
        };
        world.call_in("edge-0", SECOND, "carol");
        tokio::time::sleep(SOON).await;
        first.wait_for(SECOND, State::Answered).await;
        tokio::time::sleep(SOON).await;
        let other = first.get(SECOND).await.expect("a call");
        let second = rig::replica(store, &world, Config::default());
        first.kill(&world, 0).await;

        let alice = &call.legs[usize::from(is_called)];
        world.say("edge-0", &call.call_id, alice, "REFER", refer_to_carol(&other));
        second.wait_for(SECOND, State::Ended).await;
        tokio::time::sleep(SOON).await;
        let now = second.get(&call.call_id).await.expect("the call");
        let come = now.legs.last().and_then(|leg| leg.party.as_ref()).expect("a party");
        assert_eq!(come.uri, "sip:carol@example.com");
        let asked = world.asked(&call.call_id);
        let counted = |what: &str| asked.iter().filter(|asked| *asked == what).count();
        let bye = format!("{} BYE", alice.leg_id);
        assert_eq!(counted(&bye), 1, "alice is let go: {asked:?}");
        assert_eq!(now.state(), State::Answered);
        assert_eq!(world.header(&call.call_id, "c", "INVITE", "Replaces"), None, "{asked:?}");
        second.hangup("", &call.call_id).await.expect("it lives");
    }
}

/// CCL-08, CCL-11: a dialog of somebody else's phone, and one that is none of Carillon's, is for the phone of the target to know.
#[tokio::test(start_paused = true)]
async fn the_dialog_of_somebody_else_is_led_to_by_nobody() {
    let world = World::new(&["edge-0"]);
    let config = Config { redirects: Redirects::within(["example.com"]), ..Config::default() };
    let replica = rig::replica(rig::store(), &world, config);
    world.call_in("edge-0", FIRST, "dave");
    tokio::time::sleep(SOON).await;
    replica.wait_for(FIRST, State::Answered).await;
    let other = dialled(&replica, "bob", "carol").await;
    tokio::time::sleep(SOON).await;
    let call = replica.get(FIRST).await.expect("a call");
    world.say("edge-0", FIRST, &call.legs[0], "REFER", refer_to_carol(&other));
    tokio::time::sleep(SOON).await;
    let own = &other.legs[0];
    let as_it_came = format!("{};to-tag={};from-tag={}", own.sip_call_id, own.local_tag, own.remote_tag);
    assert_eq!(world.header(FIRST, "c", "INVITE", "Replaces"), Some(as_it_came));
    assert_eq!(replica.get(&other.call_id).await.expect("the call").state(), State::Answered);
}
