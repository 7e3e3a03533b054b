use sip_message::{BuildError, HeaderId, Message};

use crate::{INVITE, message, options_with};

/// MSG-06
#[test]
fn an_edit_without_changes_is_the_message_byte_for_byte() {
    let message = message(INVITE);
    let copy = message.edit().finish().unwrap();
    assert_eq!(copy.bytes().as_ref(), INVITE.as_bytes());
}

/// MSG-06
#[test]
fn forwarding_changes_only_what_it_names() {
    let message = message(INVITE);
    let mut edit = message.edit();
    edit.set_request_uri(b"sip:bob@192.0.2.4")
        .prepend_via("SIP/2.0/UDP edge;branch=z9hG4bKx")
        .push_front(HeaderId::RecordRoute, "<sip:edge;lr>")
        .replace_first_fmt(HeaderId::MaxForwards, format_args!("{}", 69));
    let forwarded = edit.finish().unwrap();
    let expected = INVITE
        .replace("sip:bob@biloxi.example.com SIP", "sip:bob@192.0.2.4 SIP")
        .replace(
            "Via: SIP/2.0/UDP client",
            "Via: SIP/2.0/UDP edge;branch=z9hG4bKx\r\nVia: SIP/2.0/UDP client",
        )
        .replace("Max-Forwards: 70", "Max-Forwards: 69")
        .replace("Record-Route: ", "Record-Route: <sip:edge;lr>\r\nRecord-Route: ");
    assert_eq!(forwarded.bytes().as_ref(), expected.as_bytes());
}

#[test]
fn values_are_removed_one_by_one() {
    let original = message(options_with("Route: <sip:a;lr>, <sip:b;lr>\r\nRoute: <sip:c;lr>\r\n"));
    let mut edit = original.edit();
    let left = |edit: &sip_message::Edit<'_>| {
        let copy = edit.finish().unwrap();
        copy.values(HeaderId::Route)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect::<Vec<_>>()
    };
    edit.remove_first_value(HeaderId::Route);
    assert_eq!(left(&edit), ["<sip:b;lr>", "<sip:c;lr>"]);
    edit.replace_first_value(HeaderId::Route, "<sip:x;lr>");
    assert_eq!(left(&edit), ["<sip:x;lr>", "<sip:c;lr>"]);
    edit.remove_last_value(HeaderId::Route).remove_first_value(HeaderId::Route);
    assert_eq!(left(&edit), [""; 0]);
    edit.remove_first(HeaderId::Route)
        .append(HeaderId::Route, "<sip:y;lr>")
        .append_named("route", "<sip:z;lr>");
    assert_eq!(left(&edit), ["<sip:y;lr>", "<sip:z;lr>"]);
    edit.retain(HeaderId::Route, |value| value != b"<sip:y;lr>");
    assert_eq!(left(&edit), ["<sip:z;lr>"]);
    edit.remove_named("ROUTE");
    assert_eq!(left(&edit), [""; 0]);
    assert_eq!(edit.finish().unwrap().fields().count(), original.fields().count() - 2 + 1);
}

#[test]
fn a_message_without_content_length_gets_one() {
    let text = options_with("") + "body";
    let copy = message(text).edit().finish().unwrap();
    assert_eq!(copy.first(HeaderId::ContentLength), Some(&b"4"[..]));
}

/// MSG-01
#[test]
fn version_and_line_ends_are_put_right() {
    let text = INVITE
        .replace("\r\n", "\n")
        .replace("SIP/2.0\nVia", "sip/2.0\nVia")
        .replace("Length: 5", "Length: 4");
    let copy = message(text).edit().finish().unwrap();
    let head = INVITE.strip_suffix("v=0\r\n").unwrap().replace("Length: 5", "Length: 4");
    assert_eq!(copy.bytes().as_ref(), format!("{head}v=0\n").as_bytes());
    let response = message("sip/2.0 200\r\n\r\n").edit().finish().unwrap();
    assert_eq!(response.bytes().as_ref(), b"SIP/2.0 200\r\nContent-Length: 0\r\n\r\n");
}

/// T19
#[test]
fn line_ends_and_nul_never_go_out() {
    let message = message(INVITE);
    for bad in ["a\r\nEvil: 1", "a\nb", "a\rb", "a\0b"] {
        let mut out = b"kept".to_vec();
        let mut edit = message.edit();
        edit.append(HeaderId::Subject, bad);
        assert!(matches!(edit.write_to(&mut out), Err(BuildError::Value { offset: 1, .. })));
        assert_eq!(out, b"kept");
    }
    let reserved = Err(BuildError::Reserved(HeaderId::ContentLength));
    assert_eq!(message.edit().append_named("l", "5").finish(), reserved);
    assert_eq!(message.edit().replace_first(HeaderId::ContentLength, "4").finish(), reserved);
    assert!(matches!(message.edit().append_named("X Y", "z").finish(), Err(BuildError::Name(_))));
    assert!(matches!(message.edit().append(HeaderId::Other, "z").finish(), Err(BuildError::Name(_))));
    assert!(matches!(message.edit().set_request_uri(b"sip:a b").finish(), Err(BuildError::Uri(_))));
}

/// MSG-06
#[test]
fn the_source_is_marked_in_the_topmost_via_only() {
    let text = options_with("").replace(
        "Via: SIP/2.0/UDP c;branch=z9hG4bK1",
        "v:SIP/2.0/UDP c;rport ;Weird=\"a;b\";branch=z9hG4bK1 , SIP/2.0/UDP d;branch=z9hG4bK2;rport",
    );
    let message = message(text);
    let marked = message.edit().mark_received("192.0.2.9".parse().unwrap(), 4040).finish().unwrap();
    let line = marked.first(HeaderId::Via).unwrap();
    assert_eq!(
        String::from_utf8_lossy(line),
        "SIP/2.0/UDP c;Weird=\"a;b\";branch=z9hG4bK1;received=192.0.2.9;rport=4040, SIP/2.0/UDP d;branch=z9hG4bK2;rport"
    );
}

#[test]
fn a_body_is_replaced_with_its_type_and_length() {
    let copy = message(INVITE).edit().set_body(Some("text/plain"), "hello, world".into()).finish().unwrap();
    assert_eq!(copy.content_type(), Some("text/plain"));
    assert_eq!(copy.first(HeaderId::ContentLength), Some(&b"12"[..]));
    assert_eq!(copy.body(), b"hello, world");
    let empty = copy.edit().set_body(None, Default::default()).finish().unwrap();
    assert!(!empty.has(HeaderId::ContentType));
    assert_eq!(empty.body(), b"");
}

/// MSG-06: the table of a changed message is known without reading it, and must be what reading it would give.
#[test]
fn a_changed_message_is_what_its_bytes_say() {
    let plain = options_with("Route: <sip:a;lr>, <sip:b;lr>\r\nX-Long:  a\r\n b \r\n") + "body";
    for text in [INVITE.to_owned(), INVITE.replace("\r\n", "\n").replace("Length: 5", "Length: 4"), plain] {
        let message = message(text);
        let mut edit = message.edit();
        assert_as_read(&edit.finish().unwrap());
        assert_as_read(&edit.mark_received("192.0.2.9".parse().unwrap(), 4040).finish().unwrap());
        assert_as_read(
            &edit
                .set_request_uri("sip:longer.than.before@h")
                .append(HeaderId::Subject, " \t")
                .finish()
                .unwrap(),
        );
        assert_as_read(
            &edit.push_front(HeaderId::Via, " SIP/2.0/UDP x \t").remove_first(HeaderId::To).finish().unwrap(),
        );
        assert_as_read(&edit.set_body(Some("a/b"), "hello".into()).append_named("s", "").finish().unwrap());
    }
    assert_as_read(&message("SIP/2.0 200 OK\r\n\r\n").edit().finish().unwrap());
}

fn assert_as_read(changed: &Message) {
    let read = message(changed.bytes());
    assert!(changed.fields().eq(read.fields()), "{}", String::from_utf8_lossy(changed.bytes()));
    assert_eq!((changed.request_uri(), changed.reason()), (read.request_uri(), read.reason()));
    assert_eq!((changed.status(), changed.body()), (read.status(), read.body()));
    assert_eq!(changed.edit().finish().unwrap().bytes(), changed.bytes());
}
