//! What a forwarded call says about its way: Diversion, RFC 5806, as most trunks read it.

use sip_message::{Edit, HeaderId, Message, Method};
use sip_proxy::Arrived;

use super::target::Target;

/// Adds the Diversion of this forwarding on top of older ones.
pub(crate) fn add(edit: &mut Edit<'_>, request: &Message, arrived: &Arrived, target: &Target) {
    let Some(reason) = reason(&target.cause) else { return };
    if request.method() != Method::Invite {
        return;
    }
    if let Ok(diverted) = std::str::from_utf8(arrived.request_uri(request)) {
        edit.push_front_fmt(HeaderId::Diversion, format_args!("<{diverted}>;reason={reason}"));
    }
}

// RFC 5806 3
fn reason(cause: &str) -> Option<&'static str> {
    match cause {
        "forward-unconditional" => Some("unconditional"),
        "forward-busy" => Some("user-busy"),
        "forward-no-answer" => Some("no-answer"),
        "forward-unreachable" => Some("unavailable"),
        "redirect" => Some("deflection"),
        _ => None,
    }
}
