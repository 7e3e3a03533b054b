//! What a forwarded call says about its way: Diversion, RFC 5806, as most trunks read it.

use sip_message::{Edit, HeaderId, Message, Method};
use sip_proxy::Own;

use super::history_entry::NOBODY;
use super::lineage::Diverted;
use super::privacy;
use super::target::Target;

/// Adds a Diversion for each forwarding that led to this target, the newest on top, above those that came.
pub(crate) fn add(edit: &mut Edit<'_>, request: &Message, target: &Target, own: &Own) {
    let Some(newest) = &target.lineage.diverted else { return };
    if request.method() != Method::Invite {
        return;
    }
    let is_private = privacy::hides_history(request) && privacy::leaves(target, own);
    let is_anonymous = is_private && target.trunk.is_empty() && !target.cause.starts_with("trunk");
    let privacy = if is_private { ";privacy=full" } else { "" };
    let chain: Vec<&Diverted> = newest.chain().collect();
    for diverted in chain.into_iter().rev() {
        let (Some(reason), Ok(from)) = (reason(&diverted.cause), std::str::from_utf8(&diverted.from)) else {
            continue;
        };
        let from = if is_anonymous { NOBODY } else { from };
        edit.push_front_fmt(HeaderId::Diversion, format_args!("<{from}>;reason={reason}{privacy}"));
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
