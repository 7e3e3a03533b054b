//! The mark of a dialog: shows any edge of the tier that one of them let the dialog in, between whom, and when.
//!
//! | octets | what |
//! |---|---|
//! | 3 | the hour since 1970 in which the mark was made; the highest bit says that beside it stands which sides are gateways (`gateway_mark`) |
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

/// Of the first octets: whoever made it says beside it which sides are gateways. An edge that does not know the bit reads a late hour.
const TELLS_GATEWAYS: u32 = 1 << 23;

/// A dialog as both sides know it, from the side of who began it.
#[derive(Debug)]
pub(crate) struct Dialog<'a> {
    call_id: &'a [u8],
    /// The tag of who began it.
    tag: &'a str,
    caller: Named<'a>,
    callee: Named<'a>,
}

/// What a good mark says of its dialog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark<'a> {
    /// The hour since 1970 in which it was made.
    pub(crate) hour: u32,
    /// Whether nothing beside it means that no side is a gateway.
    pub(crate) tells_gateways: bool,
    names: [u8; NAME],
    key: &'a FlowKey,
}

impl Mark<'_> {
    /// Whether both sides go by the names that they had when it was made.
    pub(crate) fn has_same_names(&self, dialog: &Dialog<'_>) -> bool {
        self.names == self.key.names(dialog)
    }
}

impl<'a> Dialog<'a> {
    /// The dialog of a request whose sender began it.
    pub(crate) fn begun_by_sender(request: &'a Message) -> Self {
        let (caller, callee) = (request.from(), request.to());
        let tag = caller.as_ref().ok().and_then(NameAddr::tag).unwrap_or_default();
        Self { call_id: request.call_id().unwrap_or_default(), tag, caller, callee }
    }

    /// A dialog that a request names without being in it, by the tag of who began it. The names are those of the request: no mark is
    /// held against them.
    pub(crate) fn named(call_id: &'a [u8], tag: &'a str, request: &'a Message) -> Self {
        Self { call_id, tag, caller: request.from(), callee: request.to() }
    }

    /// The dialog of a request whose receiver began it; without a To tag there is none.
    pub(crate) fn begun_by_receiver(request: &'a Message) -> Option<Self> {
        let (caller, callee) = (request.to(), request.from());
        let tag = caller.as_ref().ok().and_then(NameAddr::tag)?;
        Some(Self { call_id: request.call_id().unwrap_or_default(), tag, caller, callee })
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
    pub(crate) fn mark(&self, dialog: &Dialog<'_>, hour: u32) -> String {
        self.mark_saying(dialog, hour | TELLS_GATEWAYS)
    }

    /// A mark as edges made it that told of no gateways.
    #[cfg(test)]
    pub(crate) fn old_mark(&self, dialog: &Dialog<'_>, hour: u32) -> String {
        self.mark_saying(dialog, hour)
    }

    fn mark_saying(&self, dialog: &Dialog<'_>, hour: u32) -> String {
        let mut octets = [0; HOUR + NAME + SEAL];
        octets[..HOUR].copy_from_slice(&hour.to_be_bytes()[1..]);
        octets[HOUR..HOUR + NAME].copy_from_slice(&self.names(dialog));
        let seal = self.sealed(dialog, &octets[..HOUR + NAME]).finalize().into_bytes();
        octets[HOUR + NAME..].copy_from_slice(&seal[..SEAL]);
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// What a mark says, when it was made with this key, for this dialog.
    pub(crate) fn read_mark(&self, dialog: &Dialog<'_>, mark: &str) -> Option<Mark<'_>> {
        let octets: [u8; HOUR + NAME + SEAL] = URL_SAFE_NO_PAD.decode(mark).ok()?.try_into().ok()?;
        let (said, seal) = octets.split_at(HOUR + NAME);
        self.sealed(dialog, said).verify_truncated_left(seal).ok()?;
        let hour = u32::from_be_bytes([0, said[0], said[1], said[2]]);
        let names = said[HOUR..].try_into().ok()?;
        let (hour, tells_gateways) = (hour & !TELLS_GATEWAYS, hour & TELLS_GATEWAYS != 0);
        Some(Mark { hour, tells_gateways, names, key: self })
    }

    fn sealed(&self, dialog: &Dialog<'_>, said: &[u8]) -> Hmac<Sha256> {
        with_id(self.mac(DIALOG).chain_update(said), dialog)
    }

    /// Other in each dialog, so that what a mark shows in one names nobody in another.
    fn names(&self, dialog: &Dialog<'_>) -> [u8; NAME] {
        let mac = with_id(self.mac(NAMES), dialog).chain_update(b" ").chain_update(name(&dialog.caller));
        let mac = mac.chain_update(b" ").chain_update(name(&dialog.callee));
        let mut names = [0; NAME];
        names.copy_from_slice(&mac.finalize().into_bytes()[..NAME]);
        names
    }
}

/// The separator stands in none of what it separates.
pub(crate) fn with_id(mac: Hmac<Sha256>, dialog: &Dialog<'_>) -> Hmac<Sha256> {
    mac.chain_update(dialog.call_id).chain_update(b" ").chain_update(dialog.tag)
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

    /// The hour of a mark, and whether both sides have the names of then.
    fn read(key: &FlowKey, dialog: &Dialog<'_>, mark: &str) -> Option<(u32, bool)> {
        key.read_mark(dialog, mark).map(|mark| (mark.hour, mark.has_same_names(dialog)))
    }

    fn key() -> FlowKey {
        FlowKey::new([7; 32])
    }

    /// PXY-27: who has not seen a dialog does not guess its mark: no part of it is enough, nor that of another dialog.
    #[test]
    fn a_mark_is_good_whole_and_for_its_dialog() {
        let (key, request_of) = (key(), request);
        let request = request_of(ALICE, BOB, "c1");
        let dialog = Dialog::begun_by_sender(&request);
        let mark = key.mark(&dialog, 3);
        assert_eq!(read(&key, &dialog, &mark), Some((3, true)));
        let others = [request_of(ALICE, BOB, "c2"), request_of("<sip:alice@example.com>;tag=x", BOB, "c1")]
            .map(|other| read(&key, &Dialog::begun_by_sender(&other), &mark));
        assert_eq!(others, [None, None]);
        assert_eq!(read(&FlowKey::new([8; 32]), &dialog, &mark), None);
        let octets = URL_SAFE_NO_PAD.decode(&mark).unwrap();
        for length in 0..octets.len() {
            assert_eq!(read(&key, &dialog, &URL_SAFE_NO_PAD.encode(&octets[..length])), None, "{length}");
        }
        let longer = [&octets[..], &[0]].concat();
        assert_eq!(read(&key, &dialog, &URL_SAFE_NO_PAD.encode(longer)), None);
        for at in 0..octets.len() {
            let mut altered = octets.clone();
            altered[at] ^= 1;
            assert_eq!(read(&key, &dialog, &URL_SAFE_NO_PAD.encode(altered)), None, "octet {at}");
        }
        assert_eq!(read(&key, &dialog, "not base64!"), None);
        assert_eq!(key.open(&mark), Err(BadToken), "a mark is no token");
    }

    /// ADR 10: a mark that edges of an earlier version made is read as one that says nothing of gateways, and they read ours.
    #[test]
    fn a_mark_says_whether_it_would_tell_of_gateways() {
        let (key, request) = (key(), request(ALICE, BOB, "c1"));
        let dialog = Dialog::begun_by_sender(&request);
        for (mark, expected) in [(key.mark(&dialog, 3), true), (key.old_mark(&dialog, 3), false)] {
            let read = key.read_mark(&dialog, &mark).unwrap();
            assert_eq!((read.hour, read.tells_gateways), (3, expected));
            assert!(read.has_same_names(&dialog));
        }
    }

    /// PXY-27: both sides are known by their names, whichever of them sends, and however they write them. RFC 3261 12.2.1.1
    #[test]
    fn names_are_those_of_the_two_sides() {
        let key = key();
        let mark = key.mark(&Dialog::begun_by_sender(&request(ALICE, BOB, "c1")), 3);
        let same = |dialog: &Dialog<'_>| read(&key, dialog, &mark).map(|(_, same)| same);
        let bob = "<sip:bob@example.com>;tag=bt";
        for (from, to, expected) in [
            (ALICE, bob, true),
            ("\"A\" <sip:%61lice@Example.COM:5060;user=phone>;tag=at", "sip:bob@example.com;tag=bt", true),
            ("<sip:mallory@example.com>;tag=at", bob, false),
            (ALICE, "<sip:carol@example.com>;tag=bt", false),
            ("<sip:Alice@example.com>;tag=at", bob, false),
            (ALICE, "<sip:bob@example.org>;tag=bt", false),
        ] {
            let request = request(from, to, "c1");
            assert_eq!(same(&Dialog::begun_by_sender(&request)), Some(expected), "{from} {to}");
        }
        let by_receiver =
            |from, to| Dialog::begun_by_receiver(&request(from, to, "c1")).map(|dialog| same(&dialog));
        assert_eq!(by_receiver(bob, ALICE), Some(Some(true)), "the callee sends");
        assert_eq!(by_receiver("<sip:eve@example.com>;tag=bt", ALICE), Some(Some(false)));
        assert_eq!(by_receiver(ALICE, BOB), None, "no tag, no dialog");
    }
}
