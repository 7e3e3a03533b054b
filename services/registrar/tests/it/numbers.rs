//! Numbers that are lent for one call.

use std::{collections::BTreeSet, time::Duration};

use cluster_api::registrar::v1::{
    AllocateRequest, AllocateResponse, ListLentRequest, ReleaseRequest, RouteRequest, RouteResponse,
    location_server::Location as _, route_response::Plan,
};
use registrar::{Config, NumberPoolConfig, Registrar};
use tonic::{Code, Request};

use crate::rig::{Phone, Rig, contact, source, status, targets};

const ILLINOIS: &str = "+1312555010";

fn pool(name: &str, numbers: &str, prefixes: &[&str]) -> NumberPoolConfig {
    NumberPoolConfig {
        name: name.to_owned(),
        numbers: vec![numbers.to_owned()],
        prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        ..NumberPoolConfig::default()
    }
}

fn rig() -> Rig {
    let illinois = pool("illinois", "+13125550100..+13125550109", &["+1847"]);
    let single = pool("single", "+493012345", &["+49"]);
    let single = NumberPoolConfig { one_contact: true, ..single };
    let others = pool("others", "+13235554258", &[]);
    Rig::with(Config { number_pools: vec![illinois, single, others], ..Config::default() })
}

fn wish(ask: &str) -> AllocateRequest {
    AllocateRequest {
        requester: "sip:alice@d".to_owned(),
        ask: ask.to_owned(),
        contacts: vec!["<sip:line200@office.example>".to_owned()],
        allocate_for: "<tel:+18475550000>".to_owned(),
        ..AllocateRequest::default()
    }
}

async fn ask(replica: &Registrar, wish: AllocateRequest) -> AllocateResponse {
    replica.allocate(Request::new(wish)).await.unwrap().into_inner()
}

async fn lent(replica: &Registrar, wish: AllocateRequest) -> String {
    let answer = ask(replica, wish).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.lent.unwrap().number
}

async fn call(replica: &Registrar, number: &str, call_id: &str) -> RouteResponse {
    let request = RouteRequest {
        method: "INVITE".to_owned(),
        request_uri: format!("sip:{number}@open"),
        from_uri: "sip:caller@open".to_owned(),
        to_uri: format!("sip:{number}@open"),
        sip_call_id: call_id.to_owned(),
        cseq: 1,
        source: Some(source()),
        ..RouteRequest::default()
    };
    replica.route(Request::new(request)).await.unwrap().into_inner()
}

fn callee(response: &RouteResponse) -> &str {
    match &response.plan {
        Some(Plan::CallControl(handed)) => &handed.callee,
        other => panic!("not handed to call-control: {other:?}"),
    }
}

/// ALC-03, ALC-06, ALC-07: the prefix chooses the pool; the same ask gets the same answer from any replica, another one another
/// number; and what is promised is not longer than what was asked.
#[tokio::test]
async fn an_ask_gets_a_number_of_the_pool_that_it_is_for() {
    let rig = rig();
    let [one, two] = &rig.replicas[..] else { panic!("two replicas") };
    let first = ask(one, AllocateRequest { expires: Some(60), ..wish("1") }).await;
    let shown = first.lent.clone().unwrap();
    assert!(shown.number.starts_with(ILLINOIS) && shown.pool == "illinois", "{shown:?}");
    assert_eq!((first.status, first.expires), (200, 60));
    assert_eq!(shown.contacts, ["<sip:line200@office.example>"]);
    assert_eq!(ask(two, AllocateRequest { expires: Some(60), ..wish("1") }).await, first);
    assert_ne!(lent(two, wish("2")).await, shown.number);

    assert_eq!(ask(one, AllocateRequest { expires: Some(9_999), ..wish("3") }).await.expires, 180);
    let contacts = vec!["<sip:a@h.example>;expires=30".to_owned()];
    assert_eq!(ask(one, AllocateRequest { contacts, expires: Some(60), ..wish("4") }).await.expires, 30);
    for unknown in ["", "tel:+4420", "tel:+18475550000;m-x=1"] {
        let answer = ask(one, AllocateRequest { allocate_for: unknown.to_owned(), ..wish(unknown) }).await;
        assert!(answer.lent.is_none_or(|lent| lent.pool == "others"), "{unknown}");
    }
}

/// ALC-02, ALC-04, ALC-05, ALC-09
#[tokio::test]
async fn what_cannot_be_lent_is_refused_with_what_to_do() {
    let rig = rig();
    let replica = rig.registrar();
    let header = |answer: &AllocateResponse, name: &str| {
        let found = answer.headers.iter().find(|header| header.name == name);
        found.map_or(String::new(), |header| header.value.clone())
    };
    let short = ask(replica, AllocateRequest { expires: Some(5), ..wish("1") }).await;
    assert_eq!((short.status, header(&short, "Min-Expires").as_str()), (423, "10"));
    let contacts = vec!["<sip:a@h.example>".to_owned(), "<sip:b@h.example>".to_owned()];
    let germany = AllocateRequest { contacts, allocate_for: "tel:+4930".to_owned(), ..wish("2") };
    assert_eq!(ask(replica, germany).await.status, 488);
    for bad in ["<tel:+18475550000>", "<sip:+13125550100@open>", "nonsense"] {
        let contacts = vec![bad.to_owned()];
        assert_eq!(ask(replica, AllocateRequest { contacts, ..wish("3") }).await.status, 400, "{bad}");
    }
    assert_eq!(ask(replica, AllocateRequest { contacts: vec![], ..wish("3") }).await.status, 400);
    assert_eq!(
        ask(replica, AllocateRequest { allocate_for: "tel:555".to_owned(), ..wish("3") }).await.status,
        400
    );

    for number in 0..10 {
        lent(replica, wish(&format!("all {number}"))).await;
    }
    let quota = ask(replica, wish("one more")).await;
    assert_eq!(quota.status, 403);
    assert!(header(&quota, "Warning").contains("give one back"), "{quota:?}");
    rig.clock.advance(Duration::from_secs(40));
    let empty = ask(replica, AllocateRequest { requester: "sip:bob@d".to_owned(), ..wish("b") }).await;
    // lent for 180 s, of which 40 have gone, then they rest for 360
    assert_eq!((empty.status, header(&empty, "Retry-After").as_str()), (503, "500"));
}

/// ALC-08, ALC-10: the first call goes to the contact, by its name; no other call does, and nobody gets the number before it rested.
#[tokio::test]
async fn a_number_leads_one_call_and_then_rests() {
    let rig = rig();
    let [one, two] = &rig.replicas[..] else { panic!("two replicas") };
    let others = |ask| AllocateRequest { allocate_for: String::new(), ..wish(ask) };
    let number = lent(one, others("1")).await;
    assert_eq!(callee(&call(one, &number, "call-1").await), "sip:line200@office.example");
    assert_eq!(callee(&call(two, &number, "call-1").await), "sip:line200@office.example", "asked again");
    assert_eq!(status(&call(two, &number, "call-2").await), 404);
    assert_eq!(ask(one, others("2")).await.status, 503, "the pool has one number, and it rests");
    rig.clock.advance(Duration::from_secs(359));
    assert_eq!(ask(one, others("2")).await.status, 503);
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(lent(one, others("2")).await, number);
    assert_eq!(callee(&call(one, &number, "call-3").await), "sip:line200@office.example");
}

/// ALC-08: a call after its time finds nobody.
#[tokio::test]
async fn a_number_that_nobody_called_in_time_is_nobodys() {
    let rig = rig();
    let [in_time, late] = [lent(rig.registrar(), wish("1")).await, lent(rig.registrar(), wish("2")).await];
    rig.clock.advance(Duration::from_secs(179));
    assert_eq!(callee(&call(rig.registrar(), &in_time, "call-1").await), "sip:line200@office.example");
    rig.clock.advance(Duration::from_secs(2));
    assert_eq!(status(&call(rig.registrar(), &late, "call-2").await), 404);
    let free = "+13125550199";
    assert_eq!(status(&call(rig.registrar(), free, "call-3").await), 404, "no number of ours");
}

/// ALC-08, ALC-10: several contacts have one name for the call, which only call-control's leg may ask for; equal q ring together.
#[tokio::test]
async fn several_contacts_are_called_by_falling_q() {
    let rig = rig();
    let contacts = ["<sip:c@h.example>;q=0.2", "<sip:a@h.example>", "<sip:b@h.example>;q=1.0"];
    let contacts = contacts.map(str::to_owned).to_vec();
    let number = lent(rig.registrar(), AllocateRequest { contacts, ..wish("1") }).await;
    let handed = call(rig.registrar(), &number, "call-1").await;
    let name = callee(&handed).to_owned();
    assert!(name.starts_with("sip:lent-") && name.ends_with("@d") && !name.contains(&number[1..]), "{name}");
    let leg = RouteRequest {
        method: "INVITE".to_owned(),
        request_uri: name.clone(),
        from_uri: "sip:caller@open".to_owned(),
        to_uri: name.clone(),
        sip_call_id: "leg-b".to_owned(),
        internal: true,
        ..RouteRequest::default()
    };
    let plan = rig.replicas[1].route(Request::new(leg.clone())).await.unwrap().into_inner();
    assert_eq!(targets(&plan), [vec!["sip:a@h.example", "sip:b@h.example"], vec!["sip:c@h.example"]]);
    let from_outside = RouteRequest { internal: false, source: Some(source()), ..leg };
    let refused = rig.registrar().route(Request::new(from_outside)).await.unwrap().into_inner();
    assert!([404, 407].contains(&status(&refused)), "{refused:?}");
}

/// ALC-08, ALC-10: a leg of call-control that dials the number itself is told whom it calls instead; other requests than calls are not led at all.
#[tokio::test]
async fn a_dialled_number_is_used_up_too() {
    let rig = rig();
    let number = lent(rig.registrar(), wish("1")).await;
    let dialled = |method: &str, call_id: &str| RouteRequest {
        method: method.to_owned(),
        request_uri: format!("tel:{number}"),
        sip_call_id: call_id.to_owned(),
        internal: true,
        ..RouteRequest::default()
    };
    let message = rig.registrar().route(Request::new(dialled("MESSAGE", "m"))).await.unwrap().into_inner();
    assert_eq!(status(&message), 404);
    let plan = rig.registrar().route(Request::new(dialled("INVITE", "leg-a"))).await.unwrap().into_inner();
    assert_eq!(targets(&plan), [vec!["sip:line200@office.example"]]);
    let Some(Plan::Fork(fork)) = &plan.plan else { panic!("{plan:?}") };
    assert_eq!(fork.groups[0].targets[0].callee, "sip:line200@office.example");
    let second = rig.registrar().route(Request::new(dialled("INVITE", "leg-b"))).await.unwrap().into_inner();
    assert_eq!(status(&second), 404);
}

/// ALC-01, ALC-09: who is not let in borrows nothing; who proved to be a user is led to the gateway, which a host without user names; to
/// a user it is a request like any other, and where nothing is lent it is 501.
#[tokio::test]
async fn a_domain_with_pools_is_a_gateway() {
    let rig = rig();
    rig.account("alice").await;
    rig.account("bob").await;
    let mut bob = Phone::of(&rig, "bob", "d");
    bob.register(&[contact("sip:bob@192.0.2.2")]).await;
    let mut alice = Phone::of(&rig, "alice", "d");
    let allocate =
        |uri: &str, from: &Phone| RouteRequest { method: "ALLOCATE".to_owned(), ..from.route_request(uri) };
    assert_eq!(status(&alice.send_route(allocate("sip:d", &alice)).await), 407);
    let request = allocate("sip:d", &alice);
    let planned = alice.route_as(request).await;
    assert!(matches!(planned.plan, Some(Plan::Lend(_))) && planned.identity == "sip:alice@d", "{planned:?}");
    let request = allocate("sip:bob@d", &alice);
    assert_eq!(targets(&alice.route_as(request).await), [vec!["sip:bob@192.0.2.2"]]);

    let without = Rig::new();
    let nobody = Phone::of(&without, "x", "open");
    assert_eq!(status(&nobody.send_route(allocate("sip:open", &nobody)).await), 501);
}

/// The rpcs of an application: a repeated request id gives what it gave, what was given back is not called, and lists have pages.
#[tokio::test]
async fn numbers_are_listed_and_given_back() {
    let rig = rig();
    let replica = rig.registrar();
    let of_app = |request_id: &str| AllocateRequest {
        requester: "crm".to_owned(),
        ask: String::new(),
        request_id: request_id.to_owned(),
        ..wish("")
    };
    let first = lent(replica, of_app("r1")).await;
    assert_eq!(lent(&rig.replicas[1], of_app("r1")).await, first);
    let reused = AllocateRequest { allocate_for: String::new(), ..of_app("r1") };
    assert_eq!(replica.allocate(Request::new(reused)).await.unwrap_err().code(), Code::AlreadyExists);
    let second = lent(replica, of_app("r2")).await;
    let third = lent(replica, wish("sip")).await;
    lent(replica, AllocateRequest { allocate_for: String::new(), ..wish("default") }).await;

    let list = async |pool: &str, requester: &str, page_size, after: &str| {
        let (pool, requester, after) = (pool.to_owned(), requester.to_owned(), after.to_owned());
        let request = ListLentRequest { pool, requester, page_size, after };
        let page = replica.list_lent(Request::new(request)).await.unwrap().into_inner();
        let shown = |lent: &cluster_api::registrar::v1::LentNumber| format!("{} {}", lent.pool, lent.number);
        (page.numbers.iter().map(shown).collect::<Vec<_>>(), page.more)
    };
    let mut mine = [&first, &second].map(|number| format!("illinois {number}"));
    mine.sort_unstable();
    assert_eq!(list("", "crm", 10, "").await, (mine.to_vec(), false));
    let mut all = [&first, &second, &third].map(|number| format!("illinois {number}")).to_vec();
    all.sort_unstable();
    all.push("others +13235554258".to_owned());
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (page, more) = list("", "", 1, &after).await;
        after = page[0].clone();
        seen.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(seen, all);
    assert_eq!(list("others", "", 10, "").await.0, ["others +13235554258"]);

    let give_back = |request_id: &str, number: &str| {
        Request::new(ReleaseRequest { request_id: request_id.to_owned(), number: number.to_owned() })
    };
    replica.release(give_back("g1", &format!("tel:{first}"))).await.unwrap();
    rig.replicas[1].release(give_back("g1", &format!("tel:{first}"))).await.unwrap();
    assert_eq!(replica.release(give_back("g2", &first)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(replica.release(give_back("", "+4930")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(replica.release(give_back("", "x")).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(status(&call(replica, &first, "call-1").await), 404);
    assert_eq!(list("", "crm", 10, "").await.0.len(), 1);
}

/// Two replicas never lend one number twice, nor lead two calls by one.
#[tokio::test]
async fn replicas_lend_each_number_once_and_lead_one_call() {
    let rig = rig();
    let borrowed = futures_util::future::join_all((0..10).map(|number| {
        let wish = AllocateRequest { requester: format!("user-{number}"), ..wish(&number.to_string()) };
        lent(&rig.replicas[number % 2], wish)
    }));
    let numbers = borrowed.await;
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 10, "{numbers:?}");
    let calls = (0..6).map(|call| {
        let (replica, number) = (&rig.replicas[call % 2], &numbers[0]);
        async move { status(&self::call(replica, number, &format!("call-{call}")).await) }
    });
    let mut answers = futures_util::future::join_all(calls).await;
    answers.sort_unstable();
    assert_eq!(answers, [0, 404, 404, 404, 404, 404]);
}

/// What is not committed is not said: while the store is away nothing is lent, and nothing was.
#[tokio::test]
async fn nothing_is_lent_without_the_store() {
    let rig = rig();
    let down = |is| rig.store.hook.is_down.store(is, std::sync::atomic::Ordering::SeqCst);
    down(true);
    assert_eq!(
        rig.registrar().allocate(Request::new(wish("1"))).await.unwrap_err().code(),
        Code::Unavailable
    );
    assert_eq!(status(&call(rig.registrar(), "+13125550100", "c").await), 503);
    down(false);
    let page =
        rig.registrar().list_lent(Request::new(ListLentRequest { page_size: 9, ..Default::default() }));
    assert_eq!(page.await.unwrap().into_inner().numbers, []);
}
