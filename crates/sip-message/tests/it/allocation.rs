//! The way of a message through the edge allocates nothing.

#[path = "../../examples/forward_speed/forward.rs"]
mod forward;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message};

use crate::INVITE;

#[test]
fn parsing_reading_and_forwarding_an_invite_allocates_nothing() {
    let datagram = Bytes::from_static(forward::INVITE.as_bytes());
    assert_eq!(datagram.len(), 560);
    let limits = Limits::default();
    let mut out = Vec::with_capacity(2048);
    let count = allocations(|| {
        forward::forward(datagram.clone(), &limits, &mut out);
    });
    assert_eq!(count, 0);

    let forwarded = Message::parse(out.into(), &limits).unwrap();
    let vias: Vec<_> = forwarded.vias().map(Result::unwrap).collect();
    assert_eq!((vias.len(), vias[0].host), (2, "192.0.2.1"));
    assert_eq!(forwarded.max_forwards(), Ok(Some(69)));
    assert!(forwarded.record_routes().next().unwrap().unwrap().is_loose_route());
    assert!(forward::INVITE.ends_with(std::str::from_utf8(forwarded.body()).unwrap()));
}

#[test]
fn noting_the_source_in_the_topmost_via_allocates_nothing() {
    let message = Message::parse(Bytes::from_static(forward::INVITE.as_bytes()), &Limits::default()).unwrap();
    let mut out = Vec::with_capacity(2048);
    for source in ["192.0.2.101", "2001:db8::9"] {
        out.clear();
        let count = allocations(|| {
            message.edit().mark_received(source.parse().unwrap(), 4040).write_to(&mut out).unwrap();
        });
        assert_eq!(count, 0);
        let marked = Message::parse(Bytes::copy_from_slice(&out), &Limits::default()).unwrap();
        let via = marked.top_via().unwrap();
        assert_eq!((via.received, via.rport), (Some(source), sip_message::Rport::Port(4040)));
    }
}

#[test]
fn folds_compact_names_and_every_routing_header_are_read_without_an_allocation() {
    let datagram = Bytes::from_static(INVITE.as_bytes());
    let count = allocations(|| {
        let message = Message::parse(datagram.clone(), &Limits::default()).unwrap();
        assert_eq!(
            message.record_routes().filter(|route| route.as_ref().unwrap().is_loose_route()).count(),
            2
        );
        assert_eq!(message.contacts().filter_map(Result::ok).count(), 1);
        assert!(message.from().unwrap().uri().unwrap().equivalent(&message.from().unwrap().uri().unwrap()));
        assert_eq!(message.named("x-foo").count(), 1);
        assert_eq!(message.clone().option_tags(HeaderId::Supported).count(), 0);
    });
    assert_eq!(count, 0);
}

/// The counter counts: without this the tests above could not fail.
#[test]
fn an_allocation_is_noticed() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1)))), 1);
}

/// How often this thread asks for memory while `work` runs.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system allocator unchanged; the counter is a plain cell
// without a destructor, so it can be touched at any time in a thread's life.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
