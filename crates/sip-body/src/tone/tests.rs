use super::*;

/// TPC-13: the ringback of North America as published, and as Carillon writes it.
#[test]
fn the_us_ringback_parses() {
    let published = r#"<?xml version="1.0" encoding="UTF-8"?>
<tones repeat="true">
 <tone><modulation hz="0"/><volume db="-3"/><duration ms="2000"/><frequency hz="440"/><frequency hz="480"/></tone>
 <tone><modulation hz="0"/><volume db="-63"/><duration ms="4000"/><frequency hz="0"/></tone>
</tones>"#;
    assert_eq!(Tones::parse(published.as_bytes()), Ok(Tones::us_ringback()));
    assert_eq!(Tones::parse(Tones::us_ringback().to_xml().as_bytes()), Ok(Tones::us_ringback()));
}

/// TPC-13: modulation and decay are optional.
#[test]
fn optional_elements_may_be_absent_or_present() {
    let tone = Tone {
        modulation_hz: None,
        volume_db: 0,
        duration_ms: 1,
        frequencies_hz: vec![1, 2, 3, 4, 5],
        decay: Some("a<b".to_owned()),
    };
    let tones = Tones { is_repeated: false, tones: vec![tone] };
    let read = Tones::parse(tones.to_xml().as_bytes()).unwrap();
    assert_eq!(read.tones[0].frequencies_hz.len(), 5);
    assert!(read.tones[0].decay.is_some() && read.tones[0].modulation_hz.is_none());
}

/// TPC-13, T27: what is not a tone description is refused; no document type, no unbounded document.
#[test]
fn what_is_no_tone_description_is_refused() {
    let tone = |inside: &str| Tones::parse(format!("<tones><tone>{inside}</tone></tones>").as_bytes());
    assert_eq!(tone("<volume db=\"1\"/><duration ms=\"1\"/>"), Err(ToneError::Incomplete));
    let six = "<frequency hz=\"1\"/>".repeat(6);
    assert_eq!(tone(&format!("<volume db=\"1\"/><duration ms=\"1\"/>{six}")), Err(ToneError::Incomplete));
    assert_eq!(tone("<volume/>"), Err(ToneError::Attribute { element: "volume", attribute: "db" }));
    assert_eq!(
        tone("<duration ms=\"-1\"/>"),
        Err(ToneError::Attribute { element: "duration", attribute: "ms" })
    );
    assert!(matches!(tone("<blink/>"), Err(ToneError::Element(_))));
    assert!(matches!(Tones::parse(b"<!DOCTYPE x [<!ENTITY a 'b'>]><tones/>"), Err(ToneError::Xml(_))));
    assert!(matches!(Tones::parse(b"<tones><tone></tones"), Err(ToneError::Xml(_) | ToneError::Incomplete)));
    assert_eq!(Tones::parse(b"<tones></tones>"), Err(ToneError::Incomplete));
    assert_eq!(Tones::parse(&[b' '; 20_000]), Err(ToneError::TooLarge(16 * 1024)));
}

/// TPC-13: every named ringback is a valid description of its own.
#[test]
fn every_country_has_its_own_ringback() {
    let mut seen: Vec<Tones> = Vec::new();
    for country in ["us", "eu", "uk", "fr", "jp"] {
        let tones = Tones::ringback(country).expect(country);
        assert_eq!(Tones::parse(tones.to_xml().as_bytes()).as_ref(), Ok(&tones), "{country}");
        assert!(!seen.contains(&tones), "{country}");
        seen.push(tones);
    }
    assert_eq!(Tones::ringback("xx"), None);
}
