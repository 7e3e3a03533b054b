//! Callbacks by gRPC and by calling in: what is waited for, what is dialled, and what outlives a replica. LAD-6

use std::sync::Arc;
use std::time::Duration;

use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use cluster_api::callcontrol::v1::callback::State;
use cluster_api::callcontrol::v1::leg_events_server::LegEvents as _;
use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse};
use cluster_api::sip::v1::{Body, Header};
use store::Store;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status};

use crate::edges::World;
use crate::rig::{PATIENCE, Replica, dial_request, reason, replica, single, single_for_days, store};

fn party(user: &str) -> Option<cc::Party> {
    Some(cc::Party { uri: format!("sip:{user}@example.com"), ..cc::Party::default() })
}

pub fn wanted(from: &str, to: &str) -> cc::RequestCallbackRequest {
    cc::RequestCallbackRequest { from: party(from), to: party(to), ..cc::RequestCallbackRequest::default() }
}

pub async fn request(on: &Replica, wanted: cc::RequestCallbackRequest) -> Result<cc::Callback, Status> {
    on.service.api.request_callback(Request::new(wanted)).await.map(|response| response.into_inner())
}

pub async fn get(on: &Replica, id: &str) -> Result<cc::Callback, Status> {
    let request = cc::GetCallbackRequest { callback_id: id.to_owned() };
    on.service.api.get_callback(Request::new(request)).await.map(|response| response.into_inner())
}

async fn cancel(on: &Replica, request_id: &str, id: &str) -> Result<cc::Callback, Status> {
    let request = cc::CancelCallbackRequest { request_id: request_id.to_owned(), callback_id: id.to_owned() };
    on.service.api.cancel_callback(Request::new(request)).await.map(|response| response.into_inner())
}

async fn list(on: &Replica, filter: cc::CallbackFilter, page: (i32, &str)) -> cc::ListCallbacksResponse {
    let request =
        cc::ListCallbacksRequest { filter: Some(filter), page_size: page.0, page_token: page.1.to_owned() };
    on.service.api.list_callbacks(Request::new(request)).await.expect("a page").into_inner()
}

/// Looks until the callback is as it should be.
pub async fn until(on: &Replica, id: &str, state: State) -> cc::Callback {
    let looked = async {
        loop {
            let callback = get(on, id).await.expect("it is known");
            if callback.state() == state {
                return callback;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("it does not become {state:?}"))
}

/// The phone answers SUBSCRIBE with this status, OPTIONS with that one.
pub fn phone(world: &World, subscribe: u32, options: u32) {
    world.answer_with(move |request: &ExchangeRequest| {
        let send = request.request.as_ref().expect("a request");
        ExchangeResponse {
            status: if send.method == "SUBSCRIBE" { subscribe } else { options },
            to_tag: "phone".to_owned(),
            contacts: vec!["<sip:phone@192.0.2.1>".to_owned()],
            ..ExchangeResponse::default()
        }
    });
}

/// The first request of a callback that edges were asked to send, and every later one, as `METHOD expires`.
fn sent(world: &World) -> Vec<String> {
    let exchanged = world.exchanged.lock();
    let line = |asked: &ExchangeRequest| {
        let send = asked.request.as_ref().expect("a request");
        let expires = send.headers.iter().find(|header| header.name == "Expires");
        format!("{} {}", send.method, expires.map_or("", |header| &header.value)).trim_end().to_owned()
    };
    let mut seen = std::collections::HashSet::new();
    exchanged.iter().filter(|asked| seen.insert(asked.exchange_id.clone())).map(line).collect()
}

/// Waits for the latest SUBSCRIBE, and tells by NOTIFY of these dialogs.
pub async fn tell(world: &World, on: &Replica, cseq: u32, confirmed: &[&str]) -> u32 {
    let subscribe =
        async {
            loop {
                let found =
                    world.exchanged.lock().iter().rev().find_map(|asked| {
                        asked.request.clone().filter(|request| request.method == "SUBSCRIBE")
                    });
                match found {
                    Some(found) => return found,
                    None => sleep(Duration::from_millis(50)).await,
                }
            }
        };
    let subscribe = timeout(PATIENCE, subscribe).await.expect("it is subscribed to");
    let dialogs: String =
        confirmed.iter().map(|id| format!("<dialog id=\"{id}\"><state>confirmed</state></dialog>")).collect();
    let document = format!(
        "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{cseq}\" state=\"full\">{dialogs}</dialog-info>"
    );
    let notify = cc::NotifyRequest {
        callback_id: subscribe.contact_user.trim_start_matches("cb.").to_owned(),
        sip_call_id: subscribe.sip_call_id,
        from_tag: "phone".to_owned(),
        to_tag: subscribe.from_tag,
        cseq,
        contact: "sip:phone@192.0.2.1".to_owned(),
        headers: vec![
            Header::new("Event", "dialog"),
            Header::new("Subscription-State", "active;expires=3600"),
        ],
        body: Some(Body::new("application/dialog-info+xml", document)),
        ..cc::NotifyRequest::default()
    };
    let answer = on.service.leg_events.notify(Request::new(notify)).await;
    answer.expect("committed").into_inner().status
}

/// All calls of callbacks there are.
async fn calls(on: &Replica) -> Vec<cc::Call> {
    let filter = cc::CallFilter { kinds: vec![cc::call::Kind::Callback.into()], ..cc::CallFilter::default() };
    let request = cc::ListCallsRequest { filter: Some(filter), ..cc::ListCallsRequest::default() };
    on.list(request).await.expect("a page").calls
}

/// LAD-6, SCN-19: busy, free, called, connected, and the subscription ended.
#[tokio::test(start_paused = true)]
async fn a_callback_waits_for_the_phone_and_connects_the_two() {
    let (replica, world) = single();
    phone(&world, 200, 200);
    let callback = request(&replica, wanted("alice", "bob")).await.expect("committed");
    assert_eq!((callback.state(), callback.attempts_left), (State::Waiting, 3));
    let id = callback.callback_id.as_str();
    assert_eq!(tell(&world, &replica, 1, &["x"]).await, 200);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(
        (get(&replica, id).await.expect("known").state(), calls(&replica).await.len()),
        (State::Waiting, 0)
    );
    assert_eq!(tell(&world, &replica, 2, &[]).await, 200);
    let done = until(&replica, id, State::Done).await;
    let call = replica.get(&done.call_id).await.expect("the call of the attempt");
    assert_eq!((call.kind(), call.state()), (cc::call::Kind::Callback, cc::call::State::Answered));
    assert_eq!(call.metadata.get("callback_id").map(String::as_str), Some(id));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(sent(&world), ["SUBSCRIBE 3600", "SUBSCRIBE 0"]);
    assert_eq!(tell(&world, &replica, 3, &["y"]).await, 200, "the last NOTIFY is answered too");
    replica.hangup("", &done.call_id).await.expect("hung up");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        (get(&replica, id).await.expect("known").state(), calls(&replica).await.len()),
        (State::Done, 1)
    );
}

/// LAD-6: SUBSCRIBE 489: polled by OPTIONS at 30 s; B busy again three times: A gets BYE each time, and that is the end.
#[tokio::test(start_paused = true)]
async fn a_phone_that_stays_busy_is_called_three_times() {
    let (replica, world) = single();
    phone(&world, 489, 200);
    let begun = Instant::now();
    let callback = request(&replica, wanted("alice", "busy")).await.expect("committed");
    let expired = until(&replica, &callback.callback_id, State::Expired).await;
    assert!(begun.elapsed() >= Duration::from_secs(60), "two pauses of half a minute");
    assert_eq!(expired.attempts_left, 0);
    let outcome = expired.outcome.expect("of the last attempt");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (cc::outcome::Kind::Busy, "b"));
    let calls = calls(&replica).await;
    assert_eq!(calls.len(), 3);
    for call in calls {
        let reason = world.header(&call.call_id, "a", "BYE", "Reason").unwrap_or_default();
        assert!(reason.contains("cause=486"), "{reason}");
    }
    assert_eq!(sent(&world), ["SUBSCRIBE 3600", "OPTIONS", "OPTIONS", "OPTIONS"]);
}

/// LAD-6: what Carillon knows of calls counts.
#[tokio::test(start_paused = true)]
async fn who_is_in_a_call_of_carillons_is_waited_for() {
    let (replica, world) = single();
    phone(&world, 489, 200);
    let other = replica.dial(dial_request("bob", "carol")).await.expect("committed");
    replica.wait_for(&other.call_id, cc::call::State::Answered).await;
    let callback = request(&replica, wanted("alice", "bob")).await.expect("committed");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(get(&replica, &callback.callback_id).await.expect("known").state(), State::Waiting);
    assert_eq!(sent(&world), [""; 0], "nobody is asked before");
    replica.hangup("", &other.call_id).await.expect("hung up");
    until(&replica, &callback.callback_id, State::Done).await;
}

/// LAD-6: several callbacks for one party, asked for at once over two replicas, call it one after the other; who waits loses no attempt, and
/// a replica that dies with the party claimed keeps it from nobody.
#[tokio::test(start_paused = true)]
async fn a_party_is_called_by_one_callback_at_a_time() {
    let world = World::new(&["edge-0"]);
    phone(&world, 489, 200);
    let store: Arc<dyn Store> = store();
    let first = replica(Arc::clone(&store), &world, Config::default());
    let second = replica(Arc::clone(&store), &world, Config::default());
    let mut ids = Vec::new();
    for (at, user) in ["alice", "carol", "dave", "erin", "frank"].into_iter().enumerate() {
        let on = if at % 2 == 0 { &first } else { &second };
        ids.push(request(on, wanted(user, "ring-bob")).await.expect("committed").callback_id);
    }
    let is_calling = |call: &&cc::Call| {
        use cc::call::State::{Dialing, Progressing, Ringing};
        matches!(call.state(), Dialing | Progressing | Ringing)
    };
    let mut made = std::collections::BTreeSet::new();
    let mut first = Some(first);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(600) {
        let calls = calls(&second).await;
        assert!(calls.iter().filter(is_calling).count() <= 1, "{calls:#?}");
        made.extend(calls.into_iter().map(|call| call.call_id));
        if made.len() == 2
            && let Some(first) = first.take()
        {
            first.kill(&world, 0).await;
        }
        sleep(Duration::from_millis(200)).await;
    }
    assert!(made.len() >= 5, "all of them have their turn: {}", made.len());
    for id in ids {
        let callback = get(&second, &id).await.expect("known");
        let mut own = 0;
        for call in &made {
            let call = second.get(call).await.expect("a call");
            own += u32::from(call.metadata.get("callback_id") == Some(&id));
        }
        assert_eq!(callback.attempts_left + own, 3, "an attempt is a call");
    }
}

/// LAD-6: both sides already talk to each other.
#[tokio::test(start_paused = true)]
async fn a_callback_of_two_who_talk_is_closed() {
    let (replica, _world) = single();
    let call = replica.dial(dial_request("bob", "alice")).await.expect("committed");
    replica.wait_for(&call.call_id, cc::call::State::Answered).await;
    let callback = request(&replica, wanted("alice", "bob")).await.expect("committed");
    let done = until(&replica, &callback.callback_id, State::Done).await;
    assert_eq!((done.call_id.as_str(), done.attempts_left), ("", 3));
}

/// LAD-6, F4: the replica that was asked dies at once; one that dials dies; there is one call and one terminal state.
#[tokio::test(start_paused = true)]
async fn a_callback_outlives_the_replicas_that_work_on_it() {
    let world = World::new(&["edge-0"]);
    phone(&world, 200, 200);
    let store: Arc<dyn Store> = store();
    let first = replica(Arc::clone(&store), &world, Config::default());
    let callback = request(&first, wanted("alice", "bob")).await.expect("committed");
    first.kill(&world, 0).await;
    let second = replica(Arc::clone(&store), &world, Config::default());
    assert_eq!(tell(&world, &second, 1, &["x"]).await, 200);
    // From here on nothing that it sends reaches anybody: it commits that it calls, and dies.
    second.way.cut();
    assert_eq!(tell(&world, &second, 2, &[]).await, 200);
    let calling = get(&second, &callback.callback_id).await.expect("known");
    assert_eq!((calling.state(), calling.attempts_left), (State::Calling, 2));
    second.kill(&world, 1).await;
    let third = replica(store, &world, Config::default());
    let done = until(&third, &callback.callback_id, State::Done).await;
    assert_eq!((done.call_id.clone(), done.attempts_left), (calling.call_id, 2));
    assert_eq!(calls(&third).await.len(), 1);
    assert_eq!(
        world.asked(&done.call_id).iter().filter(|asked| *asked == "a INVITE").count(),
        2,
        "LAD-1 or LAD-4"
    );
}

/// LAD-6: a party that declines; the application that gives up.
#[tokio::test(start_paused = true)]
async fn a_callback_is_cancelled_once() {
    let (replica, world) = single();
    phone(&world, 200, 200);
    let callback = request(&replica, wanted("alice", "bob")).await.expect("committed");
    let id = callback.callback_id.as_str();
    tell(&world, &replica, 1, &["x"]).await;
    let cancelled = cancel(&replica, "once", id).await.expect("cancelled");
    assert_eq!(cancelled.state(), State::Cancelled);
    assert_eq!(cancel(&replica, "once", id).await.expect("the same"), cancelled);
    assert_eq!(cancel(&replica, "again", id).await.expect("unchanged"), cancelled);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(sent(&world), ["SUBSCRIBE 3600", "SUBSCRIBE 0"]);
    tell(&world, &replica, 2, &[]).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(calls(&replica).await.len(), 0);
    let other = request(&replica, wanted("alice", "bob")).await.expect("committed");
    let reused = cancel(&replica, "once", &other.callback_id).await.expect_err("for another one");
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
    let unknown = cancel(&replica, "", "nobody").await.expect_err("unknown");
    assert_eq!(reason(&unknown), "CALLBACK_NOT_FOUND");
}

/// T20: request ids; bounds, with their counts given back at the end.
#[tokio::test(start_paused = true)]
async fn request_ids_and_bounds_hold() {
    let world = World::new(&["edge-0"]);
    let config = Config { callbacks_per_user: 2, ..Config::default() };
    let replica = replica(store(), &world, config);
    let named =
        |id: &str, to: &str| cc::RequestCallbackRequest { request_id: id.to_owned(), ..wanted("alice", to) };
    let first = request(&replica, named("r1", "bob")).await.expect("committed");
    assert_eq!(request(&replica, named("r1", "bob")).await.expect("the same").callback_id, first.callback_id);
    let other = request(&replica, named("r1", "carol")).await.expect_err("other content");
    assert_eq!(reason(&other), "REQUEST_ID_REUSED");
    request(&replica, named("r2", "carol")).await.expect("the second");
    let third = request(&replica, named("r3", "dave")).await.expect_err("too many");
    assert_eq!((reason(&third).as_str(), third.code()), ("CALLBACK_LIMIT", tonic::Code::ResourceExhausted));
    request(&replica, wanted("eve", "dave")).await.expect("of another user");
    assert_eq!(request(&replica, named("r1", "bob")).await.expect("the same").callback_id, first.callback_id);
    cancel(&replica, "", &first.callback_id).await.expect("cancelled");
    request(&replica, named("r3", "dave")).await.expect("there is room now");
}

#[tokio::test(start_paused = true)]
async fn callbacks_are_listed_newest_first_in_pages() {
    let (replica, _world) = single();
    let mut made = Vec::new();
    for number in 0..7 {
        let callback = request(&replica, wanted(&format!("user{number}"), "bob")).await.expect("committed");
        made.insert(0, callback.callback_id);
        sleep(Duration::from_millis(5)).await;
    }
    cancel(&replica, "", &made[2]).await.expect("cancelled");
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let page = list(&replica, cc::CallbackFilter::default(), (3, &token)).await;
        assert!(page.callbacks.len() <= 3);
        listed.extend(page.callbacks.into_iter().map(|callback| callback.callback_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, made);
    let of = |filter: cc::CallbackFilter| {
        let replica = &replica;
        async move { list(replica, filter, (0, "")).await.callbacks.len() }
    };
    let states = vec![State::Cancelled.into()];
    assert_eq!(of(cc::CallbackFilter { states, ..Default::default() }).await, 1);
    let party = "sips:user3@EXAMPLE.com".to_owned();
    assert_eq!(of(cc::CallbackFilter { party, ..Default::default() }).await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_ended_callback_is_forgotten_after_a_day() {
    let (replica, _world) = single_for_days();
    let callback = request(&replica, wanted("alice", "bob")).await.expect("committed");
    cancel(&replica, "", &callback.callback_id).await.expect("cancelled");
    sleep(Duration::from_secs(23 * 3600)).await;
    get(&replica, &callback.callback_id).await.expect("still known");
    sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(reason(&get(&replica, &callback.callback_id).await.expect_err("gone")), "CALLBACK_NOT_FOUND");
    assert_eq!(list(&replica, cc::CallbackFilter::default(), (0, "")).await.callbacks, []);
}

/// LAD-6, called in: 480 and never 200; called back once the phone has hung up, once for each wish.
#[tokio::test(start_paused = true)]
async fn who_calls_in_is_called_back_when_it_has_hung_up() {
    let world = World::new(&["edge-0"]);
    phone(&world, 200, 200);
    let config = Config {
        callback_user: "callback".to_owned(),
        callback_target: "sip:desk@example.com".to_owned(),
        host: "example.com".to_owned(),
        ..Config::default()
    };
    let replica = replica(store(), &world, config);
    world.deliver_twice();
    world.call_in("edge-0", "in-1", "callback");
    assert_eq!(tell(&world, &replica, 1, &["to the service"]).await, 200);
    assert_eq!(world.asked("in-1")[0], "a 480");
    let waiting = list(&replica, cc::CallbackFilter::default(), (0, "")).await.callbacks;
    let [callback] = &waiting[..] else { panic!("{waiting:?}") };
    let uri = |party: &Option<cc::Party>| party.clone().unwrap_or_default().uri;
    assert_eq!(
        (uri(&callback.from), uri(&callback.to)),
        ("sip:alice@example.com".into(), "sip:desk@example.com".into())
    );
    assert_eq!(sent(&world), ["SUBSCRIBE 60"]);
    tell(&world, &replica, 2, &[]).await;
    until(&replica, &callback.callback_id, State::Done).await;
    let over = replica.get("in-1").await.expect("the call that came in");
    assert_eq!(over.answer_time, None);
}
