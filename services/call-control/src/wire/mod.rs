//! Where the contracts of `proto/` meet the engine's own types, field by field.

pub mod effects;
pub mod events;
pub mod public;
pub mod roster;

use cluster_api::convert;
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
    (millis > 0).then(|| convert::timestamp(Moment::from_millis(millis).into()))
}

/// A timestamp as a moment; what is absent or before 1970 as 0.
pub(crate) fn moment(timestamp: Option<&prost_types::Timestamp>) -> Moment {
    let time = timestamp.and_then(|timestamp| convert::system_time("time", *timestamp).ok());
    time.map_or(Moment::default(), Moment::from)
}
