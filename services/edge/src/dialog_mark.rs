//! The mark of a dialog: shows any edge of the tier that one of them let the dialog in, between whom, and when.
//!
//! | octets | what |
//! |---|---|
//! | 3 | the hour since 1970 in which the mark was made |
//! | 5 | the names of both sides, under the key of the cluster |
//! | 10 | the seal over these, the Call-ID and the tag of who began the dialog |
//!
//! The names stand beside the seal and not under it alone, so that a mark still shows its dialog when a side goes by another name since
//! (RFC 4916). What needs more than the dialog is decided in `arrive/let_in.rs`; why, in ADR 10.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sip_message::{HeaderError, Message, NameAddr, Uri};

use crate::flow_token::{FlowKey, SEAL};

/// What the text under a seal of a dialog and of its names begins with; the text under a token begins with its version.
const DIALOG: &[u8] = b"dialog ";
const NAMES: &[u8] = b"names ";

const HOUR: usize = 3;
/// A name that fits by chance can be looked for only by asking us: 2^39 requests that are refused.
const NAME: usize = 5;

/// A dialog as both sides know it, from the side of who began it.
#[derive(Debug)]
pub(crate) struct Dialog {
    /// Call-ID and tag of who began it. The separator stands in neither.
    id: Vec<u8>,
    /// Both names in their normal form. The separator stands in neither.
    names: Vec<u8>,
}

/// What a good mark says of a request of its dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The hour since 1970 in which it was made.
    pub(crate) hour: u32,
    /// Whether both sides go by the names that they had then.
    pub(crate) same_names: bool,
}

impl Dialog {
    /// The dialog of a request whose sender began it.
    pub(crate) fn begun_by_sender(request: &Message) -> Self {
        let from = request.from();
        let tag = from.as_ref().ok().and_then(NameAddr::tag).unwrap_or_default();
        Self::new(request, tag, &from, &request.to())
    }

    /// The dialog of a request whose receiver began it; without a To tag there is none.
    pub(crate) fn begun_by_receiver(request: &Message) -> Option<Self> {
        let to = request.to();
        let tag = to.as_ref().ok().and_then(NameAddr::tag)?;
        Some(Self::new(request, tag, &to, &request.from()))
    }

    fn new(request: &Message, tag: &str, caller: &Named<'_>, callee: &Named<'_>) -> Self {
        let id = [request.call_id().unwrap_or_default(), b" ", tag.as_bytes()].concat();
        Self { id, names: [name(caller), name(callee)].join(&b' ') }
    }
}

type Named<'a> = Result<NameAddr<'a>, HeaderError>;

/// Whom the URI names, however it is written: sides repeat it with other parameters, and in other letters. RFC 3261 12.2.1.1, 19.1.4
fn name(address: &Named<'_>) -> Vec<u8> {
    let Ok(address) = address else { return Vec::new() };
    let normal = Uri::parse(address.uri).ok().and_then(|uri| uri.aor());
    normal.map_or_else(|| address.uri.to_vec(), String::into_bytes)
}

impl FlowKey {
    /// The mark of a dialog. Who has not seen the dialog cannot write it.
    pub(crate) fn mark(&self, dialog: &Dialog, hour: u32) -> String {
        let mut octets = [0; HOUR + NAME + SEAL];
        octets[..HOUR].copy_from_slice(&hour.to_be_bytes()[1..]);
        octets[HOUR..HOUR + NAME].copy_from_slice(&self.names(dialog));
        let seal = self.sealed(dialog, &octets[..HOUR + NAME]).finalize().into_bytes();
        octets[HOUR + NAME..].copy_from_slice(&seal[..SEAL]);
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// What a mark says, when it was made with this key, for this dialog.
    pub(crate) fn read_mark(&self, dialog: &Dialog, mark: &str) -> Option<Mark> {
        let octets: [u8; HOUR + NAME + SEAL] = URL_SAFE_NO_PAD.decode(mark).ok()?.try_into().ok()?;
        let (said, seal) = octets.split_at(HOUR + NAME);
        self.sealed(dialog, said).verify_truncated_left(seal).ok()?;
        let hour = u32::from_be_bytes([0, said[0], said[1], said[2]]);
        Some(Mark { hour, same_names: said[HOUR..] == self.names(dialog) })
    }

    fn sealed(&self, dialog: &Dialog, said: &[u8]) -> Hmac<Sha256> {
        self.mac(DIALOG).chain_update(said).chain_update(&dialog.id)
    }

    /// Other in each dialog, so that what a mark shows in one names nobody in another.
    fn names(&self, dialog: &Dialog) -> [u8; NAME] {
        let mac = self.mac(NAMES).chain_update(&dialog.id).chain_update(b" ").chain_update(&dialog.names);
        let mut names = [0; NAME];
        names.copy_from_slice(&mac.finalize().into_bytes()[..NAME]);
        names
    }
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;
    use crate::flow_token::BadToken;

    const ALICE: &str = "<sip:alice@example.com>;tag=at";
    const BOB: &str = "<sip:bob@example.com>";

    fn request(from: &str, to: &str, call_id: &str) -> Message {
        let text = format!(
            "INVITE sip:bob@192.0.2.1 SIP/2.0\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into(), &Limits::default()).unwrap()
    }

    fn by_sender(from: &str, to: &str) -> Dialog {
        Dialog::begun_by_sender(&request(from, to, "c1"))
    }

    fn key() -> FlowKey {
        FlowKey::new([7; 32])
    }

    /// PXY-27: who has not seen a dialog does not guess its mark: no part of it is enough, nor that of another dialog.
    #[test]
    fn a_mark_is_good_whole_and_for_its_dialog() {
        let (key, dialog) = (key(), by_sender(ALICE, BOB));
        let mark = key.mark(&dialog, 3);
        assert_eq!(key.read_mark(&dialog, &mark), Some(Mark { hour: 3, same_names: true }));
        let others = [request(ALICE, BOB, "c2"), request("<sip:alice@example.com>;tag=x", BOB, "c1")]
            .map(|other| key.read_mark(&Dialog::begun_by_sender(&other), &mark));
        assert_eq!(others, [None, None]);
        assert_eq!(FlowKey::new([8; 32]).read_mark(&dialog, &mark), None);
        let octets = URL_SAFE_NO_PAD.decode(&mark).unwrap();
        for length in 0..octets.len() {
            assert_eq!(key.read_mark(&dialog, &URL_SAFE_NO_PAD.encode(&octets[..length])), None, "{length}");
        }
        let longer = [&octets[..], &[0]].concat();
        assert_eq!(key.read_mark(&dialog, &URL_SAFE_NO_PAD.encode(longer)), None);
        for at in 0..octets.len() {
            let mut altered = octets.clone();
            altered[at] ^= 1;
            assert_eq!(key.read_mark(&dialog, &URL_SAFE_NO_PAD.encode(altered)), None, "octet {at}");
        }
        assert_eq!(key.read_mark(&dialog, "not base64!"), None);
        assert_eq!(key.open(&mark), Err(BadToken), "a mark is no token");
    }

    /// PXY-27: both sides are known by their names, whichever of them sends, and however they write them. RFC 3261 12.2.1.1
    #[test]
    fn names_are_those_of_the_two_sides() {
        let key = key();
        let mark = key.mark(&by_sender(ALICE, BOB), 3);
        let same = |dialog: &Dialog| key.read_mark(dialog, &mark).map(|mark| mark.same_names);
        let bob = "<sip:bob@example.com>;tag=bt";
        for (from, to, expected) in [
            (ALICE, bob, true),
            ("\"A\" <sip:%61lice@Example.COM:5060;user=phone>;tag=at", "sip:bob@example.com;tag=bt", true),
            ("<sip:mallory@example.com>;tag=at", bob, false),
            (ALICE, "<sip:carol@example.com>;tag=bt", false),
            ("<sip:Alice@example.com>;tag=at", bob, false),
            (ALICE, "<sip:bob@example.org>;tag=bt", false),
        ] {
            assert_eq!(same(&by_sender(from, to)), Some(expected), "{from} {to}");
        }
        let by_receiver = |from, to| Dialog::begun_by_receiver(&request(from, to, "c1"));
        assert_eq!(same(&by_receiver(bob, ALICE).unwrap()), Some(true), "the callee sends");
        assert_eq!(same(&by_receiver("<sip:eve@example.com>;tag=bt", ALICE).unwrap()), Some(false));
        assert!(by_receiver(ALICE, BOB).is_none(), "no tag, no dialog");
    }
}
