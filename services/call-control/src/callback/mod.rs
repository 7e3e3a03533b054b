//! Callbacks: calls that are made as soon as a party is free (LAD-6).
//!
//! A callback is a record in the store and a pure function over it ([`machine`]). Any replica takes anything that happens to one: it
//! loads the record, steps it, commits record and due time together, and then sends the request or dials the call that the record
//! names ([`run`]). What a replica did not finish, another one finds among the due work. The call of an attempt lives in the same
//! partition, and its commits bring the callback up when it is connected or over.
//!
//! [`called_in`] is who asks for one with a phone, [`busy`] what Carillon knows of who is in a call; [`send`] are the requests, [`notify`] what phones tell.

mod busy;
mod called_in;
pub mod machine;
mod notify;
mod run;
mod send;

use std::collections::HashSet;

use parking_lot::Mutex;

pub use self::run::CallbackError;
use crate::config::Config;
use crate::engine::call::{Flow, NewCall};
use machine::record::Callback;

/// Key of a call's metadata that names its callback.
pub const METADATA: &str = "callback_id";

/// What a replica remembers of callbacks beside the store.
#[derive(Default)]
pub struct Callbacks {
    /// Requests that it has under way: callback and number.
    sending: Mutex<HashSet<(String, u32)>>,
    busy: busy::Snapshot,
}

/// The call of the latest attempt: the same from whichever replica.
pub fn call_of(callback: &Callback, config: &Config) -> NewCall {
    NewCall {
        call_id: callback.call_id.clone(),
        flow: Flow::Auto,
        from: callback.from.clone(),
        to: callback.to.clone(),
        policy: config.policy(),
        headers: Vec::new(),
        metadata: [(METADATA.to_owned(), callback.callback_id.clone())].into(),
        seed: callback.derived(&format!("seed {}", callback.attempts)).to_vec(),
        callback_id: callback.callback_id.clone(),
    }
}
