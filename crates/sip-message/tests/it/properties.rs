//! Round trips over generated messages, values and streams.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sip_message::{
    BuildError, CSeq, Date, Frame, Framer, HeaderId, Limits, Message, Method, NameAddr, RAck, Refresher,
    RequestBuilder, ResponseBuilder, SessionExpires, Uri, Via, is_token, quote,
};

proptest! {
    /// MSG-02, MSG-03, MSG-04, MSG-06
    #[test]
    fn a_message_is_read_back_as_it_was_written(request in request()) {
        let message = Message::parse(request.text().into(), &Limits::default()).unwrap();
        prop_assert_eq!(message.method_str(), request.method.as_str());
        prop_assert_eq!(message.request_uri(), Some(request.uri.as_bytes()));
        prop_assert_eq!(message.body(), &request.body[..]);
        let read: Vec<_> = message.fields().map(|field| (field.name.to_vec(), unfold(field.value))).collect();
        let written: Vec<_> = request.lines.iter().map(|line| (line.name.clone().into_bytes(), line.unfolded())).collect();
        prop_assert_eq!(&read[..written.len()], &written[..]);

        let copy = message.edit().finish().unwrap();
        prop_assert_eq!(copy.bytes(), message.bytes());
    }

    /// TRN-07: the same messages, however the stream is cut.
    #[test]
    fn a_cut_stream_gives_the_same_messages(
        requests in vec(request(), 1..5),
        pings in vec(any::<bool>(), 5),
        sizes in vec(1usize..200, 1..60),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (request, ping) in requests.iter().zip(pings) {
            if ping {
                stream.extend_from_slice(b"\r\n\r\n");
                expected.push(Frame::Ping);
            }
            stream.extend(request.text());
            expected.push(Frame::Message(request.text().into()));
        }
        let mut framer = Framer::new(Limits::default());
        let mut frames = Vec::new();
        let mut rest = &stream[..];
        let mut sizes = sizes.into_iter().cycle();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            framer.push(piece);
            rest = tail;
            frames.extend(std::iter::from_fn(|| framer.next()));
        }
        prop_assert_eq!(frames, expected);
    }

    /// MSG-06: what a proxy puts in front can be taken off again without a trace.
    #[test]
    fn a_forwarded_message_is_the_same_apart_from_our_lines(request in request(), hops in 1u32..100) {
        let message = Message::parse(request.text().into(), &Limits::default()).unwrap();
        let forwarded = message
            .edit()
            .prepend_via("SIP/2.0/UDP edge;branch=z9hG4bKown")
            .push_front(HeaderId::RecordRoute, "<sip:edge;lr>")
            .replace_first_number(HeaderId::MaxForwards, hops)
            .finish()
            .unwrap();
        prop_assert_eq!(forwarded.values(HeaderId::Via).count(), message.values(HeaderId::Via).count() + 1);
        prop_assert_eq!(forwarded.first_str(HeaderId::MaxForwards), Some(&hops.to_string()[..]));
        let back = forwarded
            .edit()
            .remove_first(HeaderId::Via)
            .remove_first(HeaderId::RecordRoute)
            .remove_all(HeaderId::MaxForwards)
            .finish()
            .unwrap();
        let plain = message.edit().remove_all(HeaderId::MaxForwards).finish().unwrap();
        prop_assert_eq!(back.bytes(), plain.bytes());
    }

    /// T19: whatever the value, the builder refuses it or the message has exactly that one line more.
    #[test]
    fn a_built_header_never_becomes_two(name in ".{0,12}", value in vec(any::<u8>(), 0..40)) {
        let builder = RequestBuilder::new(Method::Info, "sip:a@h").unwrap();
        match builder.named(&name, &value) {
            Ok(builder) => {
                let message = builder.build();
                prop_assert_eq!(message.fields().count(), 2, "one line and Content-Length");
                prop_assert_eq!(message.named(&name).next().map(unfold), Some(unfold(&value)));
            }
            Err(BuildError::Name(_)) => prop_assert!(!is_token(name.as_bytes())),
            Err(BuildError::Value { offset, .. }) => prop_assert!(matches!(value[offset], b'\r' | b'\n' | 0)),
            Err(error) => prop_assert_eq!(error, BuildError::Reserved(HeaderId::ContentLength)),
        }
    }

    /// MSG-13: an answer is for the same transaction and dialog.
    #[test]
    fn a_response_names_the_request_that_it_answers(request in request(), status in 100u16..700) {
        let message = Message::parse(request.text().into(), &Limits::default()).unwrap();
        let response = ResponseBuilder::to(&message, status).to_tag("own").unwrap().build();
        prop_assert_eq!(response.status(), Some(status));
        for id in [HeaderId::Via, HeaderId::From, HeaderId::CallId, HeaderId::CSeq] {
            let copied: Vec<_> = response.all(id).map(unfold).collect();
            prop_assert_eq!(copied, message.all(id).map(unfold).collect::<Vec<_>>());
        }
    }

    #[test]
    fn typed_values_survive_their_own_text(
        number in 0u32..1 << 31,
        rseq in 1u32..,
        method in method(),
        seconds in any::<u32>(),
        refresher in select(vec![None, Some(Refresher::Uac), Some(Refresher::Uas)]),
        unix_seconds in -62_135_596_800i64..253_402_300_800,
    ) {
        let cseq = CSeq { number, method: method.clone() };
        prop_assert_eq!(CSeq::parse(cseq.to_string().as_bytes()), Ok(cseq));
        let rack = RAck { rseq, cseq: number, method };
        prop_assert_eq!(RAck::parse(rack.to_string().as_bytes()), Ok(rack));
        let session = SessionExpires { seconds, refresher };
        prop_assert_eq!(SessionExpires::parse(session.to_string().as_bytes()), Ok(session));
        let date = Date { unix_seconds };
        prop_assert_eq!(Date::parse(date.to_string().as_bytes()), Ok(date));
    }

    /// MSG-04, MSG-09
    #[test]
    fn an_address_survives_being_printed(display in "[ -~\u{e9}\u{5927}]{0,12}", uri in uri(), tag in "[a-z0-9.-]{1,10}") {
        let quoted = String::from_utf8(quote(display.as_bytes())).unwrap();
        let text = format!("{quoted} <{uri}> ;\r\n  tag = {tag};lr");
        let address = NameAddr::parse(text.as_bytes()).unwrap();
        let mut printed = Vec::new();
        address.print(&mut printed);
        prop_assert_eq!(String::from_utf8(printed.clone()).unwrap(), format!("{quoted} <{uri}>;tag={tag};lr"));
        let back = NameAddr::parse(&printed).unwrap();
        prop_assert_eq!(back.display_name().into_owned(), display.as_bytes());
        prop_assert_eq!(back.tag(), Some(&tag[..]));
    }

    /// MSG-04
    #[test]
    fn a_via_survives_being_printed(
        transport in "(UDP|TCP|TLS|WS|WSS|X-[a-z]{1,5})",
        host in host(),
        port in proptest::option::of(any::<u16>()),
        branch in "z9hG4bK[A-Za-z0-9.-]{1,30}",
    ) {
        let port = port.map_or(String::new(), |port| format!(" : {port}"));
        let text = format!("SIP / 2.0 / {transport}\r\n\t{host}{port} ; rport ; branch={branch}");
        let via = Via::parse(text.as_bytes()).unwrap();
        let mut printed = Vec::new();
        via.print(&mut printed);
        let back = Via::parse(&printed).unwrap();
        prop_assert_eq!((back.transport, back.host, back.port), (via.transport, via.host, via.port));
        prop_assert_eq!((back.branch, back.rport), (Some(&branch[..]), via.rport));
    }

    /// MSG-07, MSG-08
    #[test]
    fn uri_equality_ignores_case_order_escapes_and_unknown_parameters(
        user in "[a-z0-9._-]{1,10}",
        host in host(),
        params in vec(("[a-z]{1,6}x", "[a-z0-9]{1,4}"), 0..4),
    ) {
        let mut params: Vec<_> = params;
        params.sort();
        params.dedup_by(|one, two| one.0 == two.0);
        let written = |params: &[(String, String)]| {
            params.iter().map(|(name, value)| format!(";{name}={value}")).collect::<String>()
        };
        let plain = format!("sip:{user}@{host}{}", written(&params));
        params.reverse();
        let escaped: String = user.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let other = format!("SIP:{escaped}@{}{};more", host.to_uppercase(), written(&params).to_uppercase());
        let (one, two) = (Uri::parse(plain.as_bytes()).unwrap(), Uri::parse(other.as_bytes()).unwrap());
        prop_assert!(one.equivalent(&two) && two.equivalent(&one));
        prop_assert_eq!(one.aor(), two.aor());
        let steered = format!("{plain};transport=tcp");
        let steered = Uri::parse(steered.as_bytes()).unwrap();
        prop_assert!(!one.equivalent(&steered) && !steered.equivalent(&one));
        prop_assert_eq!(steered.aor(), one.aor());
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Message::parse(Bytes::copy_from_slice(&bytes), &Limits::default());
        let _ = Message::salvage(bytes.into(), &Limits::default());
    }
}

#[derive(Clone, Debug)]
struct Request {
    method: String,
    uri: String,
    lines: Vec<Line>,
    body: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Line {
    name: String,
    /// White space around the colon.
    gap: String,
    value: Vec<String>,
    /// What stands between the pieces of the value: a space, or a fold.
    joint: String,
}

impl Request {
    fn text(&self) -> Vec<u8> {
        let mut text = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        for line in &self.lines {
            text.push_str(&format!(
                "{}{}:{} {}\r\n",
                line.name,
                line.gap,
                line.gap,
                line.value.join(&line.joint)
            ));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        [text.as_bytes(), &self.body].concat()
    }
}

impl Line {
    fn unfolded(&self) -> Vec<u8> {
        unfold(self.value.join(&self.joint).as_bytes())
    }
}

fn request() -> impl Strategy<Value = Request> {
    let names = vec![
        "Via",
        "v",
        "VIA",
        "From",
        "f",
        "To",
        "t",
        "Call-ID",
        "i",
        "CSeq",
        "Contact",
        "m",
        "Route",
        "Subject",
        "s",
        "Max-Forwards",
        "X-Foo",
        "x-bar!",
        "Record-Route",
        "Supported",
        "k",
    ];
    let value = vec("[!-~]([ -~]{0,15}[!-~])?", 0..4);
    let line = (select(names), "[ \t]{0,2}", value, "( |\r\n |\r\n\t )")
        .prop_map(|(name, gap, value, joint)| Line { name: name.to_owned(), gap, value, joint });
    (method(), uri(), vec(line, 0..12), vec(any::<u8>(), 0..40))
        .prop_map(|(method, uri, lines, body)| Request { method: method.to_string(), uri, lines, body })
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        select(Method::known().collect::<Vec<_>>()),
        "[A-Za-z.!%*_+`'~-]{1,12}".prop_map(|name| Method::from(&name[..]))
    ]
}

fn uri() -> impl Strategy<Value = String> {
    prop_oneof![
        (
            "sips?",
            "[a-zA-Z0-9&=+$,;?/._-]{1,10}",
            host(),
            "(:[1-9][0-9]{0,3})?",
            "(;lr|;transport=tcp|;x=%41)?"
        )
            .prop_map(|(scheme, user, host, port, params)| format!("{scheme}:{user}@{host}{port}{params}")),
        "tel:\\+[0-9]{3,12}",
        "[a-z]{4,8}:[a-z0-9/.]{1,20}",
    ]
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,8}(\\.[a-z]{2,5}){0,2}",
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ]
}

/// The value with each fold as a space.
fn unfold(value: &[u8]) -> Vec<u8> {
    let text: Vec<u8> =
        value.iter().map(|byte| if matches!(byte, b'\r' | b'\n' | b'\t') { b' ' } else { *byte }).collect();
    let mut words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default().to_vec();
    words.fold(first, |mut sum, word| {
        sum.push(b' ');
        sum.extend_from_slice(word);
        sum
    })
}
