//! What those outside our domains are not told of the way of a request: History-Info by RFC 7044 10.1.2, Diversion in the same measure.
//!
//! | entry or Diversion | is not told outside when |
//! |---|---|
//! | of one of our domains | Privacy of the message has `history`, `header` or `session` |
//! | of anybody | its writer marked it, by `Privacy=history` within the URI (10.1.1) |
//!
//! `Privacy: history` has been obeyed then, and is taken out (RFC 3323 5). A trunk is outside; it gets Diversion with its URI, by which
//! forwarded calls are charged, and with the word that it is to be shown to nobody (RFC 5806 3).

use sip_message::{Edit, HeaderId, Message, NameAddr, Uri};
use sip_proxy::Own;

use super::fork::Fork;
use super::history_entry::anonymous;
use super::target::Target;

/// Does who sends the message want its history told to nobody outside?
pub(super) fn hides_history(message: &Message) -> bool {
    let has = |wanted: &str| values(message).any(|value| value.eq_ignore_ascii_case(wanted.as_bytes()));
    !has("none") && (has("history") || has("header") || has("session"))
}

/// Whether the copy for this target goes to somebody outside our domains: by a URI, and not to where a user of ours is registered.
pub(super) fn leaves(target: &Target, own: &Own) -> bool {
    target.flow.is_empty()
        && target.received.is_none()
        && !matches!(&*target.cause, "contact" | "redirect")
        && target.uri.as_deref().and_then(|uri| Uri::parse(uri).ok()).is_none_or(|uri| !own.is_ours(&uri))
}

/// Hides in the copy for a target what came of a history and is not for those it goes to.
pub(super) fn conceal(edit: &mut Edit<'_>, fork: &Fork, target: &Target, own: &Own) {
    let request = &fork.request;
    if !(request.has(HeaderId::Privacy) || request.has(HeaderId::HistoryInfo)) || !leaves(target, own) {
        return;
    }
    let is_private = hides_history(request);
    let is_hidden = |value: &[u8]| is_told_inside_alone(value, is_private, own);
    if request.values(HeaderId::HistoryInfo).any(is_hidden) {
        edit.remove_all(HeaderId::HistoryInfo);
        for value in request.values(HeaderId::HistoryInfo) {
            match is_hidden(value) {
                true => edit.append(HeaderId::HistoryInfo, anonymous(value)),
                false => edit.append(HeaderId::HistoryInfo, value),
            };
        }
    }
    if is_private && values(request).any(|value| value.eq_ignore_ascii_case(b"history")) {
        edit.remove_all(HeaderId::Privacy);
        let left: Vec<&[u8]> =
            values(request).filter(|value| !value.eq_ignore_ascii_case(b"history")).collect();
        // by itself it says of nothing that it is critical
        if left.iter().any(|value| !value.eq_ignore_ascii_case(b"critical")) {
            edit.append(HeaderId::Privacy, left.join(&b';'));
        }
    }
}

/// Is the value of a History-Info for nobody outside?
pub(super) fn is_told_inside_alone(value: &[u8], is_private: bool, own: &Own) -> bool {
    let Ok(entry) = NameAddr::parse(value) else { return false };
    let Ok(uri) = Uri::parse(entry.uri) else { return false };
    is_private && own.is_ours(&uri) || is_marked(&uri)
}

/// RFC 7044 10.1.1: a header within the URI, escaped as those are.
fn is_marked(uri: &Uri<'_>) -> bool {
    uri.headers.unwrap_or_default().split(|octet| *octet == b'&').any(|header| {
        let header = String::from_utf8_lossy(header).to_ascii_lowercase();
        header.strip_prefix("privacy=").is_some_and(|values| {
            values.replace("%3b", ";").split(';').any(|value| value.trim() == "history")
        })
    })
}

/// The values of Privacy; a comma between them is wrong, and meant so.
fn values(message: &Message) -> impl Iterator<Item = &[u8]> {
    let all = message.all(HeaderId::Privacy);
    all.flat_map(|value| value.split(|octet| matches!(octet, b';' | b','))).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    /// FWD-06
    #[test]
    fn a_message_or_an_entry_says_that_its_history_is_private() {
        let hides = |line: &str| {
            let text = format!("INVITE sip:b@h SIP/2.0\r\n{line}Content-Length: 0\r\n\r\n");
            hides_history(&Message::parse(text.into_bytes().into(), &Limits::default()).unwrap())
        };
        for line in ["Privacy: history\r\n", "Privacy: id; HEADER\r\n", "Privacy: id\r\nPrivacy: session\r\n"]
        {
            assert!(hides(line), "{line}");
        }
        for line in ["", "Privacy: id\r\n", "Privacy: none;history\r\n", "Subject: history\r\n"] {
            assert!(!hides(line), "{line}");
        }
        let is_marked = |uri: &str| is_marked(&Uri::parse(uri.as_bytes()).unwrap());
        for uri in ["sip:b@h?Privacy=history", "sip:b@h?Reason=SIP&privacy=id%3Bhistory"] {
            assert!(is_marked(uri), "{uri}");
        }
        for uri in
            ["sip:b@h", "sip:privacy=history@h", "sip:b@h?Subject=privacy=history", "sip:b@h?Privacy=id"]
        {
            assert!(!is_marked(uri), "{uri}");
        }
    }
}
