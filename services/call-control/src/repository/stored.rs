//! The call record in its envelope.

use cluster_api::callcontrol::v1 as wire;
use prost::Message as _;
use store::{Cursor, StoreError, Versioned};

use crate::engine::call::Call;
use crate::engine::leg::{Leg, Loan};
use crate::proxied::call::ProxiedCall;
use crate::record;

/// What the store holds about a call.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    /// 1, 2, 3, ...: the etag.
    #[prost(uint64, tag = "1")]
    revision: u64,
    /// The engine's record while anything can still happen.
    #[prost(bytes = "vec", tag = "2")]
    live: Vec<u8>,
    /// The public form afterwards.
    #[prost(message, optional, tag = "3")]
    over: Option<wire::Call>,
    /// A call that edges merely proxy, until it has ended.
    #[prost(message, optional, tag = "4")]
    proxied: Option<ProxiedCall>,
    /// A place in the event log before the first event of the call.
    #[prost(message, optional, tag = "5")]
    begin: Option<Begin>,
    /// Legs of a call that is over which other calls have kept.
    #[prost(message, repeated, tag = "6")]
    moved: Vec<Moved>,
}

/// A leg that another call has kept.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Moved {
    /// The leg here.
    #[prost(string, tag = "1")]
    pub leg_id: String,
    /// The effect that was its INVITE; 0 for none.
    #[prost(uint64, tag = "2")]
    pub effect: u64,
    /// Whether its peer called.
    #[prost(bool, tag = "3")]
    pub is_caller: bool,
    /// The call from which it had come here.
    #[prost(message, optional, tag = "4")]
    pub borrowed: Option<Loan>,
    /// The call that has it.
    #[prost(message, required, tag = "5")]
    pub to: Loan,
}

impl Moved {
    /// The legs of a call that others have kept.
    pub fn of(call: &Call) -> Vec<Moved> {
        let moved = |leg: &Leg| {
            Some(Moved {
                leg_id: leg.leg_id.clone(),
                effect: leg.invite.as_ref().map_or(0, |invite| invite.effect),
                is_caller: leg.incoming.is_some(),
                borrowed: leg.borrowed.clone(),
                to: leg.kept.clone()?,
            })
        };
        call.legs.iter().filter_map(moved).collect()
    }
}

/// A cursor of the event log.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Begin {
    #[prost(uint64, tag = "1")]
    millis: u64,
    #[prost(uint64, tag = "2")]
    number: u64,
}

/// A call as it was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The store's version of the record.
    pub version: u64,
    /// The call's own count of changes.
    pub revision: u64,
    /// A place in the event log of its partition before its first event; `None` in records that do not say.
    pub begin: Option<Cursor>,
    /// Legs that other calls have kept, of a call that is over.
    pub moved: Vec<Moved>,
    /// The call.
    pub known: Known,
}

/// What is known about a call.
#[derive(Clone, Debug)]
pub enum Known {
    /// The engine may still step it.
    Live(Box<Call>),
    /// Edges proxy it and report.
    Proxied(Box<ProxiedCall>),
    /// Nothing can happen to it any more.
    Over(Box<wire::Call>),
}

impl Loaded {
    /// The call as applications see it.
    pub fn public(&self) -> wire::Call {
        match &self.known {
            Known::Live(call) => crate::wire::public::call(call, self.revision),
            Known::Proxied(proxied) => proxied.call.clone(),
            Known::Over(call) => wire::Call::clone(call),
        }
    }
}

pub(super) fn read(found: Versioned) -> Result<Loaded, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt { reason };
    let envelope = Envelope::decode(found.value).map_err(|error| corrupt(error.to_string()))?;
    let known = match (envelope.over, envelope.proxied) {
        (Some(call), _) => Known::Over(Box::new(call)),
        (None, Some(proxied)) => Known::Proxied(Box::new(proxied)),
        (None, None) => {
            let call = record::decode(&envelope.live).map_err(|error| corrupt(error.to_string()))?;
            Known::Live(Box::new(call))
        }
    };
    let begin = envelope.begin.map(|Begin { millis, number }| Cursor { millis, number });
    Ok(Loaded { version: found.version, revision: envelope.revision, begin, moved: envelope.moved, known })
}

/// What every record of a call has, whatever is known about the call.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) revision: u64,
    pub(super) begin: Option<Cursor>,
}

impl Head {
    fn envelope(self) -> Envelope {
        let begin = self.begin.map(|Cursor { millis, number }| Begin { millis, number });
        Envelope { revision: self.revision, begin, ..Envelope::default() }
    }

    pub(super) fn live(self, call: &Call) -> Vec<u8> {
        Envelope { live: record::encode(call), ..self.envelope() }.encode_to_vec()
    }

    pub(super) fn over(self, call: wire::Call, moved: Vec<Moved>) -> Vec<u8> {
        Envelope { over: Some(call), moved, ..self.envelope() }.encode_to_vec()
    }

    pub(super) fn proxied(self, proxied: ProxiedCall) -> Vec<u8> {
        Envelope { proxied: Some(proxied), ..self.envelope() }.encode_to_vec()
    }
}
