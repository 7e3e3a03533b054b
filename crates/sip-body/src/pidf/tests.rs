use super::*;

const DOCUMENT: &str = "<?xml version=\"1.0\"?>\n\
    <p:presence xmlns:p=\"urn:ietf:params:xml:ns:pidf\" xmlns:x='urn:x' entity=\"pres:alice@d\">\n\
    <p:tuple id=\"a&amp;1\" x:y='say \"hi\"'><p:status><p:basic>open</p:basic><x:mood deep=\"1\"/></p:status>\
    <x:extra>&#228;</x:extra><p:contact priority='0.8'>im:alice@d</p:contact><p:note>out &lt;soon&gt;</p:note>\
    <p:timestamp>2026-11-21T00:00:00Z</p:timestamp></p:tuple>\n\
    <p:tuple id=\"b\"><p:status><p:basic>closed</p:basic></p:status></p:tuple>\n\
    <p:note>about Alice</p:note><x:person><x:inner/></x:person>\n\
    </p:presence>";

fn tuples(pidf: &Pidf) -> Vec<&Tuple> {
    fn tuple(part: &Part) -> Option<&Tuple> {
        match part {
            Part::Tuple(tuple) => Some(tuple),
            Part::Note { .. } | Part::Other(_) => None,
        }
    }
    pidf.parts.iter().filter_map(tuple).collect()
}

/// PRS-05: what is understood is read, and what is not is kept with its namespaces.
#[test]
fn a_document_is_read_and_written_with_what_is_not_understood() {
    let pidf = Pidf::parse(DOCUMENT.as_bytes()).unwrap();
    assert_eq!((pidf.entity.as_str(), pidf.parts.len()), ("pres:alice@d", 4));
    let first = tuples(&pidf)[0];
    assert_eq!((first.id.as_str(), first.is_open, first.priority_milli), ("a&1", Some(true), Some(800)));
    assert_eq!((&*first.contact, &*first.note), ("im:alice@d", "out <soon>"));
    assert_eq!(first.timestamp, "2026-11-21T00:00:00Z");
    assert_eq!(tuples(&pidf)[1].is_open, Some(false));
    let written = pidf.to_xml();
    for kept in [
        "<x:mood deep=\"1\"/>",
        "<x:extra>&#228;</x:extra>",
        "x:y=\"say &quot;hi&quot;\"",
        "xmlns:x=\"urn:x\"",
    ] {
        assert!(written.contains(kept), "{kept}: {written}");
    }
    assert_eq!(Pidf::parse(written.as_bytes()).unwrap().to_xml(), written);
}

#[test]
fn what_is_made_here_is_read_as_it_was_meant() {
    let tuple = Tuple {
        id: "t1".to_owned(),
        is_open: Some(true),
        contact: "sip:a@d;x=\"<&>\"".to_owned(),
        priority_milli: Some(50),
        note: "a\u{0}b & c".to_owned(),
        timestamp: "2026-11-21T00:00:00Z".to_owned(),
        ..Tuple::default()
    };
    let parts = vec![Part::note("x < y"), Part::Tuple(tuple.made())];
    let written = Pidf { entity: "sip:a@d".to_owned(), parts }.to_xml();
    assert!(written.find("<tuple") < written.find("<note>x"), "{written}");
    let read = Pidf::parse(written.as_bytes()).unwrap();
    let tuple = tuples(&read)[0];
    assert_eq!((&*tuple.contact, tuple.priority_milli), ("sip:a@d;x=\"<&>\"", Some(50)));
    assert_eq!((&*tuple.note, read.parts.len()), ("ab & c", 2));
}

/// PRS-05: a basic status that RFC 3863 does not know, as phones send that have not decided yet, says nothing; the rest of its tuple counts.
#[test]
fn a_basic_status_that_nobody_knows_is_left_out() {
    let odd = "<p:basic> unknown </p:basic>";
    for basic in [odd, "<p:basic/>", "<p:basic>unknown<!-- --></p:basic><p:basic>maybe</p:basic>"] {
        let document = DOCUMENT.replace("<p:basic>open</p:basic>", basic);
        let pidf = Pidf::parse(document.as_bytes()).unwrap();
        assert_eq!(tuples(&pidf)[0].is_open, None);
        let written = pidf.to_xml();
        assert!(!written.contains("unknown") && !written.contains("maybe"), "{written}");
        assert!(written.contains("<x:mood deep=\"1\"/></p:status><x:extra>"), "{written}");
        assert!(written.contains("<p:basic>closed</p:basic>"), "{written}");
        assert_eq!(Pidf::parse(written.as_bytes()).unwrap().to_xml(), written);
    }
}

/// PRS-05: phones put what a tuple holds in orders of their own, and make ids of digits; nobody else is shown that.
#[test]
fn what_is_kept_stands_in_the_order_of_the_schema_under_names_of_xml() {
    let document = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:x=\"urn:x\" entity=\"pres:a@d\">\
        <tuple id=\"1\"><timestamp>2026-11-21T00:00:00Z</timestamp> <note>one</note><contact>sip:a@d</contact>\
        <x:mood/><note>two</note><status><basic>unknown</basic><x:s/></status></tuple>\
        <tuple id=\"a b&amp;\"><status/></tuple></presence>";
    let written = Pidf::normalized(document.as_bytes()).unwrap();
    let tuple = "<tuple id=\"_1\"><status><x:s/></status><x:mood/><contact>sip:a@d</contact><note>one</note>\
        <note>two</note><timestamp>2026-11-21T00:00:00Z</timestamp></tuple>";
    assert!(written.contains(&tuple.replace("<tuple", "<tuple xmlns:x=\"urn:x\"")), "{written}");
    assert!(written.contains("id=\"_a_20_b_26_\""), "{written}");
    assert_eq!(Pidf::normalized(written.as_bytes()).as_ref(), Ok(&written));
    let alike = document.replace("a b&amp;", "_1");
    assert!(Pidf::normalized(alike.as_bytes()).is_err());
}

/// T27: what is read as UTF-8 says no other encoding, in which another reader would read something else.
#[test]
fn a_document_that_declares_another_encoding_is_refused() {
    let with = |encoding: &str| {
        format!("<?xml version=\"1.0\"{encoding}?><presence xmlns=\"{NAMESPACE}\" entity=\"pres:a@d\"/>")
    };
    for encoding in ["", " encoding=\"utf-8\"", " encoding='US-ASCII'"] {
        assert!(Pidf::parse(with(encoding).as_bytes()).is_ok(), "{encoding}");
    }
    for encoding in [" encoding=\"UTF-16\"", " encoding='ISO-8859-1'", " encoding=\"utf-7\""] {
        let refused = Pidf::parse(with(encoding).as_bytes());
        assert_eq!(refused, Err(XmlError::Forbidden("an encoding other than UTF-8")), "{encoding}");
    }
}

/// T27: document types, entities of its own, depth, size.
#[test]
fn what_no_presence_document_needs_is_refused() {
    let with = |inner: &str| {
        format!("<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"a\">{inner}</presence>")
    };
    let tuple = "<tuple id=\"a\"><status/></tuple>";
    assert!(Pidf::parse(with(tuple).as_bytes()).is_ok());
    let deep = format!("{}{}", "<x>".repeat(40), "</x>".repeat(40));
    let long = format!("<note>{}</note>", "a".repeat(70_000));
    for bad in [
        String::new(),
        "<presence entity=\"a\"/>".to_owned(),
        "<!DOCTYPE x [<!ENTITY e \"boom\">]>".to_owned() + &with(tuple),
        with("<note>&e;</note>"),
        with("<tuple id=\"&e;\"/>"),
        with("<note x=\"&e;\"/>"),
        with("<?run me?>"),
        with("<note>\u{1}</note>"),
        with("<note>&#1;</note>"),
        with("<note x=\"&#0;\"/>"),
        with(&deep),
        with(&long),
        with(&tuple.repeat(2)),
        with("<tuple><status/></tuple>"),
        with("<y:z/>"),
        with("<tuple id=\"a\">"),
        with("text"),
        "text".to_owned() + &with(tuple),
        with(tuple) + "text",
        with(tuple) + &with(tuple),
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"/>".to_owned(),
        with(tuple).replace("</presence>", "</absence>"),
        with(tuple).replace("</presence>", ""),
    ] {
        assert!(Pidf::parse(bad.as_bytes()).is_err(), "{bad:.200}");
    }
    assert!(Pidf::parse(b"\xff\xfe<presence/>").is_err());
}

/// T27: each part carries the namespaces of its root, so that a large root with many parts would be many times itself.
#[test]
fn a_document_that_would_grow_beyond_its_limit_is_refused() {
    let namespaces = format!("xmlns:a=\"urn:{}\"", "x".repeat(20_000));
    let with = |parts: usize| {
        let parts = "<a:b/>".repeat(parts);
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" {namespaces} entity=\"e\">{parts}</presence>"
        )
    };
    assert!(Pidf::normalized(with(3).as_bytes()).is_ok());
    assert_eq!(
        Pidf::parse(with(1_000).as_bytes()),
        Err(XmlError::TooLarge("64 kB with the namespaces of each part"))
    );
}
