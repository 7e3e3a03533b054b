//! ListCalls: order, pages, filters.

use std::time::Duration;

use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use tonic::Code;

use crate::rig::{Replica, dial_request, reason, single, single_for_days};

async fn pages(replica: &Replica, filter: cc::CallFilter, page_size: i32) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = cc::ListCallsRequest { filter: Some(filter.clone()), page_size, page_token };
        let page = replica.list(request).await.expect("list");
        pages.push(page.calls.into_iter().map(|call| call.call_id).collect());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_list_every_call_once_newest_first() {
    let (replica, _world) = single();
    let mut made = Vec::new();
    for _ in 0..25 {
        made.push(replica.dial(dial_request("ring", "bob")).await.expect("committed").call_id);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    made.reverse();
    let pages = pages(&replica, cc::CallFilter::default(), 10).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(pages.concat(), made);
}

#[tokio::test(start_paused = true)]
async fn filters_choose_by_state_party_and_metadata() {
    let (replica, _world) = single();
    let with_job = |job: &str| cc::DialRequest {
        metadata: [("job".to_owned(), job.to_owned())].into(),
        ..dial_request("ring", "carol")
    };
    let one = replica.dial(with_job("1")).await.expect("committed").call_id;
    let two = replica.dial(with_job("2")).await.expect("committed").call_id;
    let other = replica.dial(dial_request("busy", "dave")).await.expect("committed").call_id;
    replica.wait_for(&one, State::Ringing).await;
    replica.wait_for(&two, State::Ringing).await;
    replica.wait_for(&other, State::Ended).await;

    let list = |filter: cc::CallFilter| async {
        let mut found = pages(&replica, filter, 0).await.concat();
        found.sort();
        found
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let none = cc::CallFilter::default;
    assert_eq!(list(none()).await, sorted(vec![one.clone(), two.clone(), other.clone()]));
    let ringing = cc::CallFilter { states: vec![State::Ringing.into()], ..none() };
    assert_eq!(list(ringing).await, sorted(vec![one.clone(), two.clone()]));
    let ended = cc::CallFilter { states: vec![State::Ended.into()], ..none() };
    assert_eq!(list(ended).await, vec![other.clone()]);
    let carol = cc::CallFilter { party: "sip:carol@example.com".into(), ..none() };
    assert_eq!(list(carol).await, sorted(vec![one.clone(), two]));
    let job = cc::CallFilter { metadata: [("job".to_owned(), "1".to_owned())].into(), ..none() };
    assert_eq!(list(job).await, vec![one]);
    let proxied = cc::CallFilter { kinds: vec![cc::call::Kind::Proxied.into()], ..none() };
    assert_eq!(list(proxied).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn calls_that_ended_long_ago_are_listed_only_when_asked_for() {
    let (replica, _world) = single_for_days();
    let call = replica.dial(dial_request("busy", "bob")).await.expect("committed").call_id;
    replica.wait_for(&call, State::Ended).await;
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(pages(&replica, cc::CallFilter::default(), 0).await.concat(), [""; 0]);
    let ended = cc::CallFilter { states: vec![State::Ended.into()], ..cc::CallFilter::default() };
    assert_eq!(pages(&replica, ended, 0).await.concat(), std::slice::from_ref(&call));
    tokio::time::sleep(Duration::from_secs(23 * 3600)).await;
    assert_eq!(replica.get(&call).await.expect_err("forgotten").code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn bad_page_requests_are_refused() {
    let (replica, _world) = single();
    let request = cc::ListCallsRequest { page_size: -1, ..cc::ListCallsRequest::default() };
    let status = replica.list(request).await.expect_err("negative");
    assert_eq!(status.code(), Code::InvalidArgument);
    let request = cc::ListCallsRequest { page_token: "!".into(), ..cc::ListCallsRequest::default() };
    let status = replica.list(request).await.expect_err("no token");
    assert_eq!(reason(&status), "BAD_PAGE_TOKEN");
    let filter = Some(cc::CallFilter { party: "foo".into(), ..cc::CallFilter::default() });
    let status = replica.list(cc::ListCallsRequest { filter, ..Default::default() }).await;
    assert_eq!(reason(&status.expect_err("no URI")), "BAD_URI");
}

/// A page token belongs to the filter that it was made for; the size of pages may change.
#[tokio::test(start_paused = true)]
async fn a_page_token_is_refused_with_another_filter() {
    let (replica, _world) = single();
    for _ in 0..3 {
        replica.dial(dial_request("ring", "bob")).await.expect("committed");
    }
    let with = |party: &str| Some(cc::CallFilter { party: party.into(), ..cc::CallFilter::default() });
    let ask = |party: &str, page_size, page_token: &str| {
        replica.list(cc::ListCallsRequest { filter: with(party), page_size, page_token: page_token.into() })
    };
    let token = ask("sip:bob@example.com", 1, "").await.expect("a page").next_page_token;
    assert_eq!(ask("sip:bob@example.com", 2, &token).await.expect("the rest").calls.len(), 2);
    for party in ["", "sip:ring@example.com"] {
        let status = ask(party, 1, &token).await.expect_err("another filter");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "BAD_PAGE_TOKEN"));
    }
}
