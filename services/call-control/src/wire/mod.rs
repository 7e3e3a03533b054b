//! Where the contracts of `proto/` meet the engine's own types, field by field.

pub mod effects;
pub mod events;
pub mod public;

use cluster_api::sip::v1 as sip;

use crate::engine::effect::{Body, Header};
use crate::engine::time::Moment;

pub(crate) fn header_out(header: Header) -> sip::Header {
    sip::Header { name: header.name, value: header.value }
}

pub(crate) fn headers_out(headers: Vec<Header>) -> Vec<sip::Header> {
    headers.into_iter().map(header_out).collect()
}

pub(crate) fn headers_in(headers: Vec<sip::Header>) -> Vec<Header> {
    headers.into_iter().map(|header| Header::new(&header.name, header.value)).collect()
}

fn body_out(body: Body) -> sip::Body {
    sip::Body {
        content_type: body.content_type,
        content_disposition: body.content_disposition,
        content: body.content.into(),
    }
}

fn body_in(body: sip::Body) -> Body {
    Body {
        content_type: body.content_type,
        content_disposition: body.content_disposition,
        content: body.content.into(),
    }
}

/// A moment as a timestamp; 0, which stands for "not yet", as none.
pub(crate) fn timestamp(millis: u64) -> Option<prost_types::Timestamp> {
    let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
    // Below 1000 ms, so below 10^9 ns.
    let nanos = (millis % 1000) as i32 * 1_000_000;
    (millis > 0).then_some(prost_types::Timestamp { seconds, nanos })
}

/// A timestamp as a moment; what is absent or before 1970 as 0.
pub(crate) fn moment(timestamp: Option<&prost_types::Timestamp>) -> Moment {
    let millis = timestamp.map_or(0, |timestamp| {
        let seconds = u64::try_from(timestamp.seconds).unwrap_or(0);
        let nanos = u64::try_from(timestamp.nanos).unwrap_or(0);
        seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
    });
    Moment::from_millis(millis)
}
