//! Temporary GRUUs, RFC 5627: names of one device that say nothing of whose it is.
//!
//! Little is stored for them: the life of a registration, one number with each binding, and what the latest was sealed with. The name holds the user and that number, encrypted
//! and authenticated with a key that only registrars have, with a nonce of its own, so that no two are alike and nobody makes
//! one up. It is good as long as a binding of that life is there, on every replica.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sip_message::Uri;

use super::{Asked, outbound::same_instance};
use crate::record::{AorRecord, BindingRecord, contact_param};

/// What the user part of each begins with.
const PREFIX: &str = "tgruu.";
/// Users are filled up to a multiple of it, so that the length of a name tells little.
const BLOCK: usize = 16;
/// The number before the user.
const LIFE: usize = size_of::<u64>();

/// The key of all registrars of a cluster.
#[derive(Clone)]
pub(crate) struct GruuKey(std::sync::Arc<LessSafeKey>);

/// What a temporary GRUU stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// User part of the address of record, in normal form.
    pub user: String,
    /// The life of the registration.
    pub life: u64,
}

/// What the GRUUs of one answer are made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gruus<'a> {
    pub key: &'a GruuKey,
    /// Never used before.
    pub nonce: [u8; NONCE_LEN],
    /// The life of what begins now.
    pub fresh: u64,
}

impl GruuKey {
    /// Derived from another key, which it does not tell.
    pub(crate) fn derived(from: &[u8; 32]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, from), b"carillon temporary gruu");
        let key = UnboundKey::new(&AES_256_GCM_SIV, derived.as_ref()).expect("both have 32 octets");
        Self(std::sync::Arc::new(LessSafeKey::new(key)))
    }

    /// The user part that opens in this domain; `None` for a user that is too long to be one.
    fn seal(&self, opened: &Opened, domain: &str, nonce: [u8; NONCE_LEN]) -> Option<String> {
        let mut octets = opened.life.to_be_bytes().to_vec();
        octets.extend_from_slice(opened.user.as_bytes());
        octets.resize(LIFE + opened.user.len().next_multiple_of(BLOCK), 0);
        // A nonce that comes twice would only show that two names are the same (RFC 8452 1).
        let (once, domain) = (Nonce::assume_unique_for_key(nonce), Aad::from(domain.as_bytes()));
        self.0.seal_in_place_append_tag(once, domain, &mut octets).ok()?;
        Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&nonce[..], &octets].concat())))
    }

    /// What a user part stands for in this domain; `None` when nobody of this cluster gave it out.
    pub(crate) fn open(&self, user: &[u8], domain: &str) -> Option<Opened> {
        let text = user.strip_prefix(PREFIX.as_bytes())?;
        let mut octets = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = octets.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.0.open_in_place(nonce, Aad::from(domain.as_bytes()), sealed).ok()?;
        let (life, user) = plain.split_first_chunk::<LIFE>()?;
        let end = user.iter().rposition(|octet| *octet != 0)? + 1;
        Some(Opened { user: String::from_utf8(user[..end].to_vec()).ok()?, life: u64::from_be_bytes(*life) })
    }
}

/// A key never shows itself.
impl std::fmt::Debug for GruuKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GruuKey(..)")
    }
}

/// Does the URI claim to be one?
// RFC 5627 3.1.2
pub(crate) fn is_temporary(uri: &Uri<'_>) -> bool {
    uri.has_param("gr")
        && uri.param("gr").is_none_or(str::is_empty)
        && uri.user.is_some_and(|user| user.starts_with(PREFIX.as_bytes()))
}

/// A new temporary GRUU of a binding's device; `None` when it has no life.
pub(crate) fn temporary(aor: &str, binding: &BindingRecord, gruus: Gruus<'_>) -> Option<String> {
    sealed(aor, binding, gruus.key, gruus.nonce)
}

fn sealed(aor: &str, binding: &BindingRecord, key: &GruuKey, nonce: [u8; NONCE_LEN]) -> Option<String> {
    let life = Some(binding.gruu_life).filter(|life| *life != 0)?;
    let (user, domain) = aor.strip_prefix("sip:")?.rsplit_once('@')?;
    let user = key.seal(&Opened { user: user.to_owned(), life }, domain, nonce)?;
    Some(format!("sip:{user}@{domain};gr"))
}

/// The one that the latest REGISTER of a binding that wanted one was given, and the CSeq since which all that were given are good.
// RFC 5628 5
pub(crate) fn latest(aor: &str, binding: &BindingRecord, key: &GruuKey) -> Option<(String, u32)> {
    // one that an older version wrote does not say
    let is_known = (binding.gruu_nonce, binding.gruu_nonce_rest) != (0, 0);
    let name = sealed(aor, binding, key, nonce_of(binding)).filter(|_| is_known)?;
    Some((name, binding.gruu_first_cseq))
}

/// Notes in a binding what its REGISTER is given.
pub(crate) fn note(binding: &mut BindingRecord, Life { number, first_cseq }: Life, gruus: Option<Gruus<'_>>) {
    (binding.gruu_life, binding.gruu_first_cseq) = (number, first_cseq);
    if number == 0 {
        (binding.gruu_nonce, binding.gruu_nonce_rest) = (0, 0);
    } else if let Some(Gruus { nonce: [a, b, c, d, e, f, g, h, rest @ ..], .. }) = gruus {
        binding.gruu_nonce = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        binding.gruu_nonce_rest = u32::from_be_bytes(rest);
    }
}

fn nonce_of(binding: &BindingRecord) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&binding.gruu_nonce.to_be_bytes());
    nonce[8..].copy_from_slice(&binding.gruu_nonce_rest.to_be_bytes());
    nonce
}

/// A life of a device's registration, in which all its temporary GRUUs are good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// 0 when nothing is given out.
    pub number: u64,
    /// CSeq of the REGISTER that it began with.
    pub first_cseq: u32,
}

/// The life that a contact has from now on: that of its device's registration under the same Call-ID, or a new one, which ends what
/// was given out before.
// RFC 5627 5.1: a refresh with another Call-ID makes all that came before invalid
pub(crate) fn life(record: &AorRecord, asked: Asked<'_>, params: &[String], now_ms: u64) -> Life {
    let Some(instance) = contact_param(params, "+sip.instance").filter(|instance| !instance.is_empty())
    else {
        return Life::default();
    };
    let goes_on = |binding: &&BindingRecord| {
        binding.gruu_life != 0
            && binding.call_id == asked.call_id
            && same_instance(binding.instance(), instance)
    };
    let known = record.live(now_ms).find(goes_on);
    let known = known.map(|binding| Life { number: binding.gruu_life, first_cseq: binding.gruu_first_cseq });
    let fresh = || Some(Life { number: asked.gruus?.fresh.max(1), first_cseq: asked.cseq });
    known.or_else(fresh).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(user: &str) -> Opened {
        Opened { user: user.to_owned(), life: 7 }
    }

    /// GRU-01, GRU-02: unlike each other, good in their domain alone, and not to be made up or changed.
    #[test]
    fn a_name_opens_where_it_was_sealed_and_nowhere_else() {
        let (key, other) = (GruuKey::derived(&[1; 32]), GruuKey::derived(&[2; 32]));
        let seal = |user: &str, nonce| key.seal(&opened(user), "d", [nonce; NONCE_LEN]).unwrap();
        for user in ["b", "bob", "a-user-whose-name-is-rather-long", "b\u{f6}b"] {
            let name = seal(user, 1);
            assert_eq!(key.open(name.as_bytes(), "d"), Some(opened(user)));
            assert_eq!(key.open(name.as_bytes(), "other"), None);
            assert_eq!(other.open(name.as_bytes(), "d"), None);
            assert!(sip_message::is_token(name.as_bytes()), "{name}");
            assert!(user.len() < 3 || !name.contains(user), "{name}");
        }
        assert_ne!(seal("bob", 1), seal("bob", 2));
        assert_eq!(seal("bob", 1).len(), seal("alice", 1).len());
        let name = seal("bob", 1).into_bytes();
        for at in PREFIX.len()..name.len() {
            let mut changed = name.clone();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.open(&changed, "d"), None, "octet {at}");
        }
        for odd in ["", "tgruu.", "tgruu.AAAA", "tgruu.%%%", "bob"] {
            assert_eq!(key.open(odd.as_bytes(), "d"), None, "{odd}");
        }
    }

    #[test]
    fn only_its_form_makes_a_temporary_gruu() {
        let is = |uri: &str| is_temporary(&Uri::parse(uri.as_bytes()).unwrap());
        assert!(is("sip:tgruu.abc@d;gr") && is("sips:tgruu.abc@d;gr"));
        assert!(!is("sip:tgruu.abc@d") && !is("sip:bob@d;gr") && !is("sip:tgruu.abc@d;gr=urn:uuid:1"));
        assert!(!is("sip:d;gr"));
    }
}
