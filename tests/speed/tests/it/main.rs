//! What forwarding costs, as far as it can be counted exactly.

mod linear;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message};
use speed::call::{Call, register};
use speed::{INVITE, forward};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local cell without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: `place` came from `System` with this layout.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = ALLOCATIONS.get();
    let result = work();
    (ALLOCATIONS.get() - before, result)
}

#[test]
fn forwarding_an_invite_allocates_nothing() {
    let (datagram, limits, mut out) =
        (Bytes::from_static(INVITE), Limits::default(), Vec::with_capacity(2048));
    forward(&datagram, &limits, &mut out);
    let (allocations, _) = allocations_of(|| forward(&datagram, &limits, &mut out));
    assert_eq!(allocations, 0);
}

#[test]
fn an_allocation_would_be_seen() {
    let (allocations, kept) = allocations_of(|| vec![1_u8; 10]);
    assert_eq!((allocations, kept.len()), (1, 10));
}

/// MSG-06
#[test]
fn the_forwarded_copy_has_our_headers_in_front_and_everything_else_unchanged() {
    let mut out = Vec::new();
    forward(&Bytes::from_static(INVITE), &Limits::default(), &mut out);
    let forwarded = Message::parse(Bytes::from(out.clone()), &Limits::default()).unwrap();
    assert_eq!(forwarded.all(HeaderId::Via).count(), 2);
    assert_eq!(forwarded.first(HeaderId::RecordRoute), Some(&b"<sip:edge.example.com:5060;lr>"[..]));
    assert_eq!(forwarded.max_forwards().unwrap(), Some(69));
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\r\nX-Order: 17;weird=yes\r\n"), "{text}");
    assert_eq!(
        forwarded.body(),
        Message::parse(Bytes::from_static(INVITE), &Limits::default()).unwrap().body()
    );
}

/// How the messages of a call change on their way is said by the tests of `sip-proxy`; here they must only arrive.
#[test]
fn all_messages_of_a_call_are_passed_on_and_a_register_is_answered() {
    assert!(Call::default().pass_on() > 6 * 300);
    assert!(register(&Limits::default()) > 300);
}

#[test]
fn the_sample_has_the_size_that_the_figures_are_told_for() {
    assert!((550..=620).contains(&INVITE.len()), "{}", INVITE.len());
}
