//! What must hold for every input to `sip-message`.

use bytes::Bytes;
use sip_message::{
    CSeq, CommaList, ContentDisposition, ContentType, Date, Event, Field, Frame, Framer, HeaderId, Join,
    Limits, MAX_URI_BYTES, Message, NameAddr, Params, RAck, Reason, Replaces, RequestBuilder,
    ResponseBuilder, RetryAfter, SessionExpires, SubscriptionState, TargetDialog, Uri, Via, Warning, host_ip,
    percent_decode, percent_encode, quote, standard_reason, unquote,
};

/// A datagram becomes a message or an error, and every view of the message answers.
pub fn datagram(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Some(salvaged) = Message::salvage(bytes.clone(), &Limits::default()) {
        read_everything(&salvaged);
        read_everything(&ResponseBuilder::to(&salvaged, 400).build());
    }
    match Message::parse(bytes, &Limits::default()) {
        Err(error) => assert!(error.offset <= data.len(), "{error} beyond the input"),
        Ok(message) => {
            assert!(data.ends_with(message.body()) || message.has(HeaderId::ContentLength));
            assert_eq!(message.is_request(), message.request_uri().is_some());
            assert_eq!(message.is_request(), message.status().is_none());
            read_everything(&message);
        }
    }
}

/// A byte stream gives the same messages however it is cut. The first byte says into how many
/// pieces, the bytes after it how long each piece is; the rest is the stream.
pub fn stream(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else { return };
    let (sizes, stream) = rest.split_at(usize::from(*count).min(rest.len()));

    let whole = frames(stream, std::iter::once(stream.len()));
    let cut = frames(stream, sizes.iter().map(|size| usize::from(*size) + 1));
    let bytewise = if stream.len() <= 4096 { frames(stream, std::iter::repeat(1)) } else { cut.clone() };
    assert_eq!(whole, cut);
    assert_eq!(whole, bytewise);

    for frame in whole.into_iter().flatten() {
        // A frame holds exactly one message: the parser finds no surplus and no shortage.
        if let Ok(message) = Message::parse(frame.clone(), &Limits::default()) {
            assert_eq!(message.bytes(), &frame);
            assert!(message.has(HeaderId::ContentLength));
        }
    }
}

/// A message that is parsed, written and parsed again is the same message.
pub fn round_trip(data: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data), &Limits::default()) else { return };
    let Ok(copy) = message.edit().finish() else {
        assert!(data.len() > 30_000, "an edit without changes fails only for its size");
        return;
    };
    assert_same(&message, &copy);
    let again = copy.edit().finish().expect("the copy is no larger than itself");
    assert_eq!(again.bytes(), copy.bytes());

    let via = "SIP/2.0/UDP edge.example;branch=z9hG4bKx";
    if let Ok(forwarded) = copy.edit().prepend_via(via).append_named("X-Own", "1").finish() {
        assert_eq!(forwarded.values(HeaderId::Via).next(), Some(via.as_bytes()));
        let back =
            forwarded.edit().remove_first(HeaderId::Via).remove_named("x-own").finish().expect("smaller");
        // Our own name for it may stand in the message too; then all of them are gone.
        if message.named("x-own").next().is_none() {
            assert_eq!(back.bytes(), copy.bytes());
        }
    }
    rebuild(&copy);
}

/// Each typed header and URI alone: no input panics, and what is printed reads back the same.
/// The first byte chooses what the rest is read as.
pub fn headers(data: &[u8]) {
    let Some((which, value)) = data.split_first() else { return };
    match which % 20 {
        0 => uri(value),
        1 => name_addr(value),
        2 => via(value),
        3 => same_text(CSeq::parse(value), CSeq::parse),
        4 => same_text(RAck::parse(value), RAck::parse),
        5 => same_text(SessionExpires::parse(value), SessionExpires::parse),
        6 => same_text(Date::parse(value), Date::parse),
        7 => drop(Event::parse(value).map(|event| assert!(event.matches(&event)))),
        8 => drop(Replaces::parse(value)),
        9 => drop(Join::parse(value)),
        10 => drop(TargetDialog::parse(value)),
        11 => drop(ContentType::parse(value).map(|media| media.accepts("application/sdp"))),
        12 => drop(ContentDisposition::parse(value)),
        13 => drop(Reason::parse(value).map(|reason| (reason.cause(), reason.text().map(drop)))),
        14 => drop(RetryAfter::parse(value)),
        15 => drop(SubscriptionState::parse(value).map(|state| (state.expires(), state.retry_after()))),
        16 => drop(Warning::parse(value).map(|warning| warning.text().len())),
        17 => params(value),
        18 => comma_list(value),
        _ => text_helpers(value),
    }
}

/// The messages of a stream that arrives in pieces; the last element is `None` when the stream broke.
fn frames(stream: &[u8], mut sizes: impl Iterator<Item = usize>) -> Vec<Option<Bytes>> {
    let mut framer = Framer::new(Limits::default());
    let mut frames = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
        let (piece, tail) = rest.split_at(size);
        rest = tail;
        framer.push(piece);
        while let Some(frame) = framer.next() {
            match frame {
                Frame::Message(bytes) => frames.push(Some(bytes)),
                Frame::Ping => frames.push(Some(Bytes::from_static(b"\r\n\r\n"))),
                Frame::Broken { .. } => frames.push(None),
            }
        }
    }
    frames
}

/// The same start line, header lines and body; line ends inside folds may differ, and
/// Content-Length may have been added.
fn assert_same(one: &Message, two: &Message) {
    assert_eq!(one.method_str(), two.method_str());
    assert_eq!(
        (one.request_uri(), one.status(), one.reason()),
        (two.request_uri(), two.status(), two.reason())
    );
    assert_eq!(one.body(), two.body());
    let fields = |message: &Message| message.fields().map(plain).collect::<Vec<_>>();
    let (one, two) = (fields(one), fields(two));
    assert_eq!(one, two[..one.len()]);
    assert!(two[one.len()..].iter().all(|(id, ..)| *id == HeaderId::ContentLength));
}

fn plain(field: Field<'_>) -> (HeaderId, Vec<u8>, Vec<u8>) {
    let value = field.value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).copied().collect();
    (field.id, field.name.to_owned(), value)
}

/// Everything that a received message says can be said again by the builder, if it may be said.
fn rebuild(message: &Message) {
    let Some(uri) = message.request_uri() else { return };
    let Ok(mut builder) = RequestBuilder::new(message.method(), uri) else { return };
    for (id, name, value) in message.fields().map(plain) {
        if id == HeaderId::ContentLength || value.contains(&0) {
            continue;
        }
        let name = String::from_utf8(name).expect("a header name is a token");
        match builder.clone().named(&name, &value) {
            Ok(next) => builder = next,
            Err(error) => {
                assert!(message.bytes().len() > 30_000, "{error}");
                return;
            }
        }
    }
    let built = builder.build();
    let fields = |message: &Message| {
        let fields = message.fields().map(plain);
        fields
            .filter(|(id, _, value)| *id != HeaderId::ContentLength && !value.contains(&0))
            .collect::<Vec<_>>()
    };
    assert_eq!(fields(&built), fields(message));
    assert_eq!(built.body(), b"");
}

fn read_everything(message: &Message) {
    let _ = (message.method(), message.reason(), message.start_line(), message.body_bytes());
    let _ = message.essentials().map(|essentials| essentials.cseq.to_string());
    let _ = (message.expires(), message.max_forwards(), message.rseq(), message.rack(), message.min_se());
    let _ = (message.session_expires(), message.date(), message.retry_after().is_ok());
    let _ = (message.event().is_ok(), message.subscription_state().is_ok(), message.replaces().is_ok());
    let _ = (message.join().is_ok(), message.target_dialog().is_ok(), message.content_disposition().is_ok());
    let _ = (message.media_type().is_ok(), message.accepts("application/sdp"), message.contact_is_star());
    let _ = message.reasons().count();
    for via in message.vias().flatten() {
        let _ = (via.port_or_default(), via.received_ip(), via.host_ip(), via.has_cookie());
    }
    for address in message.contacts().chain(message.routes()).chain(message.record_routes()).flatten() {
        let _ =
            (address.q(), address.expires(), address.instance(), address.reg_id(), address.is_loose_route());
    }
    for field in message.fields() {
        assert_eq!(HeaderId::from_name(field.name), field.id);
        assert!(message.all(field.id).any(|value| value == field.value));
        for value in message.values(field.id).take(300) {
            assert!(value.len() <= field.value.len() || message.all(field.id).count() > 1);
        }
        let _ = message.option_tags(field.id).count();
    }
    if let Some(uri) = message.request_uri() {
        let _ = Uri::parse(uri).map(|uri| uri.aor());
    }
    let _ = message.status().map(standard_reason);
    let _ = format!("{message:?}");
}

fn uri(value: &[u8]) {
    let Ok(uri) = Uri::parse(value) else { return };
    assert_eq!(uri.raw(), value);
    assert!(uri.equivalent(&uri));
    // Bytes above 127 become escapes of three bytes, so a long URI can have a longer normal form.
    if let Some(aor) = uri.aor().filter(|aor| aor.len() <= MAX_URI_BYTES) {
        let normal = Uri::parse(aor.as_bytes()).expect("a normal form is a URI");
        assert_eq!(normal.aor().as_deref(), Some(aor.as_str()), "the normal form is its own");
    }
    let bare = Uri::parse(uri.without_headers()).expect("it is a URI without its headers");
    assert!(bare.headers.is_none());
    for header in uri.request_headers() {
        assert!(!header.value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
    for param in uri.params {
        assert!(uri.has_param(param.name));
    }
    let _ = (uri.host_ip(), uri.to_string());
}

fn name_addr(value: &[u8]) {
    let Ok(address) = NameAddr::parse(value) else { return };
    let _ = (address.q(), address.expires(), address.instance(), address.reg_id(), address.display_name());
    let mut printed = Vec::new();
    address.print(&mut printed);
    assert!(!printed.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
    let back = NameAddr::parse(&printed).expect("what is printed can be read");
    assert_eq!((back.uri, back.tag(), back.bracketed), (address.uri, address.tag(), true));
    assert_eq!(back.params.iter().count(), address.params.iter().count());
}

fn via(value: &[u8]) {
    let Ok(via) = Via::parse(value) else { return };
    let mut printed = Vec::new();
    via.print(&mut printed);
    let back = Via::parse(&printed).expect("what is printed can be read");
    assert_eq!((back.transport, back.host, back.port), (via.transport, via.host, via.port));
    assert_eq!((back.branch.is_some(), back.rport), (via.branch.is_some(), via.rport));
    assert_eq!(back.params.iter().count(), via.params.iter().count());
}

fn params(value: &[u8]) {
    let Ok(params) = Params::parse(value) else { return };
    for param in params {
        assert!(params.has(param.name));
        let _ = (params.text(param.name), params.unquoted(param.name));
    }
}

fn comma_list(value: &[u8]) {
    let values: Vec<_> = CommaList::new(value).collect();
    assert!(values.iter().map(|value| value.len()).sum::<usize>() <= value.len());
    let joined = values.join(&b", "[..]);
    assert_eq!(CommaList::new(&joined).collect::<Vec<_>>(), if joined.is_empty() { vec![] } else { values });
}

fn text_helpers(value: &[u8]) {
    assert_eq!(percent_decode(percent_encode(value).as_bytes()).as_ref(), value);
    let clean: Vec<u8> = value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).copied().collect();
    assert_eq!(unquote(&quote(value)).as_ref(), clean);
    let _ = std::str::from_utf8(value).map(host_ip);
}

fn same_text<T: PartialEq + std::fmt::Debug + std::fmt::Display, E: std::fmt::Debug>(
    value: Result<T, E>,
    parse: impl Fn(&[u8]) -> Result<T, E>,
) {
    if let Ok(value) = value {
        assert_eq!(parse(value.to_string().as_bytes()).expect("what is printed can be read"), value);
    }
}
