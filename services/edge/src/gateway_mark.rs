//! The mark of a dialog with a gateway, beside the mark of the dialog in Record-Route: which sides of it are peers of trunks, and by what
//! number it began toward each, so that any edge knows whether a request within it may go to a gateway. T6, ADR 10
//!
//! | octets | what |
//! |---|---|
//! | 1 | which sides are trunks |
//! | 5 for each of them, that of the caller first | its number, under the key of the cluster |
//! | 10 | the seal over these, the Call-ID and the tag of who began the dialog |

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::dialog_mark::{Dialog, with_id};
use crate::flow_token::{FlowKey, SEAL};

/// What the text under a seal of a gateway, and under one of its number, begins with.
const GATEWAY: &[u8] = b"gateway ";
const NUMBER: &[u8] = b"number ";

/// A number that fits by chance can be looked for only by asking us, and each question is a call attempt.
const SHORT: usize = 5;
const CALLER: u8 = 1;
const CALLEE: u8 = 2;

/// The number of each side that is a gateway; empty where it has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Numbers<'n> {
    pub(crate) caller: Option<&'n str>,
    pub(crate) callee: Option<&'n str>,
}

/// What a good mark says of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known([u8; SHORT]);

/// What a good mark says: of the side of who began the dialog, and of the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sides {
    pub(crate) caller: Option<Known>,
    pub(crate) callee: Option<Known>,
}

impl FlowKey {
    /// The mark of a dialog with a gateway; `None` where no side is one.
    pub(crate) fn gateway_mark(&self, dialog: &Dialog<'_>, numbers: Numbers<'_>) -> Option<String> {
        if numbers == Numbers::default() {
            return None;
        }
        let sides = [(CALLER, numbers.caller), (CALLEE, numbers.callee)];
        let mut octets = vec![0];
        for (side, number) in sides {
            if let Some(number) = number {
                octets[0] |= side;
                octets.extend_from_slice(&self.known(dialog, number).0);
            }
        }
        let seal = self.gateway_seal(dialog, &octets).finalize().into_bytes();
        octets.extend_from_slice(&seal[..SEAL]);
        Some(URL_SAFE_NO_PAD.encode(octets))
    }

    /// What a mark says, when it was made with this key, for this dialog.
    pub(crate) fn read_gateway_mark(&self, dialog: &Dialog<'_>, mark: &str) -> Option<Sides> {
        let octets = URL_SAFE_NO_PAD.decode(mark).ok()?;
        let (said, seal) = octets.split_at_checked(octets.len().checked_sub(SEAL)?)?;
        self.gateway_seal(dialog, said).verify_truncated_left(seal).ok()?;
        let (which, numbers) = said.split_first()?;
        let (numbers, rest) = numbers.as_chunks::<SHORT>();
        let mut numbers = numbers.iter().copied().map(Known);
        let mut side = |bit: u8| if which & bit == 0 { Some(None) } else { numbers.next().map(Some) };
        let sides = Sides { caller: side(CALLER)?, callee: side(CALLEE)? };
        (rest.is_empty() && numbers.next().is_none()).then_some(sides)
    }

    /// Is this the number that the mark says of a side?
    pub(crate) fn is_number(&self, dialog: &Dialog<'_>, known: Known, number: &str) -> bool {
        // a gateway may leave the + out where it says whom it has reached
        let is_it = |number: &str| self.known(dialog, number) == known;
        is_it(number) || (!number.starts_with('+') && is_it(&format!("+{number}")))
    }

    /// Other in each dialog, so that nobody learns numbers by comparing marks.
    fn known(&self, dialog: &Dialog<'_>, number: &str) -> Known {
        let mac = with_id(self.mac(NUMBER), dialog).chain_update(b" ").chain_update(number);
        let mut octets = [0; SHORT];
        octets.copy_from_slice(&mac.finalize().into_bytes()[..SHORT]);
        Known(octets)
    }

    fn gateway_seal(&self, dialog: &Dialog<'_>, said: &[u8]) -> Hmac<Sha256> {
        // the length of what is said, so that no other division of the text has this seal
        let length = (said.len() as u64).to_be_bytes();
        with_id(self.mac(GATEWAY).chain_update(length).chain_update(said), dialog)
    }
}

#[cfg(test)]
mod tests {
    use sip_message::{Limits, Message};

    use super::*;

    fn request(call_id: &str, tag: &str) -> Message {
        let text = format!(
            "INVITE sip:+49@192.0.2.1 SIP/2.0\r\nFrom: <sip:a@h>;tag={tag}\r\nTo: <sip:b@h>\r\n\
             Call-ID: {call_id}\r\nCSeq: 2 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into(), &Limits::default()).unwrap()
    }

    /// T6: a mark is good whole, in its dialog, for its sides and their numbers.
    #[test]
    fn a_mark_says_which_sides_are_gateways_and_by_what_number() {
        let key = FlowKey::new([7; 32]);
        let request_of = request;
        let request = request_of("c1", "at");
        let dialog = Dialog::begun_by_sender(&request);
        assert_eq!(key.gateway_mark(&dialog, Numbers::default()), None);
        for numbers in [
            Numbers { caller: None, callee: Some("+4930") },
            Numbers { caller: Some("+4930"), callee: None },
            Numbers { caller: Some("+4930"), callee: Some("") },
        ] {
            let mark = key.gateway_mark(&dialog, numbers).unwrap();
            let sides = key.read_gateway_mark(&dialog, &mark).unwrap();
            for (side, number) in [(sides.caller, numbers.caller), (sides.callee, numbers.callee)] {
                let fits = |text: &str| side.map(|known| key.is_number(&dialog, known, text));
                assert_eq!(number.and_then(fits), number.map(|_| true));
                assert_eq!(fits("+33123"), number.map(|_| false));
            }
            for (call_id, tag) in [("c2", "at"), ("c1", "other")] {
                let other = request_of(call_id, tag);
                assert_eq!(key.read_gateway_mark(&Dialog::begun_by_sender(&other), &mark), None);
            }
            assert_eq!(FlowKey::new([8; 32]).read_gateway_mark(&dialog, &mark), None);
            let octets = URL_SAFE_NO_PAD.decode(&mark).unwrap();
            for place in 0..octets.len() {
                let mut altered = octets.clone();
                altered[place] ^= 1;
                assert_eq!(key.read_gateway_mark(&dialog, &URL_SAFE_NO_PAD.encode(altered)), None, "{place}");
                let shorter = URL_SAFE_NO_PAD.encode(&octets[..place]);
                assert_eq!(key.read_gateway_mark(&dialog, &shorter), None, "{place}");
            }
        }
        assert_eq!(key.read_gateway_mark(&dialog, &key.mark(&dialog, 3)), None, "a mark of a dialog is none");
    }

    /// T6: the same number without its + is the same; with digits in front or behind it is another one.
    #[test]
    fn a_number_may_lose_its_plus_and_nothing_else() {
        let key = FlowKey::new([7; 32]);
        let request = request("c1", "at");
        let dialog = Dialog::begun_by_sender(&request);
        let known = |number| key.known(&dialog, number);
        assert!(key.is_number(&dialog, known("+4930"), "4930"));
        for (began, other) in [("4930", "+4930"), ("+4930", "+49301"), ("+4930", "930"), ("", "+4930")] {
            assert!(!key.is_number(&dialog, known(began), other), "{began} {other}");
        }
    }
}
