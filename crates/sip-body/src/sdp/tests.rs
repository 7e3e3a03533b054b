use super::*;

const AUDIO_VIDEO: &str = "v=0\r\no=bob 77 3 IN IP4 192.0.2.9\r\ns=call\r\nc=IN IP4 192.0.2.9\r\nt=5 6\r\na=tool:x\r\n\
    m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=weird:\u{fc} 1  2\r\n\
    m=video 4002 RTP/AVP 31\r\n";
const AUDIO: &str =
    "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\nc=IN IP4 192.0.2.1\r\n";

fn leg() -> LegHistory {
    LegHistory::new(42, "192.0.2.50").unwrap()
}

fn sdp(text: &str) -> Sdp {
    Sdp::parse(text.as_bytes()).unwrap()
}

fn text(body: &Bytes) -> &str {
    std::str::from_utf8(body).unwrap()
}

fn origin(body: &Bytes) -> String {
    String::from_utf8_lossy(Sdp::parse(body).unwrap().origin()).into_owned()
}

fn ports(body: &Bytes) -> Vec<(String, u16)> {
    let sdp = Sdp::parse(body).unwrap();
    sdp.media()
        .iter()
        .map(|media| (String::from_utf8_lossy(media.kind()).into_owned(), media.port()))
        .collect()
}

fn kinds(expected: &[(&str, u16)]) -> Vec<(String, u16)> {
    expected.iter().map(|&(kind, port)| (kind.to_owned(), port)).collect()
}

/// PXY-11: lines that signaling does not understand leave as they came.
#[test]
fn what_is_read_prints_the_same() {
    for body in [AUDIO_VIDEO, AUDIO] {
        assert_eq!(sdp(body).to_bytes(), body.as_bytes());
    }
    let bare_line_feeds = AUDIO.replace("\r\n", "\n");
    assert_eq!(sdp(&bare_line_feeds).to_bytes(), AUDIO.as_bytes());
}

#[test]
fn errors_name_the_line() {
    let parse = |text: &str| Sdp::parse(text.as_bytes());
    assert_eq!(parse("v=0\r\no=x\r\nnonsense\r\n"), Err(SdpError::BadLine { line: 3 }));
    assert_eq!(parse("v=0\r\no=x\r\nm=audio x RTP/AVP 0\r\n"), Err(SdpError::BadMedia { line: 3 }));
    assert_eq!(parse("v=0\r\no=x\r\nm=audio 70000 RTP/AVP 0\r\n"), Err(SdpError::BadMedia { line: 3 }));
    assert_eq!(parse("o=x\r\n"), Err(SdpError::Missing { what: "v=0" }));
    assert_eq!(parse("v=0\r\ns=-\r\n"), Err(SdpError::Missing { what: "o=" }));
    assert!(matches!(parse(&"v=0\r\n".repeat(2_001)), Err(SdpError::TooMany { .. })));
    assert!(matches!(parse(&"m=a 1 b\n".repeat(65)), Err(SdpError::TooMany { .. })));
    assert!(matches!(parse(&" ".repeat(70_000)), Err(SdpError::TooLarge { .. })));
}

#[test]
fn an_origin_cannot_carry_a_second_line() {
    assert!(LegHistory::new(1, "h\r\na=x").is_err());
    assert!(LegHistory::new(1, "").is_err());
    assert!(origin(&LegHistory::new(1, "2001:db8::1").unwrap().offer0()).ends_with("IN IP6 2001:db8::1"));
}

/// LAD-1 step 1: offer0 has no media; the fallback of Flow IV has one inactive audio line.
#[test]
fn the_offers_of_flow_iv_have_no_media_or_one_inactive_line() {
    assert_eq!(text(&leg().offer0()), "v=0\r\no=- 42 1 IN IP4 192.0.2.50\r\ns=-\r\nt=0 0\r\n");
    let inactive = leg().inactive_offer();
    assert_eq!(ports(&inactive), kinds(&[("audio", 9)]));
    let read = Sdp::parse(&inactive).unwrap();
    assert_eq!(read.direction(0), Some(Direction::Inactive));
    assert_eq!(read.media()[0].connection(&read), Some(&b"IN IP4 0.0.0.0"[..]));
}

/// TPC-04, OFA-05: the o= line of the leg stays, its version rises by one, all else is untouched.
#[test]
fn a_fitted_offer_keeps_the_legs_origin_and_the_other_lines() {
    let mut leg = leg();
    leg.offer0();
    leg.answered();
    let fitted = leg.fit_offer(&sdp(AUDIO_VIDEO), None);
    assert_eq!(
        text(&fitted.body),
        AUDIO_VIDEO.replace("o=bob 77 3 IN IP4 192.0.2.9", "o=- 42 2 IN IP4 192.0.2.50")
    );
}

/// OFA-05: the version rises exactly when the text changes.
#[test]
fn versions_count_changes_of_text() {
    let mut leg = leg();
    let offers = [AUDIO, AUDIO, AUDIO_VIDEO, AUDIO_VIDEO, AUDIO];
    let versions: Vec<String> = offers
        .iter()
        .map(|offer| {
            let body = leg.fit_offer(&sdp(offer), None).body;
            leg.answered();
            origin(&body).split(' ').nth(2).unwrap().to_owned()
        })
        .collect();
    assert_eq!(versions, ["1", "1", "2", "2", "3"]);
}

/// TPC-04, OFA-04, OFA-05: A has audio alone, B offers audio and video: appended for A; A's answer comes back in B's order.
#[test]
fn new_lines_are_appended_and_the_answer_is_brought_back() {
    let (mut a, mut b) = (leg(), LegHistory::new(7, "192.0.2.50").unwrap());
    a.inactive_answer(&sdp(AUDIO));
    let fitted = a.fit_offer(&sdp(AUDIO_VIDEO), None);
    assert_eq!(ports(&fitted.body), kinds(&[("audio", 4000), ("video", 4002)]));

    let answer = sdp(&format!("{AUDIO}m=video 0 RTP/AVP 31\r\nc=IN IP4 192.0.2.1\r\n"));
    let back = b.fit_answer(&sdp(AUDIO_VIDEO), &answer, &fitted.map);
    assert_eq!(ports(&back), kinds(&[("audio", 5000), ("video", 0)]));
    assert!(text(&back).contains("t=5 6\r\n"), "OFA-04: the t= line is the offer's");
    assert!(text(&back).starts_with("v=0\r\no=- 7 1 IN IP4 192.0.2.50\r\ns=-\r\n"));
}

/// TPC-04: A has video and audio, B offers audio alone: A's video stays with port 0 and never reaches B.
#[test]
fn lines_without_a_match_are_padded_and_trimmed_again() {
    let (mut a, mut b) = (leg(), LegHistory::new(7, "192.0.2.50").unwrap());
    let video_audio =
        "v=0\r\no=alice 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=video 6 RTP/AVP 31 34\r\nm=audio 8 RTP/AVP 8\r\n";
    a.inactive_answer(&sdp(video_audio));
    let fitted = a.fit_offer(&sdp(AUDIO), None);
    assert_eq!(ports(&fitted.body), kinds(&[("video", 0), ("audio", 5000)]));
    assert!(text(&fitted.body).contains("m=video 0 RTP/AVP 31 34\r\nc=IN IP4 0.0.0.0\r\n"), "RFC 4566 5.7");

    let answer = sdp(
        "v=0\r\no=alice 1 2 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 31\r\nm=audio 9000 RTP/AVP 8\r\n",
    );
    assert_eq!(ports(&b.fit_answer(&sdp(AUDIO), &answer, &fitted.map)), kinds(&[("audio", 9000)]));
    a.answered();

    // the other way round: A holds; its dead video line is not offered to B
    let hold = sdp(
        "v=0\r\no=alice 1 3 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 31\r\nm=audio 9000 RTP/AVP 8\r\na=sendonly\r\n",
    );
    let toward_b = b.fit_offer(&hold, Some(&fitted.map.inverse()));
    assert_eq!(ports(&toward_b.body), kinds(&[("audio", 9000)]));
    assert!(text(&toward_b.body).ends_with("a=sendonly\r\n"));
    let answered = sdp(&AUDIO.replace("s=-", "s=-\r\na=recvonly"));
    assert_eq!(
        ports(&a.fit_answer(&hold, &answered, &toward_b.map)),
        kinds(&[("video", 0), ("audio", 5000)])
    );
}

/// TPC-04: two streams of one kind keep their places over several offers, although one of them is unknown at first.
#[test]
fn equal_kinds_keep_their_places() {
    let mut a = leg();
    let dead_then_living =
        sdp("v=0\r\no=b 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\nm=audio 50 RTP/AVP 8\r\n");
    let first = a.fit_offer(&dead_then_living, None);
    assert_eq!(first.map.to_stored(), [-1, 0]);
    a.answered();
    let second = a.fit_offer(&dead_then_living, Some(&LineMap::from_stored(&first.map.to_stored())));
    assert_eq!((second.map.clone(), second.body), (first.map, first.body));
    let both =
        sdp("v=0\r\no=b 1 2 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 60 RTP/AVP 0\r\nm=audio 50 RTP/AVP 8\r\n");
    let third = a.fit_offer(&both, Some(&second.map));
    assert_eq!(third.map.to_stored(), [1, 0]);
    assert_eq!(ports(&third.body), kinds(&[("audio", 50), ("audio", 60)]));
}

/// RFC 8843 6: a bundle-only line has port 0 and is alive.
#[test]
fn bundle_only_lines_are_carried() {
    let offer = sdp(
        "v=0\r\no=b 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 50 X 0\r\nm=video 0 X 96\r\na=bundle-only\r\n",
    );
    let fitted = leg().fit_offer(&offer, None);
    assert_eq!(fitted.map.to_stored(), [0, 1]);
    assert!(text(&fitted.body).ends_with("m=video 0 X 96\r\na=bundle-only\r\n"));
}

/// OFA-05: an offer that was refused leaves the session's lines as they were.
#[test]
fn a_refused_offer_adds_no_lines() {
    let mut leg = leg();
    leg.fit_offer(&sdp(AUDIO), None);
    leg.answered();
    leg.fit_offer(&sdp(AUDIO_VIDEO), None);
    leg.refused();
    let again = leg.fit_offer(&sdp(AUDIO), None).body;
    assert_eq!(ports(&again), kinds(&[("audio", 5000)]));
    assert_eq!(origin(&again), "- 42 3 IN IP4 192.0.2.50");
}

/// OFA-04, TPC-09: a refusing answer has every line with port 0; an answer to nothing has nothing.
#[test]
fn a_refusing_answer_has_every_port_zero() {
    assert_eq!(ports(&leg().reject_answer(&sdp(AUDIO_VIDEO))), kinds(&[("audio", 0), ("video", 0)]));
    let none = leg().reject_answer(&sdp("v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nt=9 9\r\n"));
    assert_eq!(text(&none), "v=0\r\no=- 42 1 IN IP4 192.0.2.50\r\ns=-\r\nt=9 9\r\n");
}

/// LAD-2 step 3: same lines and codecs, inactive. TPC-11: IPv6 gets a name under .invalid.
#[test]
fn an_inactive_answer_keeps_lines_and_codecs() {
    let answer = leg().inactive_answer(&sdp(AUDIO_VIDEO));
    let read = Sdp::parse(&answer).unwrap();
    assert_eq!(ports(&answer), kinds(&[("audio", 9), ("video", 9)]));
    assert!(text(&answer).contains("m=audio 9 RTP/AVP 0 101\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:101 "));
    assert_eq!(
        (read.direction(0), read.direction(1)),
        (Some(Direction::Inactive), Some(Direction::Inactive))
    );
    let ip6 = AUDIO.replace("IP4 192.0.2.1", "IP6 2001:db8::1");
    assert!(text(&leg().inactive_answer(&sdp(&ip6))).contains("c=IN IP6 black-hole.invalid\r\n"));
}

/// TPC-11: the black hole replaces every connection address and nothing else.
#[test]
fn the_black_hole_replaces_addresses_alone() {
    let hole = sdp(AUDIO_VIDEO).to_black_hole();
    assert_eq!(hole.to_bytes(), AUDIO_VIDEO.replace("c=IN IP4 192.0.2.9", "c=IN IP4 0.0.0.0").as_bytes());
    assert!(hole.is_hold());
    let ip6 = sdp(&AUDIO.replace("c=IN IP4 192.0.2.1", "c=IN IP6 2001:db8::1")).to_black_hole();
    assert_eq!(ip6.media()[0].connection(&ip6), Some(&b"IN IP6 black-hole.invalid"[..]));
}

/// OFA-06: attribute of the stream, else of the session, else both ways; 0.0.0.0 is a hold; pairs mirror.
#[test]
fn directions_are_understood_in_all_their_spellings() {
    let direction = |insert: &str, address: &str| {
        let text = AUDIO_VIDEO.replace("a=tool:x", insert).replace("c=IN IP4 192.0.2.9", address);
        sdp(&text).direction(1)
    };
    assert_eq!(direction("a=tool:x", "c=IN IP4 192.0.2.9"), Some(Direction::SendRecv));
    assert_eq!(direction("a=recvonly", "c=IN IP4 192.0.2.9"), Some(Direction::RecvOnly));
    assert_eq!(direction("a=tool:x", "c=IN IP4 0.0.0.0"), Some(Direction::SendOnly));
    assert_eq!(direction("a=recvonly", "c=IN IP4 0.0.0.0"), Some(Direction::Inactive));
    let mut own = sdp(&AUDIO_VIDEO.replace("a=tool:x", "a=recvonly"));
    own.set_direction(Direction::SendOnly);
    assert_eq!((own.direction(0), own.direction(1)), (Some(Direction::SendOnly), Some(Direction::SendOnly)));
    assert_eq!(own.direction(2), None);
    for one in [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive] {
        assert_eq!(one.mirror().mirror(), one);
    }
    assert_eq!(Direction::SendOnly.mirror(), Direction::RecvOnly);
}

/// OFA-06: hold is what was said last, inactive, one version on.
#[test]
fn hold_repeats_the_last_description_inactive() {
    let mut leg = leg();
    assert_eq!(leg.hold_offer(), None);
    leg.fit_offer(&sdp(AUDIO), None);
    leg.answered();
    let hold = leg.hold_offer().unwrap();
    assert!(Sdp::parse(&hold).unwrap().is_hold());
    assert_eq!(origin(&hold), "- 42 2 IN IP4 192.0.2.50");
    assert_eq!(leg.hold_offer(), Some(hold), "the same text keeps its version");
}

/// LAD-2 branch k, UAC-11.
#[test]
fn a_common_codec_is_found_by_name_or_number() {
    let with = |formats: &str| {
        sdp(&format!("v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 50 RTP/AVP {formats}\r\n"))
    };
    let dynamic_pcma = with("97\r\na=rtpmap:97 pcma/8000/1");
    assert!(has_common_codec(&with("0 8"), &dynamic_pcma));
    assert!(!has_common_codec(&with("0"), &dynamic_pcma));
    let events = with("0 101\r\na=rtpmap:101 telephone-event/8000");
    assert!(!has_common_codec(&events, &with("8 101\r\na=rtpmap:101 telephone-event/8000")));
    let video = sdp("v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=video 50 RTP/AVP 31\r\n");
    assert!(!has_common_codec(&video, &with("0")));
    assert!(!has_common_codec(
        &with("0"),
        &sdp("v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n")
    ));
}

/// T22: keys in a description do not reach a log.
#[test]
fn debug_output_holds_no_keys() {
    let shown = format!("{:?}", sdp(&format!("{AUDIO}a=crypto:1 AES inline:SECRET\r\n")));
    assert!(!shown.contains("SECRET") && shown.contains("m=audio"));
}

#[test]
fn a_history_survives_storage() {
    let mut one = leg();
    one.fit_offer(&sdp(AUDIO_VIDEO), None);
    let mut two = LegHistory::restore(one.snapshot()).unwrap();
    assert_eq!(one, two);
    one.answered();
    two.answered();
    assert_eq!(one.fit_offer(&sdp(AUDIO), None), two.fit_offer(&sdp(AUDIO), None));
    let damaged = HistorySnapshot { lines: vec![Bytes::from_static(b"x")], ..one.snapshot() };
    assert!(LegHistory::restore(damaged).is_err());
}

/// UAC-11: key presses and comfort noise alone are no conversation.
#[test]
fn events_and_noise_are_no_codecs() {
    let with = |formats: &str| {
        sdp(&format!("v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 50 RTP/AVP {formats}\r\n"))
    };
    assert!(with("0").has_codec() && with("0 101\r\na=rtpmap:101 telephone-event/8000").has_codec());
    assert!(!with("101\r\na=rtpmap:101 telephone-event/8000").has_codec());
    assert!(!with("13").has_codec());
    assert!(!sdp("v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n").has_codec());
    let data =
        "v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    assert!(sdp(data).has_codec());
}
