//! The torture messages of RFC 4475 and RFC 5118, each with the outcome that `tests/data/README.md`
//! documents.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use sip_message::{
    Frame, Framer, HeaderFault, HeaderId, Limits, Message, Method, ParseErrorKind, Rport, Scheme, Uri,
};

/// What this crate says about a message.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It parses and its mandatory fields are in order.
    Accepted,
    /// It is no message; a request can be salvaged for its answer.
    Refused(ParseErrorKind),
    /// It parses, but this mandatory header is missing, repeated, malformed or contradicted.
    Faulty(HeaderId),
    /// It parses, but the Request-URI cannot be taken apart.
    BadUri,
}

use Outcome::{Accepted, BadUri, Faulty, Refused};

const RFC4475: [(&str, &str, Outcome); 49] = [
    ("3.1.1.1", "wsinv", Accepted),
    ("3.1.1.2", "intmeth", Accepted),
    ("3.1.1.3", "esc01", Accepted),
    ("3.1.1.4", "escnull", Accepted),
    ("3.1.1.5", "esc02", Accepted),
    ("3.1.1.6", "lwsdisp", Accepted),
    ("3.1.1.7", "longreq", Accepted),
    ("3.1.1.8", "dblreq", Accepted),
    ("3.1.1.9", "semiuri", Accepted),
    ("3.1.1.10", "transports", Accepted),
    ("3.1.1.11", "mpart01", Accepted),
    ("3.1.1.12", "unreason", Accepted),
    ("3.1.1.13", "noreason", Accepted),
    ("3.1.2.1", "badinv01", Faulty(HeaderId::Via)),
    ("3.1.2.2", "clerr", Refused(ParseErrorKind::ShortBody)),
    ("3.1.2.3", "ncl", Refused(ParseErrorKind::ContentLength)),
    ("3.1.2.4", "scalar02", Faulty(HeaderId::CSeq)),
    ("3.1.2.5", "scalarlg", Faulty(HeaderId::CSeq)),
    ("3.1.2.6", "quotbal", Faulty(HeaderId::To)),
    ("3.1.2.7", "ltgtruri", Refused(ParseErrorKind::RequestUri)),
    ("3.1.2.8", "lwsruri", Refused(ParseErrorKind::RequestUri)),
    ("3.1.2.9", "lwsstart", Refused(ParseErrorKind::RequestUri)),
    ("3.1.2.10", "trws", Refused(ParseErrorKind::StartLine)),
    ("3.1.2.11", "escruri", Accepted),
    ("3.1.2.12", "baddate", Accepted),
    ("3.1.2.13", "regbadct", Accepted),
    ("3.1.2.14", "badaspec", Faulty(HeaderId::To)),
    ("3.1.2.15", "baddn", Faulty(HeaderId::From)),
    ("3.1.2.16", "badvers", Refused(ParseErrorKind::Version)),
    ("3.1.2.17", "mismatch01", Faulty(HeaderId::CSeq)),
    ("3.1.2.18", "mismatch02", Faulty(HeaderId::CSeq)),
    ("3.1.2.19", "bigcode", Refused(ParseErrorKind::StartLine)),
    ("3.2.1", "badbranch", Accepted),
    ("3.3.1", "insuf", Faulty(HeaderId::From)),
    ("3.3.2", "unkscm", Accepted),
    ("3.3.3", "novelsc", Accepted),
    ("3.3.4", "unksm2", Accepted),
    ("3.3.5", "bext01", Accepted),
    ("3.3.6", "invut", Accepted),
    ("3.3.7", "regaut01", Accepted),
    ("3.3.8", "multi01", Faulty(HeaderId::From)),
    ("3.3.9", "mcl01", Refused(ParseErrorKind::ContentLength)),
    ("3.3.10", "bcast", Accepted),
    ("3.3.11", "zeromf", Accepted),
    ("3.3.12", "cparam01", Accepted),
    ("3.3.13", "cparam02", Accepted),
    ("3.3.14", "regescrt", Accepted),
    ("3.3.15", "sdp01", Accepted),
    ("3.4.1", "inv2543", Accepted),
];

const RFC5118: [(&str, &str, Outcome); 12] = [
    ("4.1", "ipv6-good", Accepted),
    ("4.2", "ipv6-bad", BadUri),
    ("4.3", "port-ambiguous", Accepted),
    ("4.4", "port-unambiguous", Accepted),
    ("4.5", "via-received-param-with-delim", Accepted),
    ("4.5", "via-received-param-no-delim", Accepted),
    ("4.6", "ipv6-in-sdp", Accepted),
    ("4.7", "mult-ip-in-header", Accepted),
    ("4.8", "mult-ip-in-sdp", Accepted),
    ("4.9", "ipv4-mapped-ipv6", Accepted),
    ("4.10", "ipv6-bug-abnf-3-colons", Accepted),
    ("4.10", "ipv6-correct-abnf-2-colons", Accepted),
];

/// MSG-18
#[test]
fn every_torture_message_has_its_documented_outcome() {
    for (corpus, cases) in [("rfc4475", &RFC4475[..]), ("rfc5118", &RFC5118[..])] {
        for (section, name, expected) in cases {
            let bytes = load(corpus, name);
            assert_eq!(&outcome(bytes.clone()), expected, "RFC {corpus} {section} {name}");
            if let Ok(message) = Message::parse(bytes, &Limits::default()) {
                forwards_unharmed(&message, name);
            }
        }
        let listed: BTreeSet<String> = cases.iter().map(|(_, name, _)| format!("{name}.dat")).collect();
        let files = std::fs::read_dir(folder(corpus)).expect("the corpus is beside the tests");
        let files = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
        assert_eq!(files.collect::<BTreeSet<_>>(), listed, "files of {corpus}");
    }
}

/// MSG-18, T16: a stream gives the same message, breaks, or waits for the rest of a body.
#[test]
fn every_torture_message_is_framed_or_breaks_the_stream() {
    for (corpus, cases) in [("rfc4475", &RFC4475[..]), ("rfc5118", &RFC5118[..])] {
        for (_, name, _) in cases {
            let bytes = load(corpus, name);
            let parsed = Message::parse(bytes.clone(), &Limits::default());
            let mut framer = Framer::new(Limits::default());
            framer.push(&bytes);
            match (framer.next(), parsed) {
                (Some(Frame::Message(frame)), Ok(message)) => assert_eq!(&frame, message.bytes(), "{name}"),
                (Some(Frame::Message(frame)), Err(error)) => {
                    // Framing looks at lengths only; the start line is for the parser.
                    assert_eq!(
                        Message::parse(frame, &Limits::default()).map_err(|error| error.kind),
                        Err(error.kind)
                    );
                }
                (Some(Frame::Broken { error, .. }), Ok(message)) => {
                    assert_eq!(error.kind, ParseErrorKind::MissingContentLength, "{name}");
                    assert!(!message.has(HeaderId::ContentLength));
                }
                (Some(Frame::Broken { error, .. }), Err(parse)) => {
                    assert_eq!(error.kind, parse.kind, "{name}")
                }
                (None, Err(error)) => assert_eq!(error.kind, ParseErrorKind::ShortBody, "{name}"),
                (Some(Frame::Ping) | None, _) => panic!("{name} is neither framed nor refused"),
            }
        }
    }
}

/// MSG-18, MSG-01: whatever is refused or faulty and is a request can be answered.
#[test]
fn refused_requests_can_be_salvaged_for_an_answer() {
    for (_, name, outcome) in &RFC4475 {
        if let Refused(_) = outcome
            && *name != "bigcode"
        {
            let salvaged = Message::salvage(load("rfc4475", name), &Limits::default()).expect(name);
            assert!(salvaged.is_request(), "{name}");
            for id in [HeaderId::Via, HeaderId::From, HeaderId::To, HeaderId::CallId, HeaderId::CSeq] {
                assert!(salvaged.has(id), "{name} {id}");
            }
        }
    }
    assert!(Message::salvage(load("rfc4475", "bigcode"), &Limits::default()).is_none());
}

/// MSG-18: 3.1.1.1
#[test]
fn wsinv_is_read_through_its_white_space() {
    let message = accepted("wsinv");
    let essentials = message.essentials().unwrap();
    assert_eq!(essentials.max_forwards, Some(68));
    assert_eq!((essentials.cseq.number, essentials.cseq.method), (9, Method::Invite));
    assert_eq!(essentials.to.tag(), Some("1918181833n"));
    assert_eq!(essentials.from.display_name().as_ref(), b"J Rosenberg \\\"");
    let vias: Vec<_> = message.vias().map(Result::unwrap).collect();
    let read: Vec<_> = vias.iter().map(|via| (via.transport, via.host, via.branch)).collect();
    assert_eq!(
        read,
        [
            ("UDP", "192.0.2.2", Some("390skdjuw")),
            ("TCP", "spindle.example.com", Some("z9hG4bK9ikj8")),
            ("UDP", "192.168.255.111", Some("z9hG4bK30239")),
        ]
    );
    assert!(!vias[0].has_cookie());
    assert_eq!(message.first(HeaderId::Subject), Some(&b""[..]));
    let contact = message.contacts().next().unwrap().unwrap();
    assert_eq!(contact.display_name().as_ref(), b"Quoted string \"\"");
    assert_eq!(
        (contact.q(), contact.param("newparam"), contact.param("secondparam")),
        (Some(330), Some("newvalue"), Some(""))
    );
    let route = message.routes().next().unwrap().unwrap();
    assert!(route.is_loose_route());
    assert_eq!(route.uri().unwrap().param("unknownwith"), Some("value"));
}

/// MSG-18, MSG-02: 3.1.1.2
#[test]
fn intmeth_keeps_every_odd_octet() {
    let message = accepted("intmeth");
    let name = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!(message.method(), Method::Other(name.into()));
    assert_eq!(message.to().unwrap().display_name().as_ref(), b"BEL:\x07 NUL:\0 DEL:\x7f");
    assert_eq!(message.from().unwrap().tag(), Some("_token~1'+`*%!-."));
    let uri = Uri::parse(message.request_uri().unwrap()).unwrap();
    assert_eq!(uri.user, Some(&b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"[..]));
    assert_eq!(uri.password, Some(&b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"[..]));
    let unknown = message.named("EXTENSIONHEADER-!.%*+_`'~").next().unwrap();
    assert_eq!(unknown, "\u{feff}\u{5927}\u{505c}\u{96fb}".as_bytes());
}

/// MSG-18, MSG-07: 3.1.1.3 to 3.1.1.6
#[test]
fn escapes_are_kept_and_mean_what_they_say() {
    let esc01 = accepted("esc01");
    let uri = Uri::parse(esc01.request_uri().unwrap()).unwrap();
    assert_eq!((uri.scheme, uri.user), (Scheme::Sip, Some(&b"sips%3Auser%40example.com"[..])));
    assert_eq!(esc01.to().unwrap().uri().unwrap().aor().as_deref(), Some("sip:user@example.com"));
    let contact = esc01.contacts().next().unwrap().unwrap().uri().unwrap();
    let same = Uri::parse(b"sip:caller@host5.example.net;lr;name=value%2541").unwrap();
    assert!(contact.equivalent(&same));

    let esc02 = accepted("esc02");
    assert_eq!(esc02.method(), Method::Other("RE%47IST%45R".into()));
    assert_eq!(esc02.contacts().count(), 2);
    assert_eq!(esc02.from().unwrap().display_name().as_ref(), b"%Z%45");

    let escnull = accepted("escnull");
    let users: Vec<_> =
        escnull.contacts().map(|contact| contact.unwrap().uri().unwrap().user.unwrap()).collect();
    assert_eq!(users, [&b"%00"[..], b"%00%00"]);

    assert_eq!(accepted("lwsdisp").from().unwrap().display, b"caller");
}

/// MSG-18: 3.1.1.8 to 3.1.1.13
#[test]
fn surplus_odd_users_transports_bodies_and_reasons_are_read() {
    let dblreq = accepted("dblreq");
    assert_eq!((dblreq.method(), dblreq.body()), (Method::Register, &b""[..]));
    assert!(dblreq.bytes().ends_with(b"Content-Length: 0\r\n\r\n"));

    let semiuri = accepted("semiuri");
    let uri = Uri::parse(semiuri.request_uri().unwrap()).unwrap();
    assert_eq!((uri.user, uri.params.is_empty()), (Some(&b"user;par=u%40example.net"[..]), true));
    assert_eq!(semiuri.values(HeaderId::Accept).count(), 6);

    let transports = accepted("transports");
    let tokens: Vec<_> = transports.vias().map(|via| via.unwrap().transport).collect();
    assert_eq!(tokens, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);

    let mpart01 = accepted("mpart01");
    assert_eq!(mpart01.body().len(), 553);
    assert!(mpart01.body().contains(&0));
    assert_eq!(mpart01.media_type().unwrap().unwrap().params.text("boundary"), Some("7a9cbec02ceef655"));

    assert!(accepted("unreason").reason().starts_with(b"= 2**3 * 5**2 \xd0\xbd"));
    let noreason = accepted("noreason");
    assert_eq!((noreason.status(), noreason.reason()), (Some(100), &b""[..]));
}

/// MSG-18, MSG-14: 3.1.2.4, 3.1.2.5
#[test]
fn overlarge_numbers_saturate_where_the_rfc_lets_them() {
    let scalar02 = accepted("scalar02");
    assert_eq!((scalar02.expires(), scalar02.max_forwards()), (Some(u32::MAX), Ok(Some(300))));
    assert_eq!(scalar02.contacts().next().unwrap().unwrap().expires(), Some(u32::MAX));
    assert_eq!(accepted("scalarlg").retry_after().unwrap().unwrap().seconds, u32::MAX);
}

/// MSG-18, MSG-09, MSG-17: 3.1.2.11 to 3.1.2.13, 3.3.12 to 3.3.14
#[test]
fn header_parameters_uri_parameters_and_escaped_headers_are_kept_apart() {
    let escruri = accepted("escruri");
    let uri = Uri::parse(escruri.request_uri().unwrap()).unwrap();
    assert_eq!((uri.header_pairs().count(), uri.request_headers().count()), (1, 0));

    let fault = accepted("regbadct").contacts().next().unwrap().unwrap_err();
    assert!(matches!((fault.header, fault.fault), (HeaderId::Contact, HeaderFault::Syntax(_))));
    assert!(accepted("baddate").date().is_err());

    let cparam01 = accepted("cparam01");
    let contact = cparam01.contacts().next().unwrap().unwrap();
    assert_eq!(
        (contact.param("unknownparam"), contact.uri().unwrap().param("unknownparam")),
        (Some(""), None)
    );
    let cparam02 = accepted("cparam02");
    let contact = cparam02.contacts().next().unwrap().unwrap();
    assert_eq!(
        (contact.param("unknownparam"), contact.uri().unwrap().param("unknownparam")),
        (None, Some(""))
    );
    let regescrt = accepted("regescrt");
    let contact = regescrt.contacts().next().unwrap().unwrap().uri().unwrap();
    assert_eq!(contact.headers, Some(&b"Route=%3Csip:sip.example.com%3E"[..]));
}

/// MSG-18: 3.2.1, 3.3.2 to 3.3.11, 3.3.15, 3.4.1
#[test]
fn the_application_layer_finds_what_it_has_to_judge() {
    assert!(!accepted("badbranch").top_via().unwrap().has_cookie());
    let scheme = |name: &str| match Uri::parse(accepted(name).request_uri().unwrap()).unwrap().scheme {
        Scheme::Other(scheme) => scheme.to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(scheme("unkscm"), "nobodyKnowsThisScheme");
    assert_eq!(scheme("novelsc"), "soap.beep");
    assert_eq!(accepted("unksm2").to().unwrap().uri().unwrap().aor(), None);
    let bext01 = accepted("bext01");
    let tags: Vec<_> = bext01.option_tags(HeaderId::Require).collect();
    assert_eq!(tags, ["nothingSupportsThis", "nothingSupportsThisEither"]);
    assert_eq!(accepted("invut").content_type(), Some("application/unknownformat"));
    assert!(
        accepted("regaut01").first(HeaderId::Authorization).unwrap().starts_with(b"NoOneKnowsThisScheme ")
    );
    assert_eq!(accepted("bcast").vias().nth(1).unwrap().unwrap().host, "255.255.255.255");
    assert_eq!(accepted("zeromf").max_forwards(), Ok(Some(0)));
    assert_eq!(accepted("sdp01").accepts("application/sdp"), Some(false));
    let old = accepted("inv2543");
    assert_eq!((old.top_via().unwrap().branch, old.from().unwrap().tag()), (None, None));
    assert_eq!(old.body().len(), 105);
}

/// MSG-18, MSG-07: RFC 5118 4.3 to 4.10
#[test]
fn ipv6_addresses_are_read_wherever_they_stand() {
    let uri_of = |name: &str| {
        let message = Message::parse(load("rfc5118", name), &Limits::default()).unwrap();
        let uri = Uri::parse(message.request_uri().unwrap()).unwrap();
        (uri.host.to_owned(), uri.port, uri.host_ip())
    };
    assert_eq!(uri_of("port-ambiguous").0, "[2001:db8::10:5070]");
    assert_eq!(uri_of("port-ambiguous").1, None);
    assert_eq!(
        (uri_of("port-unambiguous").0.as_str(), uri_of("port-unambiguous").1),
        ("[2001:db8::10]", Some(5070))
    );
    for name in ["via-received-param-with-delim", "via-received-param-no-delim"] {
        let message = Message::parse(load("rfc5118", name), &Limits::default()).unwrap();
        let via = message.top_via().unwrap();
        assert_eq!(via.received_ip(), Some("2001:db8::9:255".parse().unwrap()), "{name}");
        assert_eq!((via.host, via.rport), ("[2001:db8::9:1]", Rport::Absent));
    }
    let three = uri_of("ipv6-bug-abnf-3-colons").2;
    assert!(three.is_some());
    assert_eq!(three, uri_of("ipv6-correct-abnf-2-colons").2);
    let mapped = Message::parse(load("rfc5118", "ipv4-mapped-ipv6"), &Limits::default()).unwrap();
    assert_eq!(mapped.top_via().unwrap().host_ip(), Some("::ffff:192.0.2.10".parse().unwrap()));
}

fn outcome(bytes: Bytes) -> Outcome {
    let message = match Message::parse(bytes, &Limits::default()) {
        Ok(message) => message,
        Err(error) => return Refused(error.kind),
    };
    if let Err(error) = message.essentials() {
        return Faulty(error.header);
    }
    match message.request_uri().map(Uri::parse) {
        Some(Err(_)) => BadUri,
        _ => Accepted,
    }
}

/// A proxy's edit changes its own lines and nothing else.
fn forwards_unharmed(message: &Message, name: &str) {
    let own = "SIP/2.0/UDP edge.example;branch=z9hG4bKown";
    let forwarded = message.edit().prepend_via(own).finish().expect(name);
    let without_own = forwarded.edit().remove_first(HeaderId::Via).finish().expect(name);
    assert!(forwarded.fields().any(|field| field.value == own.as_bytes()), "{name}");
    if message.has(HeaderId::ContentLength) {
        assert_eq!(without_own.bytes(), message.bytes(), "{name}");
    } else {
        assert!(without_own.fields().take(message.fields().count()).eq(message.fields()), "{name}");
    }
}

fn accepted(name: &str) -> Message {
    Message::parse(load("rfc4475", name), &Limits::default()).expect(name)
}

fn load(corpus: &str, name: &str) -> Bytes {
    std::fs::read(folder(corpus).join(format!("{name}.dat"))).expect(name).into()
}

fn folder(corpus: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(corpus)
}
