//! What a borrower asks for: where a call to the number is to lead, and for which numbers it is.

use sip_message::{NameAddr, Scheme, Uri};

use crate::trunks::number_of;

/// Contacts of one number.
const MOST_CONTACTS: usize = 10;
/// Octets of one contact.
const LONGEST_CONTACT: usize = 1_024;

/// Where a call to the number leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// `<uri>` with q where one was given, best first.
    pub contacts: Vec<String>,
    /// The shortest time that a contact is good for, in seconds, when one says so.
    pub expires: Option<u32>,
}

/// Reads the contacts.
///
/// # Errors
/// What is wrong with them, for the reason phrase.
pub(super) fn contacts(values: &[String]) -> Result<Asked, &'static str> {
    if values.is_empty() {
        return Err("Contact Missing");
    }
    if values.len() > MOST_CONTACTS {
        return Err("Too Many Contacts");
    }
    let mut found: Vec<(u32, String)> = Vec::with_capacity(values.len());
    let mut expires: Option<u32> = None;
    for value in values {
        let bare = format!("<{value}>");
        // a URI without brackets may hold what would belong to the header otherwise (RFC 3261 20.10)
        let value = if value.contains('<') { value } else { &bare };
        let contact = NameAddr::parse(value.as_bytes()).map_err(|_| "Bad Contact")?;
        let uri = Uri::parse(contact.uri).map_err(|_| "Bad Contact")?;
        if value.len() > LONGEST_CONTACT
            || !matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
            || uri.host.is_empty()
        {
            return Err("Bad Contact");
        }
        let uri = std::str::from_utf8(contact.uri).map_err(|_| "Bad Contact")?;
        if uri.chars().any(|octet| octet.is_control() || matches!(octet, '<' | '>' | '"')) {
            return Err("Bad Contact");
        }
        if let Some(seconds) = contact.expires() {
            expires = Some(expires.map_or(seconds, |known| known.min(seconds)));
        }
        found.push(match contact.param("q") {
            None => (1_000, format!("<{uri}>")),
            Some(q) => {
                let q = q_milli(q).ok_or("Bad Contact")?;
                (q, format!("<{uri}>;q={}.{:03}", q / 1_000, q % 1_000))
            }
        });
    }
    // a stable sort: contacts of one q keep their order
    found.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
    Ok(Asked { contacts: found.into_iter().map(|(_, contact)| contact).collect(), expires })
}

/// The q of a contact in thousandths; one without is the best. RFC 3261 25.1
pub(super) fn q_of(contact: &NameAddr<'_>) -> u32 {
    contact.param("q").and_then(q_milli).unwrap_or(1_000)
}

fn q_milli(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if !matches!(whole, "0" | "1") || part.len() > 3 || !is_digits(part) {
        return None;
    }
    let thousandths = format!("{whole}{part:0<3}").parse().ok()?;
    (thousandths <= 1_000).then_some(thousandths)
}

/// The number that Allocate-For names, in global form. `None` when it names none that could be used: then the default pool is meant
/// (ALLOCATE draft 3.1). A tel URI with a mandatory parameter that is not known is not used, and a local number only says something
/// with its context (RFC 3966 5.1.4, 5.4).
///
/// # Errors
/// When it cannot be read at all.
pub(super) fn allocate_for(value: &str) -> Result<Option<String>, &'static str> {
    if value.is_empty() {
        return Ok(None);
    }
    let bare = format!("<{value}>");
    let address = if value.contains('<') { value } else { &bare };
    let bad = "Bad Allocate-For";
    let address = NameAddr::parse(address.as_bytes()).map_err(|_| bad)?;
    let uri = Uri::parse(address.uri).map_err(|_| bad)?;
    if uri.scheme != Scheme::Tel || is_mandatory_unknown(address.uri) {
        return Ok(None);
    }
    let number = number_of(&uri).ok_or(bad)?;
    if number.starts_with('+') {
        return Ok(Some(number));
    }
    match uri.param("phone-context") {
        // +1;phone-context… of a local number: the context is the beginning of the global one
        Some(context) if context.starts_with('+') => Ok(Some([context, &number].concat())),
        Some(_) => Ok(None),
        None => Err(bad),
    }
}

fn is_mandatory_unknown(uri: &[u8]) -> bool {
    uri.split(|octet| *octet == b';')
        .skip(1)
        .any(|param| param.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"m-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Asked, &'static str> {
        contacts(&values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>())
    }

    /// ALC-02, ALC-08
    #[test]
    fn contacts_are_put_in_the_order_of_their_q_and_the_shortest_time_counts() {
        let asked =
            read(&["sip:c@h;x=1", "<sip:a@h>;q=0.5;expires=180", "\"B\" <sips:b@h>;expires=60"]).unwrap();
        assert_eq!(asked.contacts, ["<sip:c@h;x=1>", "<sips:b@h>", "<sip:a@h>;q=0.500"]);
        assert_eq!(asked.expires, Some(60));
        assert_eq!(read(&["<sip:a@h>"]).unwrap().expires, None);
    }

    /// ALC-02: what leads nowhere is no contact.
    #[test]
    fn what_is_no_contact_is_refused() {
        assert_eq!(read(&[]), Err("Contact Missing"));
        assert_eq!(read(&["sip:a@h"; 11]), Err("Too Many Contacts"));
        let long = format!("<sip:{}@h>", "a".repeat(2_000));
        for bad in [
            "*",
            "tel:+1",
            "mailto:a@h",
            "<sip:a@h",
            "<sip:a@h>;q=2",
            "<sip:a@h>;q=0.1234",
            "",
            "sip:a\r\n@h",
            &long,
        ] {
            assert_eq!(read(&[bad]), Err("Bad Contact"), "{bad}");
        }
    }

    /// ALC-07, ALC-12: visual separators and the case of parameters say nothing; a local number needs its context; a parameter that
    /// must be understood, and is not, makes a URI useless.
    #[test]
    fn a_tel_uri_is_read_as_rfc_3966_has_it() {
        for same in [
            "<tel:+18475550000>",
            "tel:+1-847-555-0000",
            "<TEL:+1(847)555.0000;ISUB=1>",
            "tel:5550000;phone-context=+1847",
        ] {
            assert_eq!(allocate_for(same), Ok(Some("+18475550000".to_owned())), "{same}");
        }
        for unused in ["", "tel:+18475550000;m-new=1", "tel:5550000;phone-context=example.com", "sip:+1847@h"]
        {
            assert_eq!(allocate_for(unused), Ok(None), "{unused}");
        }
        for bad in ["tel:5550000", "tel:x", "<tel:+1", "tel:"] {
            assert_eq!(allocate_for(bad), Err("Bad Allocate-For"), "{bad}");
        }
    }
}
