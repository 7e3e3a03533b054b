//! The mark of a trunk in the Record-Route of a call that crosses it: which trunk the neighbour at this address is, so that its challenges
//! to later requests of the dialog are answered by any edge, which keeps nothing of dialogs.
//!
//! | octets | what |
//! |---|---|
//! | 4 or 16, after their number | the address to which the INVITE went, or from which it came |
//! | the rest | the name of the trunk |
//! | 10 | the seal over these, the Call-ID and the tag of who began the dialog |
//!
//! Either side of a dialog may lead its requests anywhere (RFC 3261 12.2.1.1), and credentials that were made for a stranger's challenge
//! are as good as the password for one call. So they go to this address alone.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::dialog_mark::{Dialog, with_id};
use crate::flow_token::{FlowKey, SEAL};

/// What the text under a seal of a trunk begins with.
const TRUNK: &[u8] = b"trunk ";

/// The trunk on one side of a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrunkSide {
    /// Its name.
    pub(crate) trunk: String,
    /// Where it is.
    pub(crate) at: IpAddr,
}

impl FlowKey {
    /// The mark of a trunk in this dialog.
    pub(crate) fn trunk_mark(&self, dialog: &Dialog<'_>, side: &TrunkSide) -> String {
        let mut octets = Vec::with_capacity(64);
        match side.at.to_canonical() {
            IpAddr::V4(ip) => {
                octets.push(4);
                octets.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                octets.push(16);
                octets.extend_from_slice(&ip.octets());
            }
        }
        octets.extend_from_slice(side.trunk.as_bytes());
        let seal = self.trunk_seal(dialog, &octets).finalize().into_bytes();
        octets.extend_from_slice(&seal[..SEAL]);
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// What a mark says, when it was made with this key, for this dialog.
    pub(crate) fn read_trunk_mark(&self, dialog: &Dialog<'_>, mark: &str) -> Option<TrunkSide> {
        let octets = URL_SAFE_NO_PAD.decode(mark).ok()?;
        let (said, seal) = octets.split_at_checked(octets.len().checked_sub(SEAL)?)?;
        self.trunk_seal(dialog, said).verify_truncated_left(seal).ok()?;
        let (length, rest) = said.split_first()?;
        let (address, trunk) = rest.split_at_checked((*length).into())?;
        let at = match address.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
            16 => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
            _ => return None,
        };
        let trunk = std::str::from_utf8(trunk).ok()?.to_owned();
        (!trunk.is_empty()).then_some(TrunkSide { trunk, at })
    }

    fn trunk_seal(&self, dialog: &Dialog<'_>, said: &[u8]) -> Hmac<Sha256> {
        // the length of what is said, so that no other division of the text has this seal
        let length = (said.len() as u64).to_be_bytes();
        with_id(self.mac(TRUNK).chain_update(length).chain_update(said), dialog)
    }
}

#[cfg(test)]
mod tests {
    use sip_message::{Limits, Message};

    use super::*;

    fn request(call_id: &str, tag: &str) -> Message {
        let text = format!(
            "BYE sip:+49@192.0.2.1 SIP/2.0\r\nFrom: <sip:a@h>;tag={tag}\r\nTo: <sip:b@h>;tag=bt\r\n\
             Call-ID: {call_id}\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into(), &Limits::default()).unwrap()
    }

    /// AUT-13: nobody makes himself a trunk, and no mark is good in another dialog or whole but altered.
    #[test]
    fn a_mark_names_one_trunk_in_one_dialog() {
        let key = FlowKey::new([7; 32]);
        let request_of = request;
        let request = request_of("c1", "at");
        let dialog = Dialog::begun_by_sender(&request);
        for at in ["192.0.2.9", "2001:db8::9"] {
            let side = TrunkSide { trunk: "carrier".into(), at: at.parse().unwrap() };
            let mark = key.trunk_mark(&dialog, &side);
            assert_eq!(key.read_trunk_mark(&dialog, &mark), Some(side));
            for (call_id, tag) in [("c2", "at"), ("c1", "other")] {
                let other = request_of(call_id, tag);
                assert_eq!(key.read_trunk_mark(&Dialog::begun_by_sender(&other), &mark), None);
            }
            assert_eq!(FlowKey::new([8; 32]).read_trunk_mark(&dialog, &mark), None);
            let octets = URL_SAFE_NO_PAD.decode(&mark).unwrap();
            for place in 0..octets.len() {
                let mut altered = octets.clone();
                altered[place] ^= 1;
                assert_eq!(key.read_trunk_mark(&dialog, &URL_SAFE_NO_PAD.encode(altered)), None, "{place}");
                let shorter = URL_SAFE_NO_PAD.encode(&octets[..place]);
                assert_eq!(key.read_trunk_mark(&dialog, &shorter), None, "{place}");
            }
        }
        assert_eq!(key.read_trunk_mark(&dialog, &key.mark(&dialog, 3)), None, "a mark of a dialog is none");
        assert_eq!(key.read_trunk_mark(&dialog, "%"), None);
    }
}
