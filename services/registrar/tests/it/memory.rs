//! What a binding takes in the memory of an embedded store, counted exactly.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use ambient::{FixedClock, SeededEntropy, WallClock as _};
use cluster_api::{registrar::v1::RegisterContact, sip::v1::Source};
use registrar::{Auth, Config, Deps, DomainConfig, Registrar};
use store::MemoryStore;

use crate::rig::{PASSWORD, Phone, source};

/// The tables by name, of which there are two in each of 16 partitions, are as full as with eight times as many.
const USERS: usize = 12_500;

/// A binding was counted at 575 octets: 121 of them are its record, 137 the event that tells of it, 89 its three names, and the rest
/// finds, orders and expires them. What Kamailio grows by for one, measured from outside, is 850 to 874.
const MOST: isize = 590;

/// REG-01: what an embedded store keeps of a phone stays below what Kamailio keeps, and a refresh adds nothing.
#[tokio::test]
async fn a_binding_takes_no_more_memory_than_it_did_and_a_refresh_takes_none() {
    let registrar = registrar();
    let mut phones: Vec<_> = (0..USERS).map(|number| phone(&registrar, number)).collect();
    // Whatever is made at first use.
    register(&mut phone(&registrar, USERS)).await;
    let before = HELD.get();
    for phone in &mut phones {
        register(phone).await;
    }
    let registered = HELD.get();
    for phone in &mut phones {
        register(phone).await;
    }
    assert_eq!(HELD.get() - registered, 0, "octets that {USERS} refreshes left behind");
    let each = (registered - before) / USERS as isize;
    // Were it far less, something would not have been counted.
    assert!((MOST / 2..=MOST).contains(&each), "a binding takes {each} octets, {MOST} at most");
}

/// One that knows that its store answers from memory, and therefore keeps nothing itself.
fn registrar() -> Registrar {
    let clock = FixedClock::at_unix_seconds(1_800_000_000);
    let store = Arc::new(MemoryStore::new(move || clock.now()));
    let domain =
        DomainConfig { name: "bench.example".to_owned(), auth: Auth::None, ..DomainConfig::default() };
    let deps = Deps { store, entropy: Arc::new(SeededEntropy::new(1)), metrics: telemetry::Metrics::new() };
    Registrar::build(Config { domains: vec![domain], ..Config::default() }, deps).unwrap()
}

/// One that registers as the load generator of the bench does.
fn phone(registrar: &Registrar, number: usize) -> Phone {
    Phone {
        registrar: registrar.clone(),
        user: format!("u{number:06}"),
        domain: "bench.example".to_owned(),
        password: PASSWORD.to_owned(),
        call_id: format!("5f3759df-{number:05}@127.0.0.1"),
        cseq: 1000,
        nonce_count: 0,
        challenge: None,
    }
}

async fn register(phone: &mut Phone) {
    let uri = format!("sip:{}@127.0.0.1:40000", phone.user);
    let contact = RegisterContact { uri, expires: Some(3600), by_uri: true, ..RegisterContact::default() };
    let mut request = phone.request(&[contact]);
    request.source = Some(Source { address: "127.0.0.1".to_owned(), port: 40000, ..source() });
    request.user_agent = "sipload".to_owned();
    assert_eq!(phone.send(request).await.status, 200);
}

thread_local! {
    /// Octets that this thread has and has not given back. The runtime of a test is on the test's thread.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Held;

#[global_allocator]
static ALLOCATOR: Held = Held;

fn count(octets: usize, sign: isize) {
    HELD.set(HELD.get() + sign * octets as isize);
}

// SAFETY: every call is passed on to the system allocator unchanged; the counter is a plain cell without a destructor, so it can
// be touched at any time in a thread's life.
unsafe impl GlobalAlloc for Held {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}
