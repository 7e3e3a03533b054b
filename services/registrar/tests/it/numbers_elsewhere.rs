//! Numbers of a gateway elsewhere: asked for by ALLOCATE through an edge that is played here.

use std::time::Duration;

use cluster_api::edge::v1::{ExchangeResponse, SendRequest};
use cluster_api::registrar::v1::{
    AllocateRequest, AllocateResponse, ListLentRequest, ReleaseRequest, location_server::Location as _,
};
use registrar::{Config, NumberPoolConfig, Registrar};
use tonic::{Code, Request};

use crate::far_side::{FarSide, Working, answer, answer_with, value};
use crate::rig::Rig;

const GATEWAY: &str = "sip:gw58.ca.pstn-gws.example";
const NUMBER: &str = "<tel:+13235554258>;expires=180";

fn pool() -> NumberPoolConfig {
    NumberPoolConfig {
        name: "pstn".to_owned(),
        gateway: GATEWAY.to_owned(),
        trunk: "carrier".to_owned(),
        quota: 2,
        ..NumberPoolConfig::default()
    }
}

/// Both replicas ask through the edge `e1`, behind which the gateway answers like this.
async fn cluster(
    answering: impl FnMut(&SendRequest) -> Option<ExchangeResponse> + Send + 'static,
) -> (Rig, FarSide, [Working; 2]) {
    let rig = Rig::with(Config { number_pools: vec![pool()], ..Config::default() });
    let far = FarSide::new("e1", answering);
    far.lives(&rig).await;
    let working = [far.keeps(&rig.replicas[0]), far.keeps(&rig.replicas[1])];
    // what keeps them runs from here on
    tokio::task::yield_now().await;
    (rig, far, working)
}

fn gives(contact: &str) -> ExchangeResponse {
    ExchangeResponse { contacts: vec![contact.to_owned()], ..answer(200) }
}

fn wish(ask: &str) -> AllocateRequest {
    AllocateRequest {
        requester: "sip:alice@d".to_owned(),
        ask: ask.to_owned(),
        contacts: vec!["<sip:line200@office.example>;q=0.7".to_owned()],
        allocate_for: "<tel:+18475550000>".to_owned(),
        ..AllocateRequest::default()
    }
}

async fn ask(replica: &Registrar, wish: AllocateRequest) -> AllocateResponse {
    replica.allocate(Request::new(wish)).await.unwrap().into_inner()
}

async fn listed(rig: &Rig) -> Vec<String> {
    let request = ListLentRequest { page_size: 9, ..ListLentRequest::default() };
    let page = rig.registrar().list_lent(Request::new(request)).await.unwrap().into_inner();
    page.numbers.iter().map(|lent| format!("{} {} {}", lent.pool, lent.number, lent.contacts[0])).collect()
}

/// ALC-02, ALC-11: the request has the form of the draft and of RFC 3261; the number is lent, listed, and its ask is answered alike by
/// any replica without another request.
#[tokio::test(start_paused = true)]
async fn a_gateway_elsewhere_is_asked_for_a_number() {
    let (rig, far, _working) = cluster(|_| Some(gives(NUMBER))).await;
    let first = ask(rig.registrar(), wish("1")).await;
    let lent = first.lent.clone().unwrap();
    assert_eq!((first.status, first.expires, first.pending), (200, 180, false));
    assert_eq!((lent.number.as_str(), lent.pool.as_str()), ("+13235554258", "pstn"));
    assert_eq!(ask(&rig.replicas[1], wish("1")).await, first);
    let [sent] = &far.sent()[..] else { panic!("one request: {:?}", far.sent()) };
    assert_eq!((sent.method.as_str(), sent.trunk.as_str()), ("ALLOCATE", "carrier"));
    assert_eq!((sent.request_uri.as_str(), sent.to_uri.as_str()), (GATEWAY, GATEWAY));
    assert_eq!((sent.from_uri.as_str(), sent.from_tag.is_empty()), ("sip:carillon@d", false));
    assert_eq!(sent.contact, "<sip:line200@office.example>;q=0.700;expires=180");
    assert_eq!(value(sent, "Allocate-For"), Some("<tel:+18475550000>"));
    assert_eq!(listed(&rig).await, ["pstn +13235554258 <sip:line200@office.example>;q=0.700"]);

    let give_back = ReleaseRequest { request_id: String::new(), number: "tel:+13235554258".to_owned() };
    let refused = rig.registrar().release(Request::new(give_back)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("lapses in 180 s"), "{refused}");
    rig.clock.advance(Duration::from_secs(180));
    assert_eq!(listed(&rig).await, Vec::<String>::new());
}

/// ALC-02, ALC-06: a gateway that is slow is asked once: each question says that it goes on, and a new ask is another request.
#[tokio::test(start_paused = true)]
async fn a_slow_gateway_is_waited_for_by_asking_again() {
    let (rig, far, _working) = cluster(|_| None).await;
    assert!(ask(rig.registrar(), wish("1")).await.pending);
    assert!(ask(&rig.replicas[1], wish("1")).await.pending, "whoever is asked goes on with it");
    assert_eq!(listed(&rig).await, Vec::<String>::new());
    far.answers(|_| Some(gives(NUMBER)));
    assert_eq!(ask(&rig.replicas[1], wish("1")).await.status, 200);
    let sent = far.sent();
    assert!(sent.len() == 3 && sent.iter().all(|again| *again == sent[0]), "the same request: {sent:?}");
    far.answers(|_| Some(gives("<tel:+13235554259>")));
    assert_eq!(ask(rig.registrar(), wish("2")).await.lent.unwrap().number, "+13235554259");
    assert_ne!(far.sent()[3].sip_call_id, sent[0].sip_call_id);
    assert_eq!(ask(rig.registrar(), wish("3")).await.status, 403, "as many as it may have");
}

/// ALC-02: the replica that sent it dies before the answer: another one has the same number for the same request id, and nobody has a
/// second one.
#[tokio::test(start_paused = true)]
async fn the_death_of_a_replica_costs_no_number() {
    let (rig, far, _working) = cluster(|_| None).await;
    let by_id = || AllocateRequest { ask: String::new(), request_id: "r1".to_owned(), ..wish("") };
    let dying = tokio::spawn({
        let replica = rig.registrar().clone();
        async move { ask(&replica, by_id()).await }
    });
    while far.sent().is_empty() {
        tokio::task::yield_now().await;
    }
    dying.abort();
    far.answers(|_| Some(gives(NUMBER)));
    let found = ask(&rig.replicas[1], by_id()).await;
    assert_eq!(found.lent.as_ref().unwrap().number, "+13235554258");
    assert_eq!(ask(&rig.replicas[1], by_id()).await, found);
    let sent = far.sent();
    assert!(sent.len() == 2 && sent[0] == sent[1], "one transaction: {sent:?}");
}

/// ALC-02: when the edge dies another one asks, and what nobody asks for any more goes by itself.
#[tokio::test(start_paused = true)]
async fn another_edge_asks_on_and_what_nobody_wants_lapses() {
    let (rig, far, working) = cluster(|_| None).await;
    assert!(ask(rig.registrar(), wish("1")).await.pending);
    drop(working);
    // its lease is over, and another edge has one
    rig.clock.advance(Duration::from_secs(30));
    assert_eq!(ask(rig.registrar(), wish("1")).await.status, 503, "no edge is left");
    let next = FarSide::new("e2", |_| None);
    next.lives(&rig).await;
    // the link of this replica knows one edge alone
    assert!(ask(rig.registrar(), wish("1")).await.pending);
    assert!(ask(rig.registrar(), wish("2")).await.pending);
    assert_eq!(ask(rig.registrar(), wish("3")).await.status, 403, "two are asked for");
    rig.clock.advance(Duration::from_secs(37));
    next.lives(&rig).await;
    assert!(ask(rig.registrar(), wish("3")).await.pending, "the others are given up");
    assert!(!far.sent().is_empty() && listed(&rig).await.is_empty());
}

/// ALC-02, ALC-04, ALC-09: what the gateway refuses is refused, counts against nobody, and may be asked again.
#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_gateway_is_told_and_costs_nothing() {
    let (rig, far, _working) = cluster(|_| Some(answer_with(423, "Min-Expires", "60"))).await;
    let by_id = |id: &str| AllocateRequest { ask: String::new(), request_id: id.to_owned(), ..wish("") };
    let short = ask(rig.registrar(), by_id("r1")).await;
    assert_eq!((short.status, short.gateway_status), (423, 423));
    assert!(short.headers.iter().any(|header| header.is("Min-Expires") && header.value == "60"));
    for (said, status) in [(answer(403), 502), (answer(503), 503), (gives("<sip:x@gw>"), 502)] {
        far.answers(move |_| Some(said.clone()));
        assert_eq!(ask(rig.registrar(), by_id("r1")).await.status, status);
    }
    far.answers(|_| Some(gives(NUMBER)));
    assert_eq!(ask(rig.registrar(), by_id("r1")).await.status, 200);
    assert_eq!(rig.counted("registrar_numbers_total", "gateway"), 2);
}
