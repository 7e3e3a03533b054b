use sip_message::{BuildError, HeaderId, Limits, Message, Method, RequestBuilder, ResponseBuilder};

use crate::{INVITE, message, options_with};

#[test]
fn a_request_is_written_in_the_order_of_its_parts() {
    let request = RequestBuilder::new(Method::Message, "sip:bob@h")
        .and_then(|request| request.header(HeaderId::Via, "SIP/2.0/UDP c;branch=z9hG4bK1"))
        .and_then(|request| request.named("X-Foo", "bar"))
        .and_then(|request| request.body("text/plain", "hi"))
        .unwrap()
        .build();
    assert_eq!(
        request.bytes().as_ref(),
        b"MESSAGE sip:bob@h SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nX-Foo: bar\r\n\
          Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    );
}

/// T19
#[test]
fn nothing_that_could_start_another_line_is_accepted() {
    let request = || RequestBuilder::new(Method::Options, "sip:h").unwrap();
    for bad in ["a\r\nEvil: 1", "a\nb", "a\rb", "a\0b"] {
        assert!(matches!(request().header(HeaderId::Subject, bad), Err(BuildError::Value { offset: 1, .. })));
        assert!(matches!(request().body(bad, ""), Err(BuildError::Value { .. })));
        assert!(RequestBuilder::new(Method::Options, format!("sip:{bad}")).is_err());
        let options = message(options_with(""));
        assert!(ResponseBuilder::to(&options, 200).reason(bad).is_err());
        assert!(ResponseBuilder::to(&options, 200).to_tag(bad).is_err());
    }
    for bad in ["", "X Y", "X:Y", "X\r\nY", "\u{e9}"] {
        assert!(matches!(request().named(bad, "x"), Err(BuildError::Name(_))), "{bad:?}");
        assert!(RequestBuilder::new(Method::from(bad), "sip:h").is_err());
    }
    for name in ["Content-Length", "l", "CONTENT-LENGTH"] {
        assert_eq!(request().named(name, "5").unwrap_err(), BuildError::Reserved(HeaderId::ContentLength));
    }
    assert!(matches!(request().header(HeaderId::Subject, "x".repeat(70_000)), Err(BuildError::TooLarge)));
}

/// MSG-03, MSG-04, MSG-13
#[test]
fn a_response_copies_what_the_rfc_names_in_single_lines_and_long_names() {
    let invite = message(INVITE.replace("Subject:", "Timestamp: 54\r\nSubject:"));
    let response = ResponseBuilder::to(&invite, 180)
        .to_tag("314159")
        .and_then(|response| response.header(HeaderId::Contact, "<sip:bob@192.0.2.4>"))
        .unwrap()
        .build();
    assert_eq!(
        String::from_utf8_lossy(response.bytes()),
        "SIP/2.0 180 Ringing\r\n\
         Via: SIP/2.0/UDP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;rport\r\n\
         From: Alice  <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
         To: Bob <sip:bob@biloxi.example.com>;tag=314159\r\n\
         Call-ID: 3848276298220188511@atlanta.example.com\r\n\
         CSeq: 1 INVITE\r\n\
         Timestamp: 54\r\n\
         Record-Route: <sip:p2.example.com;lr>,   <sip:p1.example.com;lr>\r\n\
         Contact: <sip:bob@192.0.2.4>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    assert_eq!(response.method(), Method::Invite);
}

/// MSG-13
#[test]
fn trying_has_no_tag_and_an_existing_tag_stays() {
    let invite = message(INVITE);
    let trying = ResponseBuilder::to(&invite, 100).to_tag("x").unwrap().build();
    assert_eq!(trying.to().unwrap().tag(), None);
    assert!(!trying.has(HeaderId::RecordRoute));
    let refusal = ResponseBuilder::to(&invite, 486).to_tag("x").unwrap().build();
    assert!(!refusal.has(HeaderId::RecordRoute));
    let inside = message(
        INVITE
            .replace("Bob <sip:bob@biloxi.example.com>\r\n", "Bob <sip:bob@biloxi.example.com>;tag=own\r\n"),
    );
    let answer = ResponseBuilder::to(&inside, 200).to_tag("x").unwrap().build();
    assert_eq!(answer.to().unwrap().tag(), Some("own"));
}

/// RFC 3261 8.2.6.2: what a response copies is the same whether its lines stood in the request as they leave or not: folded, with compact or
/// odd names, with white space around them, and with a line end of one octet.
#[test]
fn a_response_copies_lines_of_any_form_alike() {
    let usual = "OPTIONS sip:bob@h SIP/2.0\r\n\
        Via: SIP/2.0/UDP one;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP two;branch=z9hG4bK2\r\nMax-Forwards: 70\r\n\
        From: <sip:a@h>;tag=a\r\nTo: \"B o b\" <sip:bob@h>\r\nCall-ID: c\r\nTimestamp: 7\r\nCSeq: 1 OPTIONS\r\n\r\n";
    let answer = |text: &str| {
        let request = Message::parse(text.to_owned().into_bytes().into(), &Limits::default()).unwrap();
        let response = ResponseBuilder::to(&request, 200).to_tag("own").unwrap();
        let written = response.clone().write();
        assert_eq!(written.bytes(), response.clone().build().bytes());
        String::from_utf8(written.bytes().to_vec()).unwrap()
    };
    let plain = answer(usual);
    assert!(
        plain.contains(
            "To: \"B o b\" <sip:bob@h>;tag=own\r\nCall-ID: c\r\nTimestamp: 7\r\nCSeq: 1 OPTIONS\r\n"
        )
    );
    for (from, to) in [
        ("Via: SIP/2.0/UDP two", "v:SIP/2.0/UDP two"),
        ("Max-Forwards: 70\r\n", ""),
        ("\"B o b\" <", "\"B o\r\n b\" <"),
        ("Call-ID: c\r\n", "Call-ID:   c  \r\n"),
        ("To: ", "TO: "),
        ("From: <sip:a@h>;tag=a\r\n", "From: <sip:a@h>;tag=a\n"),
        ("CSeq: 1 OPTIONS\r\n", "CSEQ : 1 OPTIONS\r\n"),
    ] {
        let changed = answer(&usual.replace(from, to));
        assert_eq!(changed.replace("B o   b", "B o b"), plain, "{to:?}");
    }
    for (to, expected) in [
        ("<sip:bob@h>;tag=theirs", "To: <sip:bob@h>;tag=theirs\r\n"),
        ("<sip:bob@h>;x=\"y>\"", "To: <sip:bob@h>;x=\"y>\";tag=own\r\n"),
        ("sip:bob@h", "To: sip:bob@h;tag=own\r\n"),
    ] {
        assert!(answer(&usual.replace("\"B o b\" <sip:bob@h>", to)).contains(expected), "{to}");
    }
}
