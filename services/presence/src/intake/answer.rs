//! The answers to phones, and their headers.

use cluster_api::presence::v1::HandleResponse;
use cluster_api::sip::v1::Header;

use crate::engine::allow_events;

/// An answer without more.
pub fn refuse(status: u32) -> HandleResponse {
    HandleResponse { status, ..HandleResponse::default() }
}

/// An answer that says what was wrong.
pub fn refuse_saying(status: u32, reason: &str) -> HandleResponse {
    HandleResponse { reason: reason.to_owned(), ..refuse(status) }
}

/// An answer with one header.
pub fn refuse_with(status: u32, name: &str, value: impl Into<String>) -> HandleResponse {
    HandleResponse { headers: vec![Header::new(name, value)], ..refuse(status) }
}

/// No such package. RFC 6665 4.2.1.1
pub fn bad_event() -> HandleResponse {
    refuse_with(489, "Allow-Events", allow_events())
}

/// Too short a time. RFC 6665 4.2.1.1, RFC 3903 6
pub fn too_brief(least_s: u64) -> HandleResponse {
    refuse_with(423, "Min-Expires", least_s.to_string())
}
