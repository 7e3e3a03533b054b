use super::*;
use crate::select::{NotUnderstood, session_part};

const SDP: &[u8] = b"v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\n";

fn parse(content_type: &str, body: impl Into<Bytes>) -> Result<Entity, MultipartError> {
    Entity::parse(Some(content_type.as_bytes()), None, &body.into())
}

fn sdp_and(other_disposition: &str) -> Entity {
    let (content_type, body) = build_mixed(&[
        Part {
            content_type: "audio/tone-info+xml",
            content_disposition: other_disposition,
            body: b"<tones/>",
        },
        Part { content_type: "application/sdp", content_disposition: "session;handling=required", body: SDP },
    ]);
    parse(&content_type, body).unwrap()
}

/// MSG-15: what is built reads back octet for octet.
#[test]
fn a_built_body_reads_back() {
    let entity = sdp_and("render;handling=optional");
    let Content::Parts(parts) = &entity.content else { panic!("{entity:?}") };
    assert_eq!(parts[0].content, Content::Single(Bytes::from_static(b"<tones/>")));
    assert_eq!(parts[1].content, Content::Single(Bytes::from_static(SDP)));
    assert!(!parts[0].disposition.is_required && parts[1].disposition.is_required);
}

#[test]
fn the_boundary_avoids_the_content_and_is_always_the_same() {
    let part = Part { content_type: "a/b", content_disposition: "", body: b"\r\n--carillon-0--\r\n" };
    let (content_type, body) = build_mixed(&[part]);
    assert_eq!(content_type, "multipart/mixed;boundary=carillon-1");
    assert_eq!(build_mixed(&[part]), (content_type, body));
}

/// MSG-15: the ringback body of the tones draft in its well-formed version, and with the draft's own sloppiness.
#[test]
fn the_published_ringback_body_is_read() {
    let body = "preamble\r\n--gorilla\r\nContent-Type: audio/tone-info+xml\r\nContent-Disposition: render;\r\n \
        handling=optional\r\n\r\n<tones/>\r\n--gorilla  \r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n\
        --gorilla--\r\nepilogue";
    let entity = parse("multipart/mixed;boundary=gorilla", body).unwrap();
    let selected = session_part(&entity, &|_| true).unwrap();
    assert_eq!(selected.session.unwrap(), &Bytes::from_static(b"v=0\r\n"));
    assert_eq!(selected.others.len(), 1);
}

/// MSG-16: unknown and optional is ignored, unknown and required is refused; without words it is required.
#[test]
fn handling_decides_about_unknown_parts() {
    let nothing = |_: &str| false;
    let refused = Err(NotUnderstood { content_type: "audio/tone-info+xml".to_owned() });
    assert!(session_part(&sdp_and("render;handling=optional"), &nothing).unwrap().session.is_some());
    assert_eq!(session_part(&sdp_and("render;handling=required"), &nothing), refused);
    assert_eq!(session_part(&sdp_and(""), &nothing), refused);
    assert!(session_part(&sdp_and("by-reference"), &nothing).is_ok());
}

/// MSG-16: SDP is a session without words, and is none when it is said to be something else.
#[test]
fn the_default_disposition_of_sdp_is_session() {
    let plain = parse("Application/SDP", SDP).unwrap();
    assert_eq!(session_part(&plain, &|_| false).unwrap().session.unwrap(), SDP);
    let body = Bytes::from_static(SDP);
    let early = Entity::parse(Some(b"application/sdp"), Some(b"early-session"), &body).unwrap();
    assert!(session_part(&early, &|_| false).is_err());
    let icon = Entity::parse(Some(b"application/sdp"), Some(b"icon;handling=optional"), &body).unwrap();
    assert_eq!(session_part(&icon, &|_| false).unwrap().session, None);
}

/// MSG-15: multipart/alternative takes the last alternative that is understood, nesting included.
#[test]
fn the_last_understood_alternative_counts() {
    let body = "--a\r\nContent-Type: application/sdp\r\n\r\nv=0 first\r\n\
        --a\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n\
        --b\r\nContent-Type: application/sdp\r\n\r\nv=0 second\r\n--b--\r\n\
        --a\r\nContent-Type: application/sdpng\r\n\r\n<x/>\r\n--a--\r\n";
    let entity = parse("multipart/alternative; boundary=\"a\"", body).unwrap();
    assert_eq!(session_part(&entity, &|_| false).unwrap().session.unwrap(), &b"v=0 second"[..]);
    let none = "--a\r\nContent-Type: x/y\r\n\r\nz\r\n--a--\r\n";
    assert!(session_part(&parse("multipart/alternative;boundary=a", none).unwrap(), &|_| false).is_err());
}

/// MSG-15: content that is only named is not fetched; whoever needs it understood is told that it is not (RFC 4483 3).
#[test]
fn indirect_content_is_refused_unless_it_is_optional() {
    let kind = "message/external-body;access-type=URL;URL=\"http://h/x\"";
    let inner = "Content-Type: application/sdp\r\nContent-ID: <x@h>\r\n\r\n";
    let refused = NotUnderstood { content_type: "message/external-body".to_owned() };
    assert_eq!(session_part(&parse(kind, inner).unwrap(), &|_| false), Err(refused));
    let body = format!(
        "--a\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--a\r\nContent-Type: {kind}\r\n\
         Content-Disposition: render;handling=optional\r\n\r\n{inner}\r\n--a--\r\n"
    );
    let mixed = parse("multipart/mixed;boundary=a", body).unwrap();
    assert_eq!(session_part(&mixed, &|_| false).unwrap().session.unwrap(), &b"v=0"[..]);
}

/// The end of a part ends its headers too: the content is empty, never a neighbour's.
#[test]
fn a_part_that_ends_in_its_headers_is_empty() {
    let entity =
        parse("multipart/mixed;boundary=a", "--a\r\nContent-Type: a/b\r\n--a\r\n\r\nx\r\n--a--").unwrap();
    let Content::Parts(parts) = entity.content else { panic!() };
    assert_eq!(parts[0].content, Content::Single(Bytes::new()));
}

/// MSG-16: a header refers to any part, a part to later ones alone, however they are nested.
#[test]
fn references_point_forward_only() {
    let body = "--a\r\nContent-ID: <one@h>\r\n\r\n1\r\n\
        --a\r\nContent-Type: multipart/mixed;boundary=b\r\nContent-ID: <all@h>\r\n\r\n\
        --b\r\ncontent-id:<two@h>\r\n\r\n2\r\n--b\r\nContent-ID: <100%@h>\r\n\r\n3\r\n--b--\r\n\
        --a\r\nContent-ID: <two@h>\r\n\r\n4\r\n--a--";
    let entity = parse("multipart/related;boundary=a", body).unwrap();
    let read = |url: &str, from: Option<&Entity>| match &entity.referred(url, from)?.content {
        Content::Single(octets) => Some(String::from_utf8(octets.to_vec()).unwrap()),
        Content::Parts(parts) => Some(format!("{} parts", parts.len())),
    };
    for (url, found) in [
        ("cid:one@h", Some("1")),
        ("CID:two@h", Some("2")),
        ("cid:100%25@h", Some("3")),
        ("cid:all@h", Some("2 parts")),
    ] {
        assert_eq!(read(url, None).as_deref(), found, "{url}");
    }
    for url in ["one@h", "mid:one@h", "cid:", "cid:none@h", "cid:one%4", "cid:one%zz", "cid:one%ff@h"] {
        assert_eq!(read(url, None), None, "{url}");
    }
    let Content::Parts(parts) = &entity.content else { panic!() };
    let Content::Parts(inner) = &parts[1].content else { panic!() };
    for (from, one, all, two, three) in [
        (&parts[0], None, Some("2 parts"), Some("2"), Some("3")),
        (&parts[1], None, None, Some("2"), Some("3")),
        (&inner[0], None, None, Some("4"), Some("3")),
        (&inner[1], None, None, Some("4"), None),
        (&parts[2], None, None, None, None),
    ] {
        let urls = ["cid:one@h", "cid:all@h", "cid:two@h", "cid:100%25@h"];
        let found = urls.map(|url| read(url, Some(from)));
        assert_eq!(found.each_ref().map(Option::as_deref), [one, all, two, three], "{}", from.content_id);
    }
    let stranger = parse("text/plain", "x").unwrap();
    assert_eq!(read("cid:one@h", Some(&stranger)), None, "only parts of this body refer to it");
}

#[test]
fn empty_parts_and_parts_without_headers_are_read() {
    let entity = parse("multipart/mixed;boundary=a", "--a\r\n\r\n\r\n--a\r\n\r\nx\n--a--").unwrap();
    let Content::Parts(parts) = entity.content else { panic!() };
    assert_eq!(parts[0].content, Content::Single(Bytes::new()));
    assert_eq!(parts[1].content, Content::Single(Bytes::from_static(b"x")));
    assert_eq!(parts[0].content_type.essence(), "text/plain");
}

#[test]
fn broken_multiparts_say_what_is_wrong() {
    let error = |content_type: &str, body: &str| parse(content_type, body.to_owned()).unwrap_err();
    assert_eq!(error("multipart/mixed", "x"), MultipartError::Boundary);
    assert_eq!(error("nonsense", "x"), MultipartError::ContentType("nonsense".to_owned()));
    let mixed = "multipart/mixed;boundary=a";
    assert_eq!(error(mixed, ""), MultipartError::Delimiter("first"));
    assert_eq!(error(mixed, "--ab\r\n\r\nx\r\n--ab--"), MultipartError::Delimiter("first"));
    assert_eq!(error(mixed, "--a\r\n\r\nx\r\n"), MultipartError::Delimiter("last"));
    assert_eq!(error(mixed, "--a\r\nno header\r\n\r\nx\r\n--a--"), MultipartError::PartHeaders(1));
    let endless = format!("--a\r\n{}\r\nx\r\n--a--", "X: y\r\n".repeat(40));
    assert_eq!(error(mixed, &endless), MultipartError::PartHeaders(1));
}

#[test]
fn nesting_and_number_of_parts_are_limited() {
    let mut body = "x".to_owned();
    for level in 0..6 {
        body = format!(
            "--b{level}\r\nContent-Type: {}\r\n\r\n{body}\r\n--b{level}--",
            if level == 0 { "a/b".to_owned() } else { format!("multipart/mixed;boundary=b{}", level - 1) }
        );
    }
    let nested = parse("multipart/mixed;boundary=b5", body);
    assert_eq!(nested, Err(MultipartError::TooMany { what: "levels of nesting", limit: 4 }));
    let many = parse("multipart/mixed;boundary=a", format!("{}--a--", "--a\r\n\r\nx\r\n".repeat(33)));
    assert_eq!(many, Err(MultipartError::TooMany { what: "parts", limit: 32 }));
}

/// RLS-03: what belongs together is read again, and a part of a part has no delimiter of the outer one in it.
#[test]
fn related_parts_are_found_by_their_content_id() {
    let inner = build_related("a/b", &[Related { content_type: "a/b", content_id: "deep@d", body: b"x" }]);
    let parts = [
        Related { content_type: "a/b", content_id: "root@d", body: b"root" },
        Related { content_type: &inner.0, content_id: "list@d", body: &inner.1 },
    ];
    let (content_type, body) = build_related("a/b", &parts);
    assert!(content_type.starts_with("multipart/related;type=\"a/b\";start=\"<root@d>\";boundary="));
    let entity = Entity::parse(Some(content_type.as_bytes()), None, &body).expect("it is read again");
    let Content::Parts(found) = &entity.content else { panic!("{entity:?}") };
    assert_eq!(found.iter().map(|part| part.content_id.as_str()).collect::<Vec<_>>(), ["root@d", "list@d"]);
    let deep = entity.referred("cid:deep@d", None).map(|part| &part.content);
    assert_eq!(deep, Some(&Content::Single(Bytes::from_static(b"x"))));
}
