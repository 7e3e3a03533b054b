use std::{borrow::Cow, time::Duration};

use super::*;
use crate::{
    credentials::Protection,
    hash::{Hex, joined},
};

const LIFETIME: Duration = Duration::from_secs(300);
const OLD_NONCE: &str = "dcd98b7102dd2f0e8b11d0f600bfb0c093";

struct Vector {
    user: &'static str,
    realm: &'static str,
    password: &'static str,
    method: &'static str,
    uri: &'static str,
    nonce: &'static str,
    cnonce: &'static str,
}

const V1: Vector = Vector {
    user: "Mufasa",
    realm: "testrealm@host.com",
    password: "Circle Of Life",
    method: "GET",
    uri: "/dir/index.html",
    nonce: OLD_NONCE,
    cnonce: "0a4f113b",
};
const V2: Vector = Vector {
    realm: "http-auth@example.org",
    password: "Circle of Life",
    nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    ..V1
};
const V4: Vector = Vector {
    user: "bob",
    realm: "biloxi.example.com",
    password: "zanzibar",
    method: "INVITE",
    uri: "sip:bob@biloxi.example.com",
    ..V1
};
const V8: Vector = Vector { method: "REGISTER", uri: "sip:biloxi.example.com", ..V4 };

impl Vector {
    fn credentials(&self, algorithm: &str, qop: Option<Qop>) -> Credentials<'static> {
        let text = |text: &'static str| Cow::Borrowed(text.as_bytes());
        Credentials {
            username: text(self.user),
            realm: text(self.realm),
            nonce: text(self.nonce),
            uri: text(self.uri),
            response: text(""),
            algorithm: Algorithm::parse(algorithm.as_bytes()).unwrap(),
            opaque: None,
            protection: qop.map(|qop| Protection { qop, count: 1, cnonce: text(self.cnonce) }),
        }
    }

    fn ha1(&self, hash: Hash) -> Ha1 {
        Ha1::of_password(hash, self.user.as_bytes(), self.realm.as_bytes(), self.password.as_bytes())
    }

    /// Verifies that `response` is accepted, and that one digit more or less is not.
    fn check(&self, algorithm: &str, qop: Option<Qop>, body: &[u8], response: &str) {
        let mut credentials = self.credentials(algorithm, qop);
        let ha1 = self.ha1(credentials.algorithm.hash);
        credentials.response = Cow::Owned(response.as_bytes().to_vec());
        assert!(credentials.matches(&ha1, self.method, body), "{algorithm} {qop:?}");
        let digit = if response.starts_with('0') { "1" } else { "0" };
        for wrong in [format!("{digit}{}", &response[1..]), response[1..].to_owned(), String::new()] {
            credentials.response = Cow::Owned(wrong.into_bytes());
            assert!(!credentials.matches(&ha1, self.method, body));
        }
    }
}

/// AUT-03, vector V1: RFC 2617 3.5 with its intermediate values.
#[test]
fn vector_1_of_rfc_2617() {
    assert_eq!(V1.ha1(Hash::Md5).hex(), "939e7578ed9e3c518a452acee763bce9");
    let request = joined(Hash::Md5, &[b"GET", V1.uri.as_bytes()]);
    assert_eq!(request.as_bytes(), b"39aff3a2bab6126f332b942af96d3366");
    V1.check("MD5", Some(Qop::Auth), b"", "6629fae49393a05397450978507c4ef1");
}

/// AUT-03, vectors V2 and V3: RFC 7616 3.9.1.
#[test]
fn vectors_2_and_3_of_rfc_7616() {
    V2.check("MD5", Some(Qop::Auth), b"", "8ca523f5e9506fed4657c9700eebdbec");
    V2.check(
        "SHA-256",
        Some(Qop::Auth),
        b"",
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    );
}

/// AUT-03, vector V4: old clients without qop, and with it.
#[test]
fn vector_4_without_and_with_qop() {
    V4.check("MD5", None, b"", "92799a6353125e154102392085633253");
    V4.check("MD5", Some(Qop::Auth), b"", "d842aeb901c6e474dad4af7f84c64e56");
}

/// AUT-03, vector V5: auth-int covers the body.
#[test]
fn vector_5_with_the_body() {
    V4.check("MD5", Some(Qop::AuthInt), b"v=0\r\n", "e833d715555b5db557637b4de4a0c03e");
    let sha = "6512bebd93efa04d8f84514e0414e67871aabe3f3b8e5f552e7afb3c2c492718";
    V4.check("SHA-256", Some(Qop::AuthInt), b"v=0\r\n", sha);
    let mut credentials = V4.credentials("SHA-256", Some(Qop::AuthInt));
    credentials.response = Cow::Borrowed(sha.as_bytes());
    assert!(!credentials.matches(&V4.ha1(Hash::Sha256), "INVITE", b"v=1\r\n"));
}

/// AUT-03, vector V6: the session variants.
#[test]
fn vector_6_session_variants() {
    V4.check("MD5-sess", Some(Qop::Auth), b"", "6cd0cf072b432d52a4a77f23849a0e4b");
    let sha = "989c59a9d2e78eba01b2a3bfb19be08e22adb5d229579775dbdf5f5ab4fa980c";
    V4.check("SHA-256-sess", Some(Qop::Auth), b"", sha);
}

/// AUT-03, vector V7: the strong functions; SHA-512-256 is the function of FIPS 180-4, not SHA-512 cut short.
#[test]
fn vector_7_strong_functions() {
    let sha = "6beb7b2bfe7a50d425314e7961c7f01bcd8afed8bf5c87c2f5479d1dca2d498f";
    V4.check("SHA-256", Some(Qop::Auth), b"", sha);
    let sha = "ff36f0111fa81b909a997021f3a040d2f75674daead33f422a33dbdc6966897e";
    V4.check("SHA-512-256", Some(Qop::Auth), b"", sha);
    let true_value = joined(Hash::Sha512T256, &["J\u{e4}s\u{f8}n Doe".as_bytes(), b"api@example.org"]);
    assert_eq!(true_value.as_bytes(), b"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
}

/// AUT-03, vector V8: REGISTER.
#[test]
fn vector_8_register() {
    V8.check("MD5", Some(Qop::Auth), b"", "6ee55767aa534112c59e5da204578bfb");
    let sha = "01ac5d5934a156c1a5b592d7db8b96e5d466f0544f5d0c774efbeefb07cfca65";
    V8.check("SHA-256", Some(Qop::Auth), b"", sha);
}

/// AUT-03, vector V9: the hash of no body.
#[test]
fn vector_9_empty_body() {
    assert_eq!(joined(Hash::Md5, &[b""]).as_bytes(), b"d41d8cd98f00b204e9800998ecf8427e");
    let sha = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(joined(Hash::Sha256, &[b""]).as_bytes(), sha);
}

/// AUT-02: a challenge holds realm, nonce, opaque, algorithm and qop; stale only when it is.
#[test]
fn a_challenge_prints_and_reads_back() {
    let mut challenge = Challenge::new("example.org", "abc", Algorithm::from(Hash::Sha256));
    let printed = challenge.to_bytes();
    let expected =
        "Digest realm=\"example.org\", nonce=\"abc\", opaque=\"carillon\", algorithm=SHA-256, qop=\"auth\"";
    assert_eq!(String::from_utf8(printed.clone()).unwrap(), expected);
    assert_eq!(Challenge::parse(&printed), Some(challenge.clone()));
    challenge.stale = true;
    assert!(challenge.to_bytes().ends_with(b", stale=true"));
}

/// AUT-03, AUT-04, T22, "digest parser and missing header": whatever is wrong with credentials is one case.
#[test]
fn absent_empty_and_malformed_credentials_are_one_case() {
    let good = "Digest username=\"bob\", realm=\"r\", nonce=\"n\", uri=\"sip:r\", response=\"00\", qop=auth, nc=00000001, cnonce=\"c\"";
    assert!(Credentials::parse(good.as_bytes()).is_some());
    let broken = [
        String::new(),
        "Digest".to_owned(),
        "Digest ".to_owned(),
        "Basic dXNlcjpwYXNz".to_owned(),
        "NoOneKnowsThisScheme opaque-data=here".to_owned(),
        good.replace("Digest", "DigestX"),
        good.replace("username=\"bob\", ", ""),
        good.replace("\"bob\"", "\"bob"),
        good.replace("\"bob\"", "\"b\nb\""),
        good.replace("nc=00000001", "nc=1"),
        good.replace("nc=00000001", "nc=0000000g"),
        good.replace("nc=00000001, ", ""),
        good.replace(", cnonce=\"c\"", ""),
        good.replace("qop=auth", "qop=auth-conf"),
        good.replace("nonce=\"n\"", "nonce=\"n\", nonce=\"m\""),
        format!("{good}, algorithm=CRC32"),
        format!("{good}, userhash=true"),
        format!("{good} trailing"),
        format!("{good}, =x"),
        format!("{good}, x=\"{}\"", "y".repeat(5_000)),
    ];
    for value in broken {
        assert_eq!(Credentials::parse(value.as_bytes()), None, "{value}");
    }
}

/// AUT-03: quoted pairs are hashed without their backslash; case and space of names do not matter.
#[test]
fn the_grammar_is_read_leniently_where_it_may_be() {
    let value = b"dIGEST  UserName = \"a\\\"b\\\\\" ,realm=\"r\",nonce=\"n\",uri=\"u\",response=\"0\",QOP=\"auth\",nc=0000000a,cnonce=c,";
    let read = Credentials::parse(value).unwrap();
    assert_eq!(&read.username[..], b"a\"b\\");
    assert_eq!(read.protection.as_ref().map(|protection| protection.count), Some(10));
    assert_eq!(Credentials::parse(&read.to_bytes()), Some(read.clone()));
}

/// RFC 7616 3.4: the count is eight digits in lower case, as it is hashed; any other way to write it would be a second use.
#[test]
fn a_count_has_one_way_to_be_written() {
    let with = |count: &str| {
        format!(
            "Digest username=\"a\",realm=\"r\",nonce=\"n\",uri=\"u\",response=\"0\",qop=auth,nc={count},cnonce=c"
        )
    };
    let count = |value: &str| {
        Credentials::parse(with(value).as_bytes()).and_then(|read| Some(read.protection?.count))
    };
    assert_eq!(count("00000001"), Some(1));
    assert_eq!(count("\"0000000a\""), Some(10));
    assert_eq!(count("ffffffff"), Some(u32::MAX));
    for bad in ["0000000A", "FFFFFFFF", "1", "0000001", "000000001", "+0000001", "0x000001", "0000000g", ""] {
        assert_eq!(count(bad), None, "{bad}");
    }
}

/// AUT-09: what one replica minted another one accepts; a forged or foreign one is unknown.
#[test]
fn nonces_are_verified_without_state() {
    let (one, other) = (NonceKey::new(1, [7; 32]), NonceKey::new(1, [7; 32]));
    let nonce = one.mint("r", 1_000_000, 5);
    let fresh = NonceState::Fresh(Nonce { issued_ms: 1_000_000, salt: 5 });
    assert_eq!(other.check(nonce.as_bytes(), "r", 1_000_000, LIFETIME), fresh);
    assert_eq!(other.check(nonce.as_bytes(), "r", 1_300_000, LIFETIME), fresh);
    assert_eq!(other.check(nonce.as_bytes(), "other", 1_000_000, LIFETIME), NonceState::Unknown);
    assert_eq!(
        NonceKey::new(1, [8; 32]).check(nonce.as_bytes(), "r", 1_000_000, LIFETIME),
        NonceState::Unknown
    );
    assert_eq!(
        NonceKey::new(2, [7; 32]).check(nonce.as_bytes(), "r", 1_000_000, LIFETIME),
        NonceState::Unknown
    );
    for at in 0..nonce.len() {
        let mut forged = nonce.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(one.check(&forged, "r", 1_000_000, LIFETIME), NonceState::Unknown, "octet {at}");
    }
    assert_eq!(one.check(b"", "r", 1_000_000, LIFETIME), NonceState::Unknown);
    assert_eq!(one.check(&[b'A'; 500], "r", 1_000_000, LIFETIME), NonceState::Unknown);
}

/// AUT-08, T1: a nonce lives 300 s; F12: clocks may differ by 30 s.
#[test]
fn nonces_grow_stale() {
    let key = NonceKey::new(1, [7; 32]);
    let nonce = key.mint("r", 1_000_000, 5);
    let check = |now_ms| key.check(nonce.as_bytes(), "r", now_ms, LIFETIME);
    assert!(matches!(check(1_300_001), NonceState::Stale(_)));
    assert!(matches!(check(970_000), NonceState::Fresh(_)));
    assert!(matches!(check(969_999), NonceState::Stale(_)));
}

/// AUT-08, T1: each count of a nonce is good once, in any order within the window.
#[test]
fn counts_are_used_once() {
    let mut window = ReplayWindow::default();
    let nonce = Nonce { issued_ms: 1_000, salt: 1 };
    let mut request = 0;
    let mut accept = |count| {
        request += 1;
        window.accept(nonce, Some(count), request, 2_000, LIFETIME) == Use::Accepted
    };
    assert!(!accept(0));
    assert!(accept(1) && !accept(1));
    assert!(accept(5) && accept(3) && !accept(3) && !accept(5) && !accept(1));
    assert!(accept(100) && accept(37) && !accept(36) && !accept(37));
    assert!(accept(u32::MAX) && !accept(u32::MAX));
}

/// AUT-08, T1: the same request again is told from another request with the same count; neither is accepted.
#[test]
fn a_repeated_request_is_told_from_a_replayed_count() {
    let mut window = ReplayWindow::default();
    let nonce = Nonce { issued_ms: 1_000, salt: 1 };
    let mut accept = |count, request| window.accept(nonce, count, request, 2_000, LIFETIME);
    assert_eq!(accept(Some(1), 7), Use::Accepted);
    assert_eq!(accept(Some(1), 7), Use::Repeated);
    assert_eq!(accept(Some(1), 8), Use::Refused);
    assert_eq!(accept(Some(2), 7), Use::Accepted);
    assert_eq!(accept(Some(1), 7), Use::Refused);
}

/// AUT-03, T1: an old client without counts may use each nonce once.
#[test]
fn a_client_without_counts_uses_a_nonce_once() {
    let mut window = ReplayWindow::default();
    let nonce = Nonce { issued_ms: 1_000, salt: 1 };
    let mut accept = |count, request| window.accept(nonce, count, request, 2_000, LIFETIME);
    assert_eq!(accept(None, 1), Use::Accepted);
    assert_eq!(accept(None, 1), Use::Repeated);
    assert_eq!(accept(None, 2), Use::Refused);
    assert_eq!(accept(Some(9), 3), Use::Refused);
}

/// T1: the list stays short and nothing in it is forgotten into being good again.
#[test]
fn nonces_that_are_dropped_stay_used() {
    let mut window = ReplayWindow::default();
    let nonce = |number: u64| Nonce { issued_ms: 1_000 + number, salt: number };
    for number in 0..68 {
        assert_eq!(window.accept(nonce(number), Some(1), 1, 2_000, LIFETIME), Use::Accepted);
    }
    assert_eq!(window.len(), 64);
    for number in 0..68 {
        let again = window.accept(nonce(number), Some(1), 2, 2_000, LIFETIME);
        // Of the first ones nobody knows any more; their clients are to ask for a new nonce.
        assert_eq!(again, if number < 4 { Use::Forgotten } else { Use::Refused }, "{number}");
        let next = window.accept(nonce(number), Some(2), 3, 2_000, LIFETIME);
        assert_eq!(next, if number < 4 { Use::Forgotten } else { Use::Accepted }, "{number}");
    }
    assert_eq!(window.accept(nonce(68), Some(1), 1, 302_000, LIFETIME), Use::Accepted);
    assert_eq!(window.len(), 1, "nonces past their life are dropped");
}

/// AUT-08, T1: what is stored between two uses, as by two replicas in turn, says what was used as well as what stays in memory, and has
/// its bound.
#[test]
fn a_stored_window_is_the_one_in_memory() {
    let (mut kept, mut stored) = (ReplayWindow::default(), ReplayWindow::default());
    for step in 0..1_000_u64 {
        let nonce = Nonce { issued_ms: 1_000 + step * 37 % 199, salt: step % 3 };
        let count = (step % 11 != 0).then_some(u32::try_from(step % 7).unwrap());
        let became = kept.accept(nonce, count, step % 5, 2_000, LIFETIME);
        assert_eq!(stored.accept(nonce, count, step % 5, 2_000, LIFETIME), became, "{step}");
        let (newest_ms, floor_ms, packed) = (stored.newest_ms(), stored.floor_ms(), stored.into_packed());
        assert!(ReplayWindow::is_packed(&packed) && packed.len() <= 64 * 36 && newest_ms >= floor_ms);
        stored = ReplayWindow::of_packed(&packed, floor_ms);
        assert_eq!(stored, kept, "{step}");
    }
    assert_eq!(stored.len(), 64);
}

/// AUT-08: clients that take a nonce for each request and come all at once, in whatever order they were challenged: none is told that its
/// nonce, which nobody has used, is stale. One that is older than all of a full list is used and forgotten, and not another one in its place.
#[test]
fn fresh_nonces_are_good_in_any_order() {
    let nonce = |number: u64| Nonce { issued_ms: 1_000 + number / 8, salt: number };
    let mut window = ReplayWindow::default();
    for number in (0..64).rev() {
        assert_eq!(window.accept(nonce(number), Some(1), number, 2_000, LIFETIME), Use::Accepted, "{number}");
    }
    let old = Nonce { issued_ms: 900, salt: 1 };
    assert_eq!(window.accept(old, Some(1), 7, 2_000, LIFETIME), Use::Accepted);
    assert_eq!(window.accept(old, Some(1), 8, 2_000, LIFETIME), Use::Forgotten, "it is not good again");
    assert_eq!(window.accept(nonce(0), Some(2), 9, 2_000, LIFETIME), Use::Accepted, "in use");
    assert_eq!(window.accept(nonce(0), Some(2), 10, 2_000, LIFETIME), Use::Refused);
}

/// AUT-05, AUT-13: a client answers the topmost challenge it understands of each realm.
#[test]
fn a_client_answers_one_challenge_of_each_realm() {
    let values = [
        &b"Digest realm=\"a\", nonce=\"1\", algorithm=SHA3-512, qop=\"auth\""[..],
        b"Digest realm=\"a\", nonce=\"2\", algorithm=SHA-256, qop=\"auth,auth-int\"",
        b"Digest realm=\"a\", nonce=\"3\", algorithm=MD5, qop=\"auth\"",
        b"Basic realm=\"c\"",
        b"Digest realm=\"b\", nonce=\"4\"",
        b"Digest realm=\"d\", nonce=\"5\", qop=\"auth-conf\"",
    ];
    let chosen = answerable(values);
    let nonces: Vec<&[u8]> = chosen.iter().map(|challenge| &challenge.nonce[..]).collect();
    assert_eq!(nonces, [b"2", b"4"]);
    let login = Login { user: "bob", password: "zanzibar" };
    for challenge in &chosen {
        let value = answer(challenge, login, "INVITE", "sip:x@y", b"", "cn", 2).to_bytes();
        let read = Credentials::parse(&value).unwrap();
        let ha1 = Ha1::of_password(challenge.algorithm.hash, b"bob", &challenge.realm, b"zanzibar");
        assert!(read.matches(&ha1, "INVITE", b""));
        assert!(!read.matches(&ha1, "BYE", b""));
        assert_eq!(read.protection.is_some(), challenge.auth);
    }
}

/// AUT-03: a client that is offered auth-int alone covers the body.
#[test]
fn a_client_covers_the_body_when_asked() {
    let challenge = Challenge::parse(b"Digest realm=\"a\", nonce=\"2\", qop=\"auth-int\"").unwrap();
    let value = answer(&challenge, Login { user: "b", password: "p" }, "M", "u", b"body", "c", 1).to_bytes();
    let read = Credentials::parse(&value).unwrap();
    let ha1 = Ha1::of_password(Hash::Md5, b"b", b"a", b"p");
    assert!(read.matches(&ha1, "M", b"body") && !read.matches(&ha1, "M", b""));
}

/// T22: digests, keys, passwords and responses are not shown.
#[test]
fn secrets_are_not_shown() {
    let ha1 = V1.ha1(Hash::Md5);
    assert_eq!(format!("{ha1:?}"), "Ha1(MD5, ***)");
    assert_eq!(format!("{:?}", NonceKey::new(1, [7; 32])), "NonceKey(1, ***)");
    assert!(!format!("{:?}", Login { user: "u", password: "hush" }).contains("hush"));
    let mut credentials = V1.credentials("MD5", None);
    credentials.response = Cow::Borrowed(b"6629fae49393a05397450978507c4ef1");
    assert!(!format!("{credentials:?}").contains("6629"));
}

#[test]
fn stored_digests_are_checked() {
    let ha1 = V1.ha1(Hash::Md5);
    assert_eq!(Ha1::from_hex(Hash::Md5, ha1.hex().to_ascii_uppercase().as_bytes()), Ok(ha1));
    assert_eq!(Ha1::from_hex(Hash::Sha256, ha1.hex().as_bytes()), Err(BadDigest { hash: Hash::Sha256 }));
    assert!(Hex::parse(Hash::Md5, &[b'x'; 32]).is_none());
}

/// AUT-11: what is meant for a realm is told apart even when the rest cannot be read.
#[test]
fn the_realm_of_credentials_is_read_from_broken_ones_too() {
    for (value, expected) in [
        (&b"Digest username=\"a\", realm=\"here\", nonce=\"n\""[..], Some(&b"here"[..])),
        (b"digest REALM=\"a \\\"b\\\"\",x", Some(b"a \"b\"")),
        (b"Digest realm=here", Some(b"here")),
        (b"Digest nonce=\"realm=here\"", None),
        (b"Digest x=\"y, realm=\"here\"", None),
        (b"Basic realm=\"here\"", None),
        (b"", None),
    ] {
        assert_eq!(realm(value).as_deref(), expected, "{}", String::from_utf8_lossy(value));
    }
}
