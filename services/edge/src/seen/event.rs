//! A message as an event of a proxied call.

use cluster_api::callcontrol::v1::ProxiedCallEvent;
use cluster_api::callcontrol::v1::proxied_call_event::Type;
use prost_types::Duration;
use sip_message::{HeaderId, Message, NameAddr, Uri};

use super::what::Party;
use crate::report::{contact, text, texts};

/// What a request of one side says of the call: both names, as the caller's side has them.
pub(crate) fn of_request(request: &Message, sender: Party, kind: Type) -> ProxiedCallEvent {
    let (from, to) = match sender {
        Party::Caller => (request.from(), request.to()),
        Party::Callee => (request.to(), request.from()),
    };
    let uri = |address: &Result<NameAddr<'_>, _>| {
        address.as_ref().map_or(String::new(), |address: &NameAddr<'_>| text(address.uri))
    };
    let tag = |address: &Result<NameAddr<'_>, _>| {
        let tag = address.as_ref().ok().and_then(|address: &NameAddr<'_>| address.tag());
        tag.unwrap_or_default().to_owned()
    };
    let cseq = request.cseq().map_or(0, |cseq| cseq.number);
    let (from_cseq, to_cseq) = match sender {
        Party::Caller => (cseq, 0),
        Party::Callee => (0, cseq),
    };
    let display = from.as_ref().ok().map(NameAddr::display_name);
    ProxiedCallEvent {
        r#type: kind.into(),
        sip_call_id: request.call_id().map_or(String::new(), text),
        from_uri: uri(&from),
        from_display: display.map_or(String::new(), |name| text(&name)),
        from_tag: tag(&from),
        to_uri: uri(&to),
        to_tag: tag(&to),
        from_cseq,
        to_cseq,
        ..ProxiedCallEvent::default()
    }
}

/// Adds what the answer to that request says.
pub(crate) fn answered(event: &mut ProxiedCallEvent, response: &Message, sender: Party) {
    event.sip_status = response.status().unwrap_or_default().into();
    event.sip_reason = text(response.reason());
    if event.to_tag.is_empty() {
        event.to_tag = response.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
    }
    let interval = response.session_expires().ok().flatten();
    event.session_interval = interval.map(|interval| Duration { seconds: interval.seconds.into(), nanos: 0 });
    let contact = contact(response);
    match sender {
        Party::Caller => event.to_contact = contact,
        Party::Callee => event.from_contact = contact,
    }
}

/// Adds where the sender of a request that can move it is.
pub(super) fn moved(event: &mut ProxiedCallEvent, request: &Message, sender: Party) {
    let contact = contact(request);
    match sender {
        Party::Caller => event.from_contact = contact,
        Party::Callee => event.to_contact = contact,
    }
}

/// Adds the ways from this tier to both sides. In a response Record-Route has the callee's neighbour on top.
pub(crate) fn routes(event: &mut ProxiedCallEvent, response: &Message, is_ours: impl Fn(&Uri<'_>) -> bool) {
    let all = texts(response, HeaderId::RecordRoute);
    let ours = |value: &String| {
        let uri = NameAddr::parse(value.as_bytes()).ok().and_then(|address| Uri::parse(address.uri).ok());
        uri.is_some_and(|uri| is_ours(&uri))
    };
    let Some(first) = all.iter().position(ours) else { return };
    let last = all[first + 1..].iter().rposition(ours).map_or(first, |more| first + 1 + more);
    event.from_route = all[first..].to_vec();
    event.to_route = all[..=last].iter().rev().cloned().collect();
}

/// The text of the first Reason value that has one, or the value itself.
pub(super) fn reason(message: &Message) -> String {
    let words = message.reasons().find_map(|reason| reason.text().map(|words| text(&words)));
    words.or_else(|| message.first(HeaderId::Reason).map(text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    fn message(first: &str, headers: &str) -> Message {
        let text = format!("{first}\r\n{headers}Content-Length: 0\r\n\r\n");
        Message::parse(text.into_bytes().into(), &Limits::default()).unwrap()
    }

    const NAMES: &str =
        "From: \"A\" <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";

    #[test]
    fn names_are_those_of_the_callers_side_whoever_sends() {
        let request = message("BYE sip:h SIP/2.0", NAMES);
        let by_caller = of_request(&request, Party::Caller, Type::Ended);
        assert_eq!((by_caller.from_uri.as_str(), by_caller.to_tag.as_str()), ("sip:a@x", "2"));
        assert_eq!(by_caller.from_display, "A");
        let by_callee = of_request(&request, Party::Callee, Type::Ended);
        assert_eq!((by_callee.from_uri.as_str(), by_callee.to_tag.as_str()), ("sip:b@x", "1"));
        let counted = |event: &ProxiedCallEvent| (event.from_cseq, event.to_cseq);
        assert_eq!([counted(&by_caller), counted(&by_callee)], [(1, 0), (0, 1)]);
    }

    #[test]
    fn an_answer_says_where_the_callee_is_and_both_ways_from_here() {
        let response = message(
            "SIP/2.0 200 OK",
            &format!(
                "{NAMES}Contact: <sip:b@10.0.0.2>\r\nSession-Expires: 1800;refresher=uac\r\n\
                 Record-Route: <sip:down.example.net;lr>, <sip:us:5060;lr>, <sip:us:5062;lr>\r\n\
                 Record-Route: <sip:up.example.org;lr>\r\n"
            ),
        );
        let mut event = of_request(&message("INVITE sip:h SIP/2.0", NAMES), Party::Caller, Type::Answered);
        answered(&mut event, &response, Party::Caller);
        routes(&mut event, &response, |uri| uri.host == "us");
        assert_eq!(event.to_contact, "sip:b@10.0.0.2");
        assert_eq!(event.session_interval.unwrap().seconds, 1800);
        assert_eq!(
            event.from_route,
            ["<sip:us:5060;lr>", "<sip:us:5062;lr>", "<sip:up.example.org;lr>"],
            "what is between the callee and us is left out"
        );
        assert_eq!(event.to_route, ["<sip:us:5062;lr>", "<sip:us:5060;lr>", "<sip:down.example.net;lr>"]);
    }

    #[test]
    fn the_words_of_a_reason_are_told_or_else_all_of_it() {
        let reason_of = |value: &str| reason(&message("BYE sip:h SIP/2.0", &format!("Reason: {value}\r\n")));
        assert_eq!(reason_of("SIP;cause=200;text=\"Done\""), "Done");
        assert_eq!(reason_of("Q.850;cause=16"), "Q.850;cause=16");
    }
}
