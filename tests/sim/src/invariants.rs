//! What must hold when a run is over, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::UNIX_EPOCH;

use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use cluster_api::callcontrol::v1::call_event::Type;
use store::{Partitions, Store as _};
use tokio::time::sleep;
use tonic::Request;

use crate::cluster::{Cluster, RETENTION, TRUNK_CALLS, call_control_config};
use crate::ladders;

/// Events that a call has once, whatever is carried out or delivered twice.
const ONCE: [Type; 2] = [Type::Created, Type::Ended];
/// Events that a call, or a leg of it, has once at most.
const AT_MOST_ONCE: [Type; 4] = [Type::Connected, Type::LegDialing, Type::LegAnswered, Type::LegEnded];

/// Requests of one Call-ID at most, in both directions.
const MOST_REQUESTS: usize = 100;

/// Something that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// A Dial that was repeated made one call.
    OneCallADial,
    /// Every call is over in the end, says how, and is in no list of the living.
    EveryCallEnds,
    /// Each event is given once: one CREATED, one ENDED, each step of a leg at most once.
    EachEventOnce,
    /// Every transfer that began has one end.
    EveryTransferEnds,
    /// The application saw each event that is kept exactly once, and no other, across the death of whoever told it.
    ToldExactlyOnce,
    /// The call in the ENDED that the application was told has the outcome that GetCall gives, and has one.
    ToldTheOutcome,
    /// The application saw the events of a call in the order in which they are kept; CREATED is first, ENDED last, and a leg
    /// is dialled before it is answered and answered before it ends.
    InOrder,
    /// When all calls are over, no phone rings or is in a call.
    NoLegLeft,
    /// No phone that said that it rings is left ringing until it loses patience.
    NoneRingsForNothing,
    /// Nobody is asked for the same again and again: no dialog has more requests than a long call with all that can be done to it.
    NoStorm,
    /// What goes out to an edge is kept before it does.
    NoEffectWithoutRecord,
    /// A phone whose REGISTER was answered with 200 is found by a registrar that remembers nothing.
    RegisteredIsFound,
    /// A registration that was taken back does not come back.
    NoBindingRevived,
    /// Every callback is over in the end.
    EveryCallbackEnds,
    /// When all calls are over, each place at the trunk is free.
    PlacesGivenBack,
    /// Nothing is left in the store of calls whose time is over.
    StoreAtBase,
}

/// What did not hold, and where.
pub type Breaches = BTreeMap<Invariant, Vec<String>>;

/// How calls began in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// By Dial alone.
    Dialled,
    /// Also by phones and callbacks.
    Anyhow,
}

/// Looks at everything but the store.
///
/// # Panics
/// When call-control does not answer.
pub async fn check(cluster: &Cluster, calls: &[String], begun: Begun) -> Breaches {
    let mut breaches = Breaches::new();
    let mut breach = |invariant: Invariant, what: String| breaches.entry(invariant).or_default().push(what);
    let replica = cluster.replicas.at(0).expect("all replicas run at the end");
    let kept = cluster.records.events().await;
    let mut ids: BTreeSet<&String> = calls.iter().collect();
    if ids.len() != calls.len() {
        breach(Invariant::OneCallADial, "two Dials were given one call".into());
    }
    if begun == Begun::Anyhow {
        ids.extend(kept.iter().map(|event| &event.call_id));
    }
    for call_id in &ids {
        let told = cluster.watcher.of(call_id);
        let kept: Vec<_> = kept.iter().filter(|event| event.call_id == **call_id).cloned().collect();
        let shown = format!("{call_id} {:?}", story(&told));
        cluster.trace.note(&shown);
        let request = cc::GetCallRequest { call_id: (*call_id).clone() };
        let call = replica.service.api.get_call(Request::new(request)).await;
        let call = call.ok().map(tonic::Response::into_inner).unwrap_or_default();
        let is_over = call.state() == cc::call::State::Ended && call.outcome.is_some();
        if !is_over && !is_forgotten(cluster, &kept) {
            breach(Invariant::EveryCallEnds, format!("{shown}: {:?} {:?}", call.state(), call.outcome));
        }
        if !transfers_end(&kept) {
            breach(Invariant::EveryTransferEnds, format!("{call_id} {:?}", story(&kept)));
        }
        if !are_once(&kept) {
            breach(Invariant::EachEventOnce, format!("{call_id} {:?}", story(&kept)));
        }
        if sorted(&told) != sorted(&kept) || cursors(&told) != told.len() {
            breach(Invariant::ToldExactlyOnce, format!("{shown} told, {:?} kept", story(&kept)));
        }
        let disordered = story(&told) != story(&kept) && sorted(&told) == sorted(&kept);
        if disordered || are_once(&kept) && !is_ordered(&kept) {
            breach(Invariant::InOrder, format!("{shown} told, {:?} kept", story(&kept)));
        }
        for phone in left_ringing(cluster, &call, &kept) {
            breach(Invariant::NoneRingsForNothing, format!("{shown}: {phone}"));
        }
        let ended = told.iter().rfind(|event| event.r#type() == Type::Ended);
        if let Some(ended) = ended.filter(|_| call.outcome.is_some()) {
            let outcome = ended.call.as_ref().and_then(|call| call.outcome.clone());
            if outcome != call.outcome {
                breach(
                    Invariant::ToldTheOutcome,
                    format!("{shown}: told {outcome:?}, kept {:?}", call.outcome),
                );
            }
        }
    }
    for phone in cluster.phones.iter().filter(|phone| phone.has_call()) {
        breach(Invariant::NoLegLeft, phone.user.clone());
    }
    for desk in cluster.mixers.iter().chain([&cluster.carrier]).filter(|desk| desk.count() > 0) {
        breach(Invariant::NoLegLeft, format!("{} at a mixer or carrier", desk.count()));
    }
    for many in cluster.network.asked_more_than(MOST_REQUESTS) {
        breach(Invariant::NoStorm, many);
    }
    for callback in ladders::open_callbacks(cluster).await {
        breach(Invariant::EveryCallbackEnds, callback);
    }
    let places = match begun {
        Begun::Dialled => Ok(TRUNK_CALLS),
        Begun::Anyhow => cluster.places_at_trunk().await,
    };
    if !matches!(places, Ok(TRUNK_CALLS)) {
        breach(Invariant::PlacesGivenBack, format!("{places:?} of {TRUNK_CALLS}"));
    }
    let all = cc::ListCallsRequest { page_size: 1_000, ..Default::default() };
    let all = replica.service.api.list_calls(Request::new(all)).await.expect("a list").into_inner().calls;
    let listed: BTreeSet<&String> = all.iter().map(|call| &call.call_id).collect();
    for more in listed.difference(&ids) {
        breach(Invariant::OneCallADial, format!("{more} was not asked for"));
    }
    cluster.records.unkept().into_iter().for_each(|what| breach(Invariant::NoEffectWithoutRecord, what));
    let broken = cluster.bindings.broken();
    broken.lost.into_iter().for_each(|phone| breach(Invariant::RegisteredIsFound, phone));
    broken.revived.into_iter().for_each(|phone| breach(Invariant::NoBindingRevived, phone));
    breaches
}

/// Ended calls are kept for their time and then nothing is left of them: no record, no due work, no index entry.
///
/// # Panics
/// When memory does not answer.
pub async fn check_base(cluster: &Cluster, base: usize, breaches: &mut Breaches) {
    sleep(RETENTION + RETENTION / 10).await;
    let mut left = Vec::new();
    let lives = cluster.edge_lives();
    for partition in Partitions::new("calls", call_control_config().partitions).all() {
        let due = cluster.memory.due_next(partition, "due").await.expect("memory answers");
        left.extend(due.map(|_| format!("{partition} has work left")));
        let mut indexes = vec![("live".to_owned(), Vec::new()), ("ended".to_owned(), Vec::new())];
        // The life of an edge stays in its list as long as it lasts.
        let lasting = lives.iter().filter(|(_, lasts)| *lasts).map(|(life, _)| life.clone()).collect();
        indexes.push(("edges".to_owned(), lasting));
        indexes.extend(lives.iter().map(|(life, _)| (format!("edge/{life}"), Vec::new())));
        for (index, allowed) in indexes {
            let page = cluster.memory.index(partition, &index, None, 10).await.expect("memory answers");
            let members = page.entries.into_iter().map(|(member, _)| member);
            let more = members.filter(|member| !allowed.contains(member));
            left.extend(more.map(|member| format!("{partition} lists {member} under {index}")));
        }
    }
    let count = cluster.memory.record_count();
    if count != base {
        left.push(format!("{count} records, {base} before"));
    }
    if !left.is_empty() {
        breaches.entry(Invariant::StoreAtBase).or_default().extend(left);
    }
}

/// Phones that rang for a call until they lost patience although Carillon knew of it. Of a phone whose provisional responses were all
/// lost it does not know, and may not cancel. RFC 3261 9.1
fn left_ringing<'a>(
    cluster: &'a Cluster,
    call: &cc::Call,
    kept: &[cc::CallEvent],
) -> impl Iterator<Item = &'a str> {
    let rings = |event: &cc::CallEvent| matches!(event.r#type(), Type::LegRinging | Type::LegProgress);
    let heard: BTreeSet<&str> =
        kept.iter().filter(|event| rings(event)).filter_map(|event| event.leg_id.as_deref()).collect();
    let legs = call.legs.iter().filter(|leg| heard.contains(leg.leg_id.as_str()));
    let known: BTreeSet<String> = legs.map(|leg| leg.sip_call_id.clone()).collect();
    let left =
        cluster.phones.iter().filter(move |phone| phone.rang_out().iter().any(|id| known.contains(id)));
    left.map(|phone| phone.user.as_str())
}

/// Whether a call ended so long ago that nothing of it has to be known.
fn is_forgotten(cluster: &Cluster, kept: &[cc::CallEvent]) -> bool {
    let ended = kept.iter().rfind(|event| event.r#type() == Type::Ended).and_then(|event| event.time);
    let now = ambient::WallClock::now(&cluster.clock).duration_since(UNIX_EPOCH).unwrap_or_default();
    ended.is_some_and(|at| now.as_secs().saturating_sub(at.seconds.unsigned_abs()) + 1 >= RETENTION.as_secs())
}

fn are_once(events: &[cc::CallEvent]) -> bool {
    let count = |kind: Type| events.iter().filter(|event| event.r#type() == kind).count();
    let mut seen = BTreeSet::new();
    ONCE.iter().all(|kind| count(*kind) == 1)
        && events
            .iter()
            .filter(|event| AT_MOST_ONCE.contains(&event.r#type()))
            .all(|event| seen.insert((event.leg_id.clone(), event.r#type)))
}

fn transfers_end(events: &[cc::CallEvent]) -> bool {
    let count = |kinds: &[Type]| events.iter().filter(|event| kinds.contains(&event.r#type())).count();
    count(&[Type::TransferStarted]) == count(&[Type::TransferSucceeded, Type::TransferFailed])
}

fn is_ordered(events: &[cc::CallEvent]) -> bool {
    let kind_at = |at: Option<&cc::CallEvent>| at.map(cc::CallEvent::r#type);
    let place = |leg: &Option<String>, kind: Type| {
        events.iter().position(|event| event.leg_id == *leg && event.r#type() == kind)
    };
    let legs: BTreeSet<&Option<String>> =
        events.iter().map(|event| &event.leg_id).filter(|leg| leg.is_some()).collect();
    let steps = [Type::LegDialing, Type::LegAnswered, Type::LegEnded];
    let in_steps = |leg: &Option<String>| steps.iter().filter_map(|kind| place(leg, *kind)).is_sorted();
    events.is_empty()
        || kind_at(events.first()) == Some(Type::Created)
            && kind_at(events.last()) == Some(Type::Ended)
            && legs.into_iter().all(in_steps)
}

fn sorted(events: &[cc::CallEvent]) -> Vec<String> {
    let mut lines = story(events);
    lines.sort();
    lines
}

/// How many places in the log these events have.
fn cursors(events: &[cc::CallEvent]) -> usize {
    events.iter().map(|event| &event.cursor).collect::<BTreeSet<_>>().len()
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
