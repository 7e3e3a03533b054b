//! What must hold when a run is over, whatever happened in it.

use std::collections::BTreeSet;

use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use cluster_api::callcontrol::v1::call_event::Type;
use store::{Partitions, Store as _};
use tokio::time::sleep;
use tonic::Request;

use crate::cluster::{Cluster, RETENTION};

/// Events that a call has once, whatever is carried out or delivered twice.
const ONCE: [Type; 3] = [Type::Created, Type::Connected, Type::Ended];
/// Events that a leg has once.
const ONCE_A_LEG: [Type; 3] = [Type::LegDialing, Type::LegAnswered, Type::LegEnded];

/// Every call ended exactly once and told so once, both phones agree that it is over, and nobody remembers it as alive. Says
/// how many calls were connected.
///
/// # Panics
/// When something of this does not hold.
pub async fn check(cluster: &Cluster, calls: &[String]) -> usize {
    let replica = cluster.replicas.at(0).expect("all replicas run at the end");
    let ids: BTreeSet<&String> = calls.iter().collect();
    assert_eq!(ids.len(), calls.len(), "each Dial made a call of its own");
    let mut connected = 0;
    for call_id in calls {
        let events = cluster.watcher.of(call_id);
        let story = story(&events);
        cluster.trace.note(format_args!("{call_id} {story:?}"));
        check_events(call_id, &events, &story);
        let request = cc::GetCallRequest { call_id: call_id.clone() };
        let call = replica.service.api.get_call(Request::new(request)).await;
        let call = call.expect("an ended call is kept").into_inner();
        assert_eq!(call.state(), cc::call::State::Ended, "{call_id} is over: {story:?}");
        assert!(call.outcome.is_some(), "{call_id} says how it ended");
        connected += usize::from(events.iter().any(|event| event.r#type() == Type::Connected));
    }
    for phone in &cluster.phones {
        assert!(!phone.has_call(), "{} rings or is in a call, and all calls are over", phone.user);
    }
    let all = replica
        .service
        .api
        .list_calls(Request::new(cc::ListCallsRequest { page_size: 100, ..Default::default() }));
    let all = all.await.expect("a list").into_inner().calls;
    let listed: BTreeSet<&String> = all.iter().map(|call| &call.call_id).collect();
    assert_eq!(listed, ids, "a Dial that was repeated made one call");
    connected
}

/// Ended calls are kept for their time and then nothing is left of them: no record, no due work, no index entry.
///
/// # Panics
/// When something is left.
pub async fn check_base(cluster: &Cluster, base: usize) {
    sleep(RETENTION + RETENTION / 10).await;
    for partition in Partitions::new("calls", call_control::Config::default().partitions).all() {
        let due = cluster.memory.due_next(partition, "due").await.expect("memory answers");
        assert_eq!(due, None, "{partition} has no work left");
        for index in ["live", "ended", "edge/edge-0/1", "edge/edge-1/1"] {
            let page = cluster.memory.index(partition, index, None, 10).await.expect("memory answers");
            assert_eq!(page.entries, [], "the index {index} of {partition} is empty");
        }
    }
    assert_eq!(cluster.memory.record_count(), base, "the store is back at its base");
}

fn check_events(call_id: &str, events: &[cc::CallEvent], story: &[String]) {
    for kind in ONCE {
        let count = events.iter().filter(|event| event.r#type() == kind).count();
        let wanted = if kind == Type::Connected { count.min(1) } else { 1 };
        assert_eq!(count, wanted, "{call_id}: {} in {story:?}", kind.as_str_name());
    }
    let of_legs = events.iter().filter(|event| ONCE_A_LEG.contains(&event.r#type()));
    let mut seen = BTreeSet::new();
    for event in of_legs {
        let leg = event.leg_id.clone().unwrap_or_default();
        assert!(
            seen.insert((leg, event.r#type)),
            "{call_id}: {} twice in {story:?}",
            event.r#type().as_str_name()
        );
    }
    let cursors: BTreeSet<&String> = events.iter().map(|event| &event.cursor).collect();
    assert_eq!(cursors.len(), events.len(), "{call_id}: each event has a place of its own");
    assert!(events.first().is_some_and(|event| event.r#type() == Type::Created), "{call_id}: {story:?}");
    assert!(events.last().is_some_and(|event| event.r#type() == Type::Ended), "{call_id}: {story:?}");
}

/// Events as short text: leg, type, status.
fn story(events: &[cc::CallEvent]) -> Vec<String> {
    let line = |event: &cc::CallEvent| {
        let leg = event.leg_id.as_ref().map_or(String::new(), |leg| format!("{leg} "));
        let status = event.sip_status.filter(|status| *status != 0);
        let status = status.map_or(String::new(), |status| format!(" {status}"));
        format!("{leg}{}{status}", event.r#type().as_str_name())
    };
    events.iter().map(line).collect()
}
