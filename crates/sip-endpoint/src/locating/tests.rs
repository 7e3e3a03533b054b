//! Each branch of RFC 3263 4 against zones written as lines.

use sip_message::Uri;

use super::*;

const ALL: &[Transport] = &[Transport::Tls, Transport::Tcp, Transport::Udp];
const PLAIN: &[Transport] = &[Transport::Tcp, Transport::Udp];

/// Every branch, and what the RFC calls the same case.
const FULL: &str = "
    NAPTR e.com 50 50 s SIPS+D2T _sips._tcp.e.com
    NAPTR e.com 90 50 s SIP+D2T _sip._tcp.e.com
    NAPTR e.com 100 50 s SIP+D2U _sip._udp.e.com
    SRV _sips._tcp.e.com 0 1 5061 s1.e.com
    SRV _sip._tcp.e.com 0 1 5060 s1.e.com
    SRV _sip._tcp.e.com 1 1 5062 s2.e.com
    SRV _sip._udp.e.com 0 1 5070 s2.e.com
    A s1.e.com 192.0.2.1
    A s1.e.com 2001:db8::1
    A s2.e.com 192.0.2.2
    A e.com 192.0.2.9";

/// DNS-01, DNS-02, DNS-03: the URI, the transports there are, the zone, what is asked and what is found.
#[test]
fn a_uri_leads_where_rfc_3263_says() {
    let without_naptr = &FULL.replace("NAPTR e.com", "NAPTR other.com");
    let addresses_alone = "A e.com 192.0.2.9\nA e.com 2001:db8::9";
    let no_answer_for = |what: &str| format!("{what}\n{addresses_alone}");
    let check = |case: &str, uri: &str, supported: &[Transport], zone: &str, asked: &str, found: &str| {
        assert_eq!(run(uri, supported, zone, 1), (asked.to_owned(), found.to_owned()), "{case}");
    };
    check("numeric", "sip:192.0.2.7", ALL, "", "", "UDP 192.0.2.7:5060");
    check("numeric sips", "sips:[2001:db8::7]", ALL, "", "", "TLS [2001:db8::7]:5061");
    check("port", "sip:e.com:5070", ALL, FULL, "a e.com", "UDP 192.0.2.9:5070");
    check("port of sips", "sips:e.com:5071", ALL, FULL, "a e.com", "TLS 192.0.2.9:5071");
    check("port, transport", "sip:e.com:5070;transport=tcp", ALL, FULL, "a e.com", "TCP 192.0.2.9:5070");
    check(
        "transport",
        "sip:e.com;transport=udp",
        ALL,
        FULL,
        "srv _sip._udp.e.com, a s2.e.com",
        "UDP 192.0.2.2:5070",
    );
    check(
        "transport of sips",
        "sips:e.com;transport=tcp",
        ALL,
        FULL,
        "srv _sips._tcp.e.com, a s1.e.com",
        "TLS 192.0.2.1:5061, TLS [2001:db8::1]:5061",
    );
    check(
        "transport without srv",
        "sip:e.com;transport=tcp",
        ALL,
        addresses_alone,
        "srv _sip._tcp.e.com, a e.com",
        "TCP 192.0.2.9:5060, TCP [2001:db8::9]:5060",
    );
    check("transport that is not ours", "sip:e.com;transport=ws", ALL, FULL, "", "NoTransport");
    check(
        "maddr",
        "sip:x.com;maddr=e.com;transport=udp",
        ALL,
        FULL,
        "srv _sip._udp.e.com, a s2.e.com",
        "UDP 192.0.2.2:5070",
    );
    check(
        "order decides tls",
        "sip:e.com",
        ALL,
        FULL,
        "naptr e.com, srv _sips._tcp.e.com, a s1.e.com",
        "TLS 192.0.2.1:5061, TLS [2001:db8::1]:5061",
    );
    check(
        "order among what we have",
        "sip:e.com",
        PLAIN,
        FULL,
        "naptr e.com, srv _sip._tcp.e.com, a s1.e.com, a s2.e.com",
        "TCP 192.0.2.1:5060, TCP [2001:db8::1]:5060, TCP 192.0.2.2:5062",
    );
    check(
        "no naptr of ours",
        "sip:e.com",
        &[Transport::Udp],
        "NAPTR e.com 1 1 s SIP+D2T _sip._tcp.e.com\nSRV _sip._udp.e.com 0 0 5070 s2.e.com\nA s2.e.com 192.0.2.2",
        "naptr e.com, srv _sip._udp.e.com, a s2.e.com",
        "UDP 192.0.2.2:5070",
    );
    check(
        "one order, both preferences",
        "sip:e.com",
        PLAIN,
        "NAPTR e.com 1 20 s SIP+D2T t.e.com\nNAPTR e.com 1 10 S sip+d2u u.e.com\nNAPTR e.com 2 1 s SIP+D2U v.e.com\n\
         SRV t.e.com 0 0 5060 h.e.com\nSRV u.e.com 0 0 5062 H.e.com\nA h.e.com 192.0.2.5\nA H.e.com 192.0.2.5",
        "naptr e.com, srv u.e.com, srv t.e.com, a H.e.com",
        "UDP 192.0.2.5:5062, TCP 192.0.2.5:5060",
    );
    check(
        "sips keeps sips",
        "sips:e.com",
        ALL,
        &FULL.replace(" 50 50 s SIPS", " 500 50 s SIPS"),
        "naptr e.com, srv _sips._tcp.e.com, a s1.e.com",
        "TLS 192.0.2.1:5061, TLS [2001:db8::1]:5061",
    );
    check(
        "sips without naptr of sips",
        "sips:e.com",
        ALL,
        "NAPTR e.com 1 1 s SIP+D2U _sip._udp.e.com\nA e.com 192.0.2.9",
        "naptr e.com, srv _sips._tcp.e.com, a e.com",
        "TLS 192.0.2.9:5061",
    );
    check("sips without tls here", "sips:e.com", PLAIN, FULL, "", "NoTransport");
    check(
        "websocket",
        "sip:e.com",
        &[Transport::Wss, Transport::Udp],
        "NAPTR e.com 1 1 s SIPS+D2W _sips._ws.e.com\nSRV _sips._ws.e.com 0 0 443 w.e.com\nA w.e.com 192.0.2.4",
        "naptr e.com, srv _sips._ws.e.com, a w.e.com",
        "WSS 192.0.2.4:443",
    );
    check(
        "srv without naptr",
        "sip:e.com",
        ALL,
        without_naptr,
        "naptr e.com, srv _sip._tcp.e.com, srv _sip._udp.e.com, a s1.e.com, a s2.e.com",
        "TCP 192.0.2.1:5060, TCP [2001:db8::1]:5060, TCP 192.0.2.2:5062, UDP 192.0.2.2:5070",
    );
    check(
        "nothing but addresses",
        "sip:e.com",
        ALL,
        addresses_alone,
        "naptr e.com, srv _sip._tcp.e.com, srv _sip._udp.e.com, a e.com",
        "UDP 192.0.2.9:5060, UDP [2001:db8::9]:5060",
    );
    check(
        "nothing",
        "sip:e.com",
        ALL,
        "",
        "naptr e.com, srv _sip._tcp.e.com, srv _sip._udp.e.com, a e.com",
        "NoSuchHost",
    );
    check(
        "naptr without its srv",
        "sip:e.com",
        ALL,
        "NAPTR e.com 1 1 s SIP+D2T _sip._tcp.e.com\nA e.com 192.0.2.9",
        "naptr e.com, srv _sip._tcp.e.com, a e.com",
        "TCP 192.0.2.9:5060",
    );
    check(
        "naptr of something else",
        "sip:e.com",
        &[Transport::Udp],
        "NAPTR e.com 1 1 u E2U+sip .\nNAPTR e.com 1 1 u SIP+D2U h.e.com\nNAPTR e.com 1 1 s SIP+D2U .\n\
         NAPTR e.com 1 1 a SIP+D2U .\nNAPTR e.com 1 1 - SIP+D2U e.com\nA e.com 192.0.2.9",
        "naptr e.com, srv _sip._udp.e.com, a e.com",
        "UDP 192.0.2.9:5060",
    );
    check(
        "naptr of a host",
        "sip:e.com",
        PLAIN,
        "NAPTR e.com 1 1 A SIP+D2T h.e.com\nSRV h.e.com 0 0 1 x.e.com\nA h.e.com 192.0.2.3\nA e.com 192.0.2.9",
        "naptr e.com, a h.e.com",
        "TCP 192.0.2.3:5060",
    );
    check(
        "naptr of a host without addresses",
        "sip:e.com",
        PLAIN,
        "NAPTR e.com 1 1 a SIP+D2T h.e.com\nA e.com 192.0.2.9",
        "naptr e.com, a h.e.com",
        "NoSuchHost",
    );
    check(
        "naptr of a host beside others, for sips",
        "sips:e.com",
        ALL,
        "NAPTR e.com 1 1 a SIP+D2U u.e.com\nNAPTR e.com 2 3 a SIPS+D2T h.e.com\n\
         NAPTR e.com 2 2 s SIPS+D2T t.e.com\nSRV t.e.com 0 0 5071 s.e.com\nA s.e.com 192.0.2.4\nA h.e.com 192.0.2.3",
        "naptr e.com, srv t.e.com, a s.e.com, a h.e.com",
        "TLS 192.0.2.4:5071, TLS 192.0.2.3:5061",
    );
    check(
        "not offered",
        "sip:e.com",
        &[Transport::Udp],
        "SRV _sip._udp.e.com 0 0 0 .\nA e.com 192.0.2.9",
        "naptr e.com, srv _sip._udp.e.com",
        "NoSuchHost",
    );
    check(
        "one not offered",
        "sip:e.com",
        PLAIN,
        "SRV _sip._tcp.e.com 0 0 0 .\nSRV _sip._udp.e.com 0 0 1 s.e.com\nA s.e.com 192.0.2.1",
        "naptr e.com, srv _sip._tcp.e.com, srv _sip._udp.e.com, a s.e.com",
        "UDP 192.0.2.1:1",
    );
    check(
        "error to naptr",
        "sip:e.com",
        &[Transport::Udp],
        &no_answer_for("SERVFAIL naptr e.com"),
        "naptr e.com, srv _sip._udp.e.com, a e.com",
        "UDP 192.0.2.9:5060, UDP [2001:db8::9]:5060",
    );
    check(
        "error to srv",
        "sip:e.com;transport=udp",
        ALL,
        &no_answer_for("SERVFAIL srv _sip._udp.e.com"),
        "srv _sip._udp.e.com, a e.com",
        "UDP 192.0.2.9:5060, UDP [2001:db8::9]:5060",
    );
    check("error to a", "sip:e.com:1", ALL, "SERVFAIL a e.com", "a e.com", "Unavailable");
    check(
        "silence to naptr",
        "sip:e.com",
        ALL,
        &no_answer_for("SILENT naptr e.com"),
        "naptr e.com",
        "TimedOut",
    );
    check(
        "silence to srv",
        "sip:e.com;transport=udp",
        ALL,
        &no_answer_for("SILENT srv _sip._udp.e.com"),
        "srv _sip._udp.e.com",
        "TimedOut",
    );
    check(
        "silence to one of two srv",
        "sip:e.com",
        PLAIN,
        "SILENT srv _sip._tcp.e.com\nSRV _sip._udp.e.com 0 0 1 s.e.com\nA s.e.com 192.0.2.1",
        "naptr e.com, srv _sip._tcp.e.com, srv _sip._udp.e.com, a s.e.com",
        "UDP 192.0.2.1:1",
    );
    check(
        "silence to one of two hosts",
        "sip:e.com;transport=udp",
        ALL,
        "SRV _sip._udp.e.com 0 0 1 s.e.com\nSRV _sip._udp.e.com 1 0 1 t.e.com\nSILENT a s.e.com\nA t.e.com 192.0.2.1",
        "srv _sip._udp.e.com, a s.e.com, a t.e.com",
        "UDP 192.0.2.1:1",
    );
    check(
        "silence beats absence",
        "sip:e.com;transport=udp",
        ALL,
        "SRV _sip._udp.e.com 0 0 1 s.e.com\nSRV _sip._udp.e.com 1 0 1 t.e.com\nSILENT a s.e.com",
        "srv _sip._udp.e.com, a s.e.com, a t.e.com",
        "TimedOut",
    );
}

/// RFC 3261 26.2.2: nothing makes a sips URI leave by UDP.
#[test]
fn sips_with_datagrams_is_no_target() {
    assert_eq!(Target::of_uri(&Uri::parse(b"sips:e.com;transport=udp").unwrap()), None);
}

/// DNS-04: priorities are kept and weights spread, over the machine as a whole.
#[test]
fn a_thousand_calls_spread_by_weight_within_a_priority() {
    let zone = "SRV _sip._udp.e.com 0 30 1 a.e.com\nSRV _sip._udp.e.com 0 10 2 b.e.com\nSRV _sip._udp.e.com 1 99 3 c.e.com\n\
        A a.e.com 192.0.2.1\nA b.e.com 192.0.2.2\nA c.e.com 192.0.2.3";
    let mut first_is_a = 0;
    for draw in 0..1000 {
        let (_, found) = run("sip:e.com;transport=udp", ALL, zone, draw);
        assert!(found.ends_with("UDP 192.0.2.3:3"), "{found}");
        assert_eq!(run("sip:e.com;transport=udp", ALL, zone, draw).1, found, "the same draw, the same order");
        first_is_a += u32::from(found.starts_with("UDP 192.0.2.1:1"));
    }
    assert!((700..=800).contains(&first_is_a), "{first_is_a}");
}

#[test]
fn a_zone_with_thousands_of_records_costs_a_bounded_number_of_questions() {
    let record = |at: usize| format!("SRV _sip._udp.e.com {at} 0 5060 h{at}.e.com\nSILENT a h{at}.e.com");
    let zone: Vec<String> = (0..5000).map(record).collect();
    let (asked, _) = run("sip:e.com;transport=udp", ALL, &zone.join("\n"), 1);
    assert_eq!(asked.split(", ").count(), 1 + MAX_HOSTS);
    assert!(asked.contains(" h15.e.com") && !asked.contains(" h16.e.com"), "the first of the order: {asked}");
    let ports: Vec<String> = (0..5000).map(|at| format!("SRV _sip._udp.e.com 0 0 {at} h.e.com")).collect();
    let (_, found) = run("sip:e.com;transport=udp", ALL, &(ports.join("\n") + "\nA h.e.com 192.0.2.1"), 1);
    assert_eq!(found.split(", ").count(), MAX_DESTINATIONS);
    let naptr: Vec<String> = (0..500).map(|at| format!("NAPTR e.com 1 {at} s SIP+D2U n{at}.e.com")).collect();
    let (asked, _) = run("sip:e.com", ALL, &naptr.join("\n"), 1);
    assert_eq!(asked.matches("srv ").count(), MAX_SERVICES);
}

/// Every state against every reply: what nothing waits for changes nothing and says nothing.
#[test]
fn a_reply_that_was_not_asked_for_is_ignored_in_every_state() {
    let target = |text: &str| Target::of_uri(&Uri::parse(text.as_bytes()).unwrap()).unwrap();
    let silent = Err(DnsError::TimedOut);
    let replies = [
        Reply::Pointers(Ok(Vec::new())),
        Reply::Services(7, Ok(Vec::new())),
        Reply::Addresses(7, Ok(Vec::new())),
        Reply::Services(0, Err(DnsError::NoSuchHost)),
        Reply::Addresses(0, Err(DnsError::NoSuchHost)),
    ];
    let mut table = String::new();
    for (state, uri) in [
        ("Pointers", "sip:e.com"),
        ("Services", "sip:e.com;transport=udp"),
        ("Addresses", "sip:e.com:1"),
        ("Over", "sip:192.0.2.1"),
    ] {
        for (name, reply) in
            ["pointers", "services 7", "addresses 7", "services 0", "addresses 0"].iter().zip(&replies)
        {
            let mut machine = Locating::new(&target(uri), ALL, 1);
            while machine.poll_output().is_some() {}
            machine.handle_reply(reply.clone());
            let outputs: Vec<_> = std::iter::from_fn(|| machine.poll_output()).collect();
            table += &format!("{state} | {name} | {outputs:?}\n");
        }
    }
    let expected = r#"Pointers | pointers | [AskServices(0, "_sip._tcp.e.com"), AskServices(1, "_sip._udp.e.com")]
Pointers | services 7 | []
Pointers | addresses 7 | []
Pointers | services 0 | []
Pointers | addresses 0 | []
Services | pointers | []
Services | services 7 | []
Services | addresses 7 | []
Services | services 0 | [AskAddresses(0, "e.com")]
Services | addresses 0 | []
Addresses | pointers | []
Addresses | services 7 | []
Addresses | addresses 7 | []
Addresses | services 0 | []
Addresses | addresses 0 | [Failed(NoSuchHost)]
Over | pointers | []
Over | services 7 | []
Over | addresses 7 | []
Over | services 0 | []
Over | addresses 0 | []
"#;
    assert_eq!(table, expected);
    let mut machine = Locating::new(&target("sip:e.com:1"), ALL, 1);
    machine.handle_reply(Reply::Addresses(0, silent));
    machine.handle_reply(Reply::Addresses(0, Ok(vec!["192.0.2.1".parse().unwrap()])));
    let outputs: Vec<_> = std::iter::from_fn(|| machine.poll_output()).collect();
    assert_eq!(outputs[1..], [Output::Failed(DnsError::TimedOut)], "it ends once");
}

/// What is asked and what is found, as text.
fn run(uri: &str, supported: &[Transport], zone: &str, draw: u64) -> (String, String) {
    let target = Target::of_uri(&Uri::parse(uri.as_bytes()).unwrap()).unwrap();
    let mut machine = Locating::new(&target, supported, draw);
    let (mut asked, mut result) = (Vec::new(), None);
    while let Some(output) = machine.poll_output() {
        let reply = match output {
            Output::AskPointers(name) => {
                asked.push(format!("naptr {name}"));
                Reply::Pointers(answer(zone, "naptr", &name, |f| Naptr {
                    order: f[2].parse().unwrap(),
                    preference: f[3].parse().unwrap(),
                    flags: f[4].trim_matches('-').into(),
                    services: f[5].into(),
                    regexp: String::new(),
                    replacement: f[6].trim_end_matches('.').into(),
                }))
            }
            Output::AskServices(at, name) => {
                asked.push(format!("srv {name}"));
                Reply::Services(
                    at,
                    answer(zone, "srv", &name, |f| Srv {
                        priority: f[2].parse().unwrap(),
                        weight: f[3].parse().unwrap(),
                        port: f[4].parse().unwrap(),
                        host: f[5].trim_end_matches('.').into(),
                    }),
                )
            }
            Output::AskAddresses(at, name) => {
                asked.push(format!("a {name}"));
                Reply::Addresses(at, answer(zone, "a", &name, |f| f[2].parse().unwrap()))
            }
            Output::Found(found) => {
                let found = found.iter().map(|at| format!("{} {}", at.transport.as_str(), at.address));
                result = Some(found.collect::<Vec<_>>().join(", "));
                continue;
            }
            Output::Failed(error) => {
                result = Some(format!("{error:?}"));
                continue;
            }
        };
        assert!(result.is_none(), "nothing is asked once it is over");
        machine.handle_reply(reply);
    }
    (asked.join(", "), result.expect("every attempt ends"))
}

fn answer<T>(zone: &str, kind: &str, name: &str, read: impl Fn(&[&str]) -> T) -> Result<Vec<T>, DnsError> {
    let lines: Vec<Vec<&str>> = zone.lines().map(|line| line.split_whitespace().collect()).collect();
    let fails = |word: &str| lines.contains(&vec![word, kind, name]);
    if fails("SILENT") {
        return Err(DnsError::TimedOut);
    }
    if fails("SERVFAIL") {
        return Err(DnsError::Unavailable);
    }
    let is_it = |f: &&Vec<&str>| f.len() > 2 && f[0].eq_ignore_ascii_case(kind) && f[1] == name;
    let found: Vec<T> = lines.iter().filter(is_it).map(|f| read(f)).collect();
    if found.is_empty() { Err(DnsError::NoSuchHost) } else { Ok(found) }
}
