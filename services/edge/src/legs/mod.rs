//! The carrier of call-control's legs: its effects onto the wire, and what happens there back to it as numbered events.
//!
//! - `carry.rs`: one effect; known ones are confirmed and do nothing more.
//! - `begin.rs`: a request whose plan hands it to call-control.
//! - `absent.rs`: callers whose connection ends before they are answered.
//! - `incoming.rs`: requests of the peer inside a leg's dialog, ACK and CANCEL.
//! - `success.rs`: what a user agent owes to a 2xx: repeating its own until the ACK comes, repeating the ACK for the peer's.
//! - `reliable.rs`: what it owes to a reliable provisional response of its own: repeating it until the PRACK comes.
//! - `outbox.rs`: the queue of one call's events; `delivery.rs`: how they reach call-control.
//! - `orphan.rs`: the 2xx of a call that nobody knows any more.
//! - `service.rs`: the gRPC face.
//!
//! An edge knows nothing of calls: not who talks to whom, nor what an answer means. It keeps for each call what it needs to
//! recognise repetitions, and forgets it when call-control says so or does not know the call.

mod absent;
mod address;
pub(crate) mod begin;
mod call;
mod carry;
mod delivery;
mod incoming;
mod orphan;
mod outbox;
mod reliable;
mod service;
mod success;

use std::sync::Arc;

use cluster_api::callcontrol::v1::DeliverResponse;
use hashbrown::HashMap;
use sip_endpoint::{ServerKey, Transport};
use tonic::Status;

pub(crate) use address::{Address, is_id};
use call::Call;
pub use service::LegsService;

use crate::compose::TlsForm;
use crate::forward::branch_name::{Unique, digest};

/// Everything this edge knows of call-control's calls.
#[derive(Default)]
pub(crate) struct Legs {
    calls: HashMap<Arc<str>, Call>,
    callers: absent::Callers,
}

/// A request of ours on behalf of an effect.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) call_id: Arc<str>,
    pub(crate) leg_id: Arc<str>,
    pub(crate) effect: u64,
    /// Trunk that the caller named; empty lets the plan decide.
    pub(crate) trunk: Arc<str>,
    /// The party on whose word it is sent, by REFER or 3xx; empty for none.
    pub(crate) referred_by: Arc<str>,
    /// Whether the peer talks to the focus of a conference.
    pub(crate) in_conference: bool,
    /// Token of the flow by which the sender of the last response is reached.
    pub(crate) flow: String,
    /// The Contact says that a mixer is behind it.
    pub(crate) is_focus: bool,
}

/// What a timer of the legs means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Repeat a 2xx, or give up waiting for its ACK.
    Repeat(Arc<str>, ServerKey),
    /// Repeat a reliable provisional response with this RSeq, or give up waiting for its PRACK.
    RepeatProvisional(Arc<str>, ServerKey, u32),
    /// Look whether a caller without a connection is back.
    Absent(Arc<str>, ServerKey),
    /// Offer events again.
    Deliver(Arc<str>),
    /// Forget a call whose legs were released.
    Forget(Arc<str>),
}

/// Results of asynchronous work for the legs.
pub(crate) enum Completion {
    /// Events of a call were offered to call-control.
    Delivered(Arc<str>, Result<DeliverResponse, Status>),
}

impl Legs {
    /// A fork of one of our requests is over.
    pub(crate) fn end_request(&mut self, request: &Request) {
        if let Some(call) = self.calls.get_mut(&request.call_id) {
            call.invites.remove(&request.effect);
        }
    }

    /// A server transaction is over.
    pub(crate) fn forget_caller(&mut self, key: ServerKey) {
        self.callers.forget(key);
    }

    /// A server transaction of a leg is over.
    pub(crate) fn forget_served(&mut self, call: &str, key: ServerKey) {
        if let Some(call) = self.calls.get_mut(call)
            // A 2xx that waits for its ACK outlives its transaction.
            && call.served.get(&key).is_some_and(|served| served.unacknowledged.is_none())
        {
            call.served.remove(&key);
        }
    }

    /// A request of the peer that a leg has not answered, or whose answer is not acknowledged.
    pub(crate) fn request_of(&self, call: &str, key: ServerKey) -> Option<&sip_message::Message> {
        Some(&self.calls.get(call)?.served.get(&key)?.request)
    }

    /// How many calls have a leg here.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Calls with something under way here: what a drain waits for.
    pub(crate) fn unfinished(&self) -> usize {
        self.calls.values().filter(|call| call.is_busy()).count()
    }
}

impl Request {
    /// The branch parameter's own part.
    pub(crate) fn branch(&self, branch: u32, attempt: u32) -> Unique {
        Unique::Derived { origin: digest(self.call_id.as_bytes()), number: self.effect, branch, attempt }
    }

    /// The Contact by which the peer reaches this leg through any edge.
    pub(crate) fn contact(&self, transport: Transport, tls: TlsForm, sent_by: &str, mark: &str) -> String {
        let address = Address { call_id: self.call_id.clone(), leg_id: self.leg_id.clone() };
        match self.in_conference {
            true => address.focus_contact(transport, tls, sent_by, mark),
            false => address.contact(transport, tls, sent_by, mark, self.is_focus),
        }
    }
}
