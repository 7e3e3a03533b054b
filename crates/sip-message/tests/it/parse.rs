use sip_message::{HeaderFault, HeaderId, Limits, Message, Method, ParseErrorKind};

use crate::{INVITE, message, options_with, parse};

/// MSG-02, MSG-03, MSG-04
#[test]
fn names_are_read_in_any_case_and_form_and_folds_in_place() {
    let message = message(INVITE);
    assert_eq!(message.method(), Method::Invite);
    assert_eq!(message.request_uri(), Some(&b"sip:bob@biloxi.example.com"[..]));
    assert_eq!(message.from().unwrap().tag(), Some("9fxced76sl"));
    assert_eq!(message.to().unwrap().display, b"Bob");
    assert_eq!(message.call_id().unwrap(), b"3848276298220188511@atlanta.example.com");
    assert_eq!(message.first(HeaderId::Subject), Some(&b"first\r\n\tsecond"[..]));
    assert_eq!(message.named("x-foo").collect::<Vec<_>>(), [b"bar\t, baz"]);
    let routes: Vec<_> = message.record_routes().map(|route| route.unwrap().uri).collect();
    assert_eq!(routes, [b"sip:p2.example.com;lr", b"sip:p1.example.com;lr"]);
    assert_eq!(message.body(), b"v=0\r\n");
    assert_eq!(message.fields().count(), 12);
}

/// MSG-12
#[test]
fn the_branch_alone_is_the_one_of_the_topmost_via() {
    for (vias, branch) in [
        ("Via: SIP/2.0/UDP h;branch=z9hG4bK1", Some("z9hG4bK1")),
        (
            "v: SIP / 2.0 / TCP [::1]:5060 ; x=\";branch=no, \\\"\" ; BRANCH = z9hG4bK2 ;branch=no",
            Some("z9hG4bK2"),
        ),
        ("Via:\r\nVia: SIP/2.0/UDP h;rport;\r\n branch=z9hG4bK3 , SIP/2.0/UDP g;branch=no", Some("z9hG4bK3")),
        ("Via: SIP/2.0/UDP h, SIP/2.0/UDP g;branch=no", None),
        ("Via: SIP/2.0/UDP h;rport", None),
    ] {
        let text = format!("OPTIONS sip:h SIP/2.0\r\n{vias}\r\nContent-Length: 0\r\n\r\n");
        let message = message(text.into_bytes());
        assert_eq!(message.top_branch(), branch, "{vias}");
        assert_eq!(message.top_via().unwrap().branch, branch, "{vias}");
    }
    let empty = message("OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((empty.top_branch(), empty.top_via().is_err()), (None, true));
}

/// MSG-05
#[test]
fn repeated_lines_and_one_list_are_the_same_values() {
    let lines = message(options_with("Route: <sip:a;lr>\r\nRoute: <sip:b;lr>, <sip:c;lr>\r\n"));
    let list = message(options_with("Route: <sip:a;lr>,<sip:b;lr>,<sip:c;lr>\r\n"));
    assert!(lines.values(HeaderId::Route).eq(list.values(HeaderId::Route)));
    assert_eq!(list.values(HeaderId::Route).count(), 3);
}

/// MSG-05
#[test]
fn authentication_headers_are_never_split_at_commas() {
    let text = options_with(
        "Authorization: Digest username=\"a\", realm=\"b\"\r\nAuthorization: Digest username=\"c\", realm=\"d\"\r\n",
    );
    assert_eq!(message(text).values(HeaderId::Authorization).count(), 2);
}

/// MSG-10, MSG-11
#[test]
fn the_mandatory_fields_are_checked_together() {
    assert!(message(INVITE).essentials().is_ok());
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let id = HeaderId::from_name(name.as_bytes());
        let full = message(options_with(""));
        let without = full.edit().remove_all(id).finish().unwrap();
        let error = without.essentials().unwrap_err();
        assert_eq!((error.header, error.fault), (id, HeaderFault::Missing));
    }
    let wrong = message(options_with("").replace("1 OPTIONS", "1 INVITE"));
    assert_eq!(wrong.essentials().unwrap_err().header, HeaderId::CSeq);
    let twice = message(options_with("From: <sip:b@h>;tag=2\r\n"));
    assert_eq!(twice.essentials().unwrap_err().fault, HeaderFault::Repeated);
}

#[test]
fn surplus_bytes_are_cut_and_a_short_body_is_an_error() {
    let long = message(format!("{INVITE}surplus"));
    assert_eq!(long.bytes().as_ref(), INVITE.as_bytes());
    let short = parse(&INVITE[..INVITE.len() - 1]).unwrap_err();
    assert_eq!(short.kind, ParseErrorKind::ShortBody);
    let without = message(options_with("").replace("\r\n\r\n", "\r\n\r\nbody"));
    assert_eq!(without.body(), b"body");
}

/// MSG-14
#[test]
fn content_length_is_a_number_and_has_one_opinion() {
    for bad in ["-1", "5x", "", "1, 1", "0x5"] {
        let error = parse(options_with(&format!("Content-Length: {bad}\r\n"))).unwrap_err();
        assert_eq!(error.kind, ParseErrorKind::ContentLength, "{bad}");
    }
    let twice = parse(options_with("Content-Length: 0\r\nl: 4\r\n").to_owned() + "body").unwrap_err();
    assert_eq!(twice.kind, ParseErrorKind::ContentLength);
    assert!(parse(options_with("Content-Length: 0\r\nl: 0\r\n")).is_ok());
    let huge = parse(options_with("Content-Length: 99999999999999999999999\r\n")).unwrap_err();
    assert_eq!(huge.kind, ParseErrorKind::ShortBody);
}

/// MSG-14
#[test]
fn numbers_saturate() {
    let expires = |value: &str| message(options_with(&format!("Expires: {value}\r\n"))).expires();
    assert_eq!(expires("99999999999"), Some(u32::MAX));
    assert_eq!(expires("abc"), Some(3600));
    assert_eq!(expires("60"), Some(60));
    let hops = message(options_with("Max-Forwards: 99999999999\r\n")).max_forwards();
    assert_eq!(hops, Ok(Some(u32::MAX)));
    assert!(message(options_with("Max-Forwards: x\r\n")).max_forwards().is_err());
}

#[test]
fn bare_line_feeds_and_leading_line_ends_are_read() {
    let message =
        message(format!("\r\n\r\n{}", INVITE.replace("\r\n", "\n").replace("Length: 5", "Length: 4")));
    assert_eq!(message.essentials().unwrap().cseq.number, 1);
    assert_eq!(message.first(HeaderId::Subject), Some(&b"first\n\tsecond"[..]));
    assert_eq!(message.body(), b"v=0\n");
}

#[test]
fn bad_header_lines_are_refused_with_their_place() {
    let head = options_with("").len() - 2;
    for (line, offset) in [
        ("No colon here\r\n", 3),
        ("Bad\0Name: x\r\n", 3),
        ("Bad\x01: x\r\n", 3),
        (": no name\r\n", 0),
        ("X: bare\rreturn\r\n", 8),
        ("(x): y\r\n", 0),
    ] {
        let error = parse(options_with(line)).unwrap_err();
        assert_eq!((error.kind, error.offset), (ParseErrorKind::HeaderLine, head + offset), "{line:?}");
    }
    assert_eq!(
        parse("OPTIONS sip:h SIP/2.0\r\n folded: x\r\n\r\n").unwrap_err().kind,
        ParseErrorKind::HeaderLine
    );
    assert_eq!(parse("OPTIONS sip:h SIP/2.0\r\nA: b\r\n").unwrap_err().kind, ParseErrorKind::UnfinishedHead);
    assert_eq!(parse("\r\n\r\n").unwrap_err().kind, ParseErrorKind::Empty);
}

#[test]
fn limits_are_kept() {
    let limits = Limits { header_lines: 6, ..Limits::default() };
    let text = options_with("A: 1\r\n");
    assert!(Message::parse(text.into(), &limits).is_ok());
    let text = options_with("A: 1\r\nB: 2\r\n");
    assert_eq!(Message::parse(text.into(), &limits).unwrap_err().kind, ParseErrorKind::TooMany);

    let long = options_with(&format!("A: {}\r\n", "x".repeat(20_000)));
    assert_eq!(parse(long).unwrap_err().kind, ParseErrorKind::LineTooLong);
    let folded = options_with(&format!("A: x\r\n{}", " y\r\n".repeat(10_000)));
    assert_eq!(parse(folded).unwrap_err().kind, ParseErrorKind::LineTooLong);
    let large = options_with(&format!("A: {}\r\n", "x".repeat(10_000)).repeat(7));
    assert_eq!(parse(large).unwrap_err().kind, ParseErrorKind::TooLarge);
    let uri = options_with("").replace("sip:h SIP", &format!("sip:{} SIP", "h".repeat(5000)));
    assert_eq!(parse(uri).unwrap_err().kind, ParseErrorKind::RequestUriTooLong);
    let long_line = options_with("").replace("sip:h SIP", &format!("sip:{} SIP", "h".repeat(20_000)));
    assert_eq!(parse(long_line).unwrap_err().kind, ParseErrorKind::RequestUriTooLong);
    let long_method = options_with("").replace("OPTIONS sip:h", &format!("{} sip:h", "O".repeat(20_000)));
    assert_eq!(parse(long_method).unwrap_err().kind, ParseErrorKind::LineTooLong);
    let vias = options_with(&format!("Via: {}\r\n", ["SIP/2.0/UDP h"; 70].join(",")));
    assert_eq!(parse(vias).unwrap_err().kind, ParseErrorKind::TooMany);
    let quoted = options_with(&format!("Contact: \"{}\" <sip:a@h>\r\n", ",".repeat(100)));
    assert!(parse(quoted).is_ok());
}

#[test]
fn more_lines_than_fit_inline_are_read_just_the_same() {
    let text = options_with(&(0..200).map(|line| format!("X-{line}: {line}\r\n")).collect::<String>());
    let message = message(text);
    assert_eq!(message.fields().count(), 205);
    assert_eq!(message.named("x-199").next(), Some(&b"199"[..]));
}

/// MSG-01, MSG-10
#[test]
fn a_refused_request_can_still_be_salvaged_for_its_answer() {
    for text in [
        INVITE.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"),
        INVITE.replace("Content-Length: 5", "Content-Length: -5"),
        INVITE.replace("Content-Length: 5", "Content-Length: 500"),
        INVITE.replace("Subject: first", "Sub ject first"),
        INVITE.replace("INVITE sip:bob", "INVITE  sip:bob"),
    ] {
        assert!(parse(&text).is_err());
        let salvaged = Message::salvage(text.into(), &Limits::default()).unwrap();
        assert_eq!(salvaged.method(), Method::Invite);
        assert!(salvaged.essentials().is_ok());
    }
    let folded = options_with("Bad line\r\n continued\r\nSubject: x\r\nWorse line\r\n continued\r\n");
    let salvaged = Message::salvage(folded.into(), &Limits::default()).unwrap();
    assert_eq!(salvaged.first(HeaderId::CSeq), Some(&b"1 OPTIONS"[..]));
    assert_eq!(salvaged.first(HeaderId::Subject), Some(&b"x"[..]));
    let crowded = options_with(&"A: 1\r\n".repeat(300));
    let salvaged = Message::salvage(crowded.into(), &Limits::default()).unwrap();
    assert_eq!(salvaged.fields().count(), 256);
    assert_eq!(salvaged.named("a").last(), Some(&b"1"[..]));
    assert!(Message::salvage("\x16\x03\x01".into(), &Limits::default()).is_none());
}
