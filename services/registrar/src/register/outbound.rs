//! Flows of one device, RFC 5626: which binding a contact is by its instance and reg-id, and whether that counts.

use cluster_api::registrar::v1::RegisterContact;
use sip_message::{NameAddr, Uri};

use crate::record::{BindingRecord, contact_param};

/// What becomes of the reg-id in a REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// It counts: each pair of instance and reg-id is a binding of its own.
    Applied,
    /// It means nothing: there is none, it came without an instance or without the option, or for somebody else.
    Ignored,
    /// 439: the first hop keeps no flow.
    NoFirstHop,
    /// 400: a flow registers one contact.
    SeveralContacts,
}

/// Reads it off the contacts of a REGISTER. `supports`: it names the option; `is_own`: the user registers herself.
// RFC 5626 6
pub(crate) fn outbound(
    contacts: &[RegisterContact],
    supports: bool,
    path: &[String],
    is_own: bool,
) -> Outbound {
    let mut keyed = contacts.iter().filter(|contact| key(&contact.params).is_some());
    let Some(contact) = keyed.next() else { return Outbound::Ignored };
    if !is_own || !supports {
        return Outbound::Ignored;
    }
    let is_bound = |contact: &&RegisterContact| contact.expires != Some(0);
    if keyed.next().is_some() && contacts.iter().filter(is_bound).count() > 1 {
        return Outbound::SeveralContacts;
    }
    let has_first_hop = match path.last() {
        Some(first) => NameAddr::parse(first.as_bytes())
            .is_ok_and(|hop| Uri::parse(hop.uri).is_ok_and(|uri| uri.has_param("ob"))),
        // our own edge was the first hop, and keeps the flow
        None => !contact.by_uri,
    };
    if has_first_hop { Outbound::Applied } else { Outbound::NoFirstHop }
}

/// Instance and reg-id of a contact that has both.
pub(crate) fn key(params: &[String]) -> Option<(&str, u32)> {
    let instance = contact_param(params, "+sip.instance").filter(|instance| !instance.is_empty())?;
    let reg_id = contact_param(params, "reg-id")?.parse().ok().filter(|id| *id > 0)?;
    Some((instance, reg_id))
}

/// Whether a binding is this flow of this device.
pub(crate) fn is_flow(binding: &BindingRecord, (instance, reg_id): (&str, u32)) -> bool {
    binding.reg_id == reg_id && same_instance(binding.instance(), instance)
}

/// Instances are URNs, compared as RFC 4122 3 has it for UUIDs.
pub(crate) fn same_instance(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(params: &[&str]) -> RegisterContact {
        let params = params.iter().map(|param| (*param).to_owned()).collect();
        RegisterContact { uri: "sip:a@h".into(), params, ..RegisterContact::default() }
    }

    const BOTH: [&str; 2] = ["+sip.instance=\"<urn:uuid:1>\"", "reg-id=2"];

    /// OBD-02: a reg-id needs an instance, the option, and the user herself.
    #[test]
    fn a_reg_id_counts_only_with_all_that_belongs_to_it() {
        let ask = |contacts: &[RegisterContact], supports, is_own| outbound(contacts, supports, &[], is_own);
        assert_eq!(ask(&[contact(&BOTH)], true, true), Outbound::Applied);
        assert_eq!(ask(&[contact(&BOTH[1..])], true, true), Outbound::Ignored);
        assert_eq!(ask(&[contact(&BOTH[..1])], true, true), Outbound::Ignored);
        assert_eq!(ask(&[contact(&[BOTH[0], "reg-id=0"])], true, true), Outbound::Ignored);
        assert_eq!(ask(&[contact(&BOTH)], false, true), Outbound::Ignored);
        assert_eq!(ask(&[contact(&BOTH)], true, false), Outbound::Ignored);
        let two = [contact(&BOTH), contact(&[BOTH[0], "reg-id=3"])];
        assert_eq!(ask(&two, true, true), Outbound::SeveralContacts);
        assert_eq!(ask(&[], true, true), Outbound::Ignored);
    }

    /// OBD-03: a proxy between the phone and us must keep the flow, which its Path says.
    #[test]
    fn the_first_hop_says_that_it_keeps_the_flow() {
        let ask = |path: &[&str], by_uri| {
            let path: Vec<String> = path.iter().map(|hop| (*hop).to_owned()).collect();
            let contact = RegisterContact { by_uri, ..contact(&BOTH) };
            outbound(&[contact], true, &path, true)
        };
        assert_eq!(ask(&["<sip:p2;lr>", "<sip:tok@p1;lr;ob>"], true), Outbound::Applied);
        assert_eq!(ask(&["<sip:p2;lr;ob>", "<sip:p1;lr>"], true), Outbound::NoFirstHop);
        assert_eq!(ask(&[], true), Outbound::NoFirstHop);
    }
}
