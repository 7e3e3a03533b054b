//! The gateway elsewhere that has the numbers of a pool: what may be set, what it is asked, and what its answer says. ALLOCATE draft 3.1, 3.2
//!
//! | the gateway                              | the borrower                                |
//! |------------------------------------------|---------------------------------------------|
//! | gives one number                         | 200, for no longer than was asked           |
//! | gives none, several, or no global number | 502                                         |
//! | refuses with 423, 488 or 503             | the same, with Min-Expires and Retry-After  |
//! | refuses otherwise                        | 502, with the status in Warning             |
//! | says nothing                             | 504                                         |
//! | is not to be reached                     | 503                                         |

use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse, SendRequest};
use cluster_api::registrar::v1::AllocateResponse;
use cluster_api::sip::v1::Header;
use sip_message::{NameAddr, Scheme, Uri};

use super::asked::Asked;
use super::pool::{NumberPoolConfig, NumberPoolError};
use crate::answer::header;
use crate::trunks::number_of;

/// When to ask a gateway again that has no number and does not say when.
const RETRY_SECONDS: u32 = 60;

/// Digits of an E.164 number.
const MOST_DIGITS: usize = 15;

/// Whether the gateway of a pool is one.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(config: &NumberPoolConfig) -> Result<(), NumberPoolError> {
    let name = || config.name.clone();
    if config.gateway.is_empty() {
        return if config.trunk.is_empty() { Ok(()) } else { Err(NumberPoolError::TrunkAlone(name())) };
    }
    let is_host = Uri::parse(config.gateway.as_bytes()).is_ok_and(|uri| {
        matches!(uri.scheme, Scheme::Sip | Scheme::Sips) && uri.user.is_none() && !uri.host.is_empty()
    });
    let is_plain = !config.gateway.contains(|c: char| c.is_control() || matches!(c, '<' | '>' | '"' | ' '));
    if !is_host || !is_plain {
        return Err(NumberPoolError::Gateway(name(), config.gateway.clone()));
    }
    if config.numbers.is_empty() { Ok(()) } else { Err(NumberPoolError::OwnNumbers(name())) }
}

/// What a gateway is asked.
pub(super) struct Question<'a> {
    pub config: &'a NumberPoolConfig,
    /// Who asks: Carillon.
    pub from: String,
    /// What is this question's alone.
    pub token: &'a str,
    pub asked: &'a Asked,
    pub allocate_for: &'a str,
    pub seconds: u32,
}

/// The request, the same from whichever replica. ALC-02, ALC-11
pub(super) fn request(question: &Question<'_>) -> ExchangeRequest {
    let Question { config, from, token, asked, allocate_for, seconds } = question;
    let contacts = asked.contacts.iter().map(|contact| format!("{contact};expires={seconds}"));
    let mut headers = Vec::new();
    if !allocate_for.is_empty() {
        headers.push(Header { name: "Allocate-For".to_owned(), value: (*allocate_for).to_owned() });
    }
    let name = format!("number-{token}");
    let request = SendRequest {
        method: "ALLOCATE".to_owned(),
        request_uri: config.gateway.clone(),
        from_uri: from.clone(),
        from_tag: token.chars().take(12).collect(),
        to_uri: config.gateway.clone(),
        sip_call_id: name.clone(),
        cseq: 1,
        headers,
        contact: contacts.collect::<Vec<_>>().join(", "),
        trunk: config.trunk.clone(),
        ..SendRequest::default()
    };
    ExchangeRequest { exchange_id: name, request: Some(request) }
}

/// The number of an answer in global form, and for how many seconds it is ours.
///
/// # Errors
/// What the borrower is answered instead.
pub(super) fn granted(
    response: &ExchangeResponse,
    asked: u32,
) -> Result<(String, u32), Box<AllocateResponse>> {
    if !(200..300).contains(&response.status) {
        return Err(Box::new(refused(response)));
    }
    let found = match &response.contacts[..] {
        [contact] => lent(contact),
        _ => None,
    };
    let expires = |value: &Header| value.value.trim().parse().ok();
    match found {
        Some((number, said)) => {
            let said = said.or_else(|| named(response, "Expires").and_then(expires)).unwrap_or(asked);
            Ok((number, said.min(asked)))
        }
        None => {
            Err(Box::new(failed(502, response.status, "The gateway of the pool gave no number".to_owned())))
        }
    }
}

fn lent(contact: &str) -> Option<(String, Option<u32>)> {
    let bare = format!("<{contact}>");
    let contact = if contact.contains('<') { contact } else { &bare };
    let contact = NameAddr::parse(contact.as_bytes()).ok()?;
    let uri = Uri::parse(contact.uri).ok().filter(|uri| uri.scheme == Scheme::Tel)?;
    // ALC-03: with one of these it is another phone than the number alone
    if uri.has_param("ext") || uri.has_param("isub") {
        return None;
    }
    let number = number_of(&uri)?;
    let is_global = number.starts_with('+') && (2..=MOST_DIGITS + 1).contains(&number.len());
    is_global.then(|| (number, contact.expires()))
}

fn refused(response: &ExchangeResponse) -> AllocateResponse {
    let status = response.status;
    let says = || format!("The gateway of the pool says {status}");
    let seconds = |name: &str| {
        let value = named(response, name)?.value.trim().parse::<u32>().ok()?;
        Some(header(name, value.to_string()))
    };
    let with = |more: Option<Header>| {
        let mut answer = failed(status, status, says());
        answer.headers.extend(more);
        answer
    };
    match (response.local, status) {
        (true, 408) => failed(504, 0, "The gateway of the pool does not answer".to_owned()),
        (true, _) => failed(503, 0, "There is no way to the gateway of the pool".to_owned()),
        (false, 423) => match seconds("Min-Expires") {
            Some(least) => with(Some(least)),
            None => failed(502, status, says()),
        },
        (false, 488) => with(None),
        (false, 503) => {
            let again = seconds("Retry-After");
            with(Some(again.unwrap_or_else(|| header("Retry-After", RETRY_SECONDS.to_string()))))
        }
        (false, _) => failed(502, status, says()),
    }
}

/// An answer with words of ours: those of the gateway are not passed on.
pub(super) fn failed(status: u32, gateway_status: u32, why: String) -> AllocateResponse {
    let warning = header("Warning", format!("399 carillon \"{why}\""));
    AllocateResponse { status, gateway_status, headers: vec![warning], ..AllocateResponse::default() }
}

fn named<'a>(response: &'a ExchangeResponse, name: &str) -> Option<&'a Header> {
    response.headers.iter().find(|header| header.is(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u32, contacts: &[&str], headers: &[(&str, &str)]) -> ExchangeResponse {
        ExchangeResponse {
            status,
            contacts: contacts.iter().map(|&contact| contact.to_owned()).collect(),
            headers: headers.iter().map(|&(name, value)| header(name, value.to_owned())).collect(),
            ..ExchangeResponse::default()
        }
    }

    /// ALC-02, ALC-11: the form of RFC 3261, with the gateway as whom it is for and the Contacts of the borrower, and no body.
    #[test]
    fn a_gateway_is_asked_as_the_draft_has_it() {
        let config = NumberPoolConfig {
            gateway: "sip:gw58.ca.pstn-gws.example".to_owned(),
            trunk: "carrier".to_owned(),
            ..NumberPoolConfig::default()
        };
        let contacts = ["<sip:line200@office.example>".to_owned(), "<sip:b@h>;q=0.500".to_owned()];
        let exchange = request(&Question {
            config: &config,
            from: "sip:carillon@example.com".to_owned(),
            token: "abcdefghijklmnop",
            asked: &Asked { contacts: contacts.to_vec(), expires: None },
            allocate_for: "<tel:+18475550000>",
            seconds: 180,
        });
        let send = exchange.request.unwrap();
        assert_eq!((send.method.as_str(), send.trunk.as_str(), send.cseq), ("ALLOCATE", "carrier", 1));
        assert_eq!((&send.request_uri, &send.to_uri), (&config.gateway, &config.gateway));
        assert_eq!(
            (send.from_uri.as_str(), send.from_tag.as_str()),
            ("sip:carillon@example.com", "abcdefghijkl")
        );
        assert!(send.to_tag.is_empty() && send.body.is_none());
        assert_eq!(send.contact, "<sip:line200@office.example>;expires=180, <sip:b@h>;q=0.500;expires=180");
        assert!(send.headers[0].is("Allocate-For") && send.headers[0].value == "<tel:+18475550000>");
        assert_eq!(exchange.exchange_id, send.sip_call_id);
    }

    /// ALC-02, ALC-03: one tel URI in global form, for no longer than was asked.
    #[test]
    fn one_number_is_taken_from_an_answer() {
        for (contacts, headers, expected) in [
            (&["<tel:+13235554258>;expires=180"][..], &[][..], Ok(("+13235554258", 180))),
            (&["tel:+1-323-555-4258"], &[("Expires", "60")], Ok(("+13235554258", 60))),
            (&["<tel:+13235554258>;expires=9999"], &[], Ok(("+13235554258", 180))),
            (&["<tel:+13235554258>"], &[], Ok(("+13235554258", 180))),
            (&[], &[], Err(502)),
            (&["<tel:+13235554258>", "<tel:+13235554259>"], &[], Err(502)),
            (&["<tel:5554258;phone-context=+1323>"], &[], Err(502)),
            (&["<sip:+13235554258@gw.example>"], &[], Err(502)),
            (&["<tel:+12345678901234567890>"], &[], Err(502)),
            (&["<tel:+13235554258;ext=12>"], &[], Err(502)),
            (&["<tel:+13235554258;isub=1>"], &[], Err(502)),
            (&["*"], &[], Err(502)),
        ] {
            let found = granted(&answer(200, contacts, headers), 180);
            let found = found.map_err(|refused| refused.status);
            assert_eq!(found, expected.map(|(number, seconds)| (number.to_owned(), seconds)), "{contacts:?}");
        }
    }

    /// ALC-02, ALC-04, ALC-05, ALC-09: a refusal of the gateway is one for the borrower, in words of ours.
    #[test]
    fn a_refusal_is_passed_on_as_far_as_it_is_about_the_request() {
        let of = |response: &ExchangeResponse| {
            let refused = granted(response, 180).expect_err("refused");
            let headers = refused.headers.iter().filter(|header| !header.is("Warning"));
            let headers = headers.map(|header| format!("{}: {}", header.name, header.value)).collect();
            (refused.status, refused.gateway_status, headers)
        };
        let local = |status| ExchangeResponse { local: true, ..answer(status, &[], &[]) };
        let none = Vec::<String>::new;
        for (response, expected) in [
            (answer(423, &[], &[("Min-Expires", " 60")]), (423, 423, vec!["Min-Expires: 60".to_owned()])),
            (answer(423, &[], &[("Min-Expires", "soon")]), (502, 423, none())),
            (answer(488, &[], &[]), (488, 488, none())),
            (answer(503, &[], &[("Retry-After", "7")]), (503, 503, vec!["Retry-After: 7".to_owned()])),
            (answer(503, &[], &[]), (503, 503, vec!["Retry-After: 60".to_owned()])),
            (answer(403, &[], &[]), (502, 403, none())),
            (answer(401, &[], &[]), (502, 401, none())),
            (local(408), (504, 0, none())),
            (local(503), (503, 0, none())),
            (local(404), (503, 0, none())),
        ] {
            assert_eq!(of(&response), expected, "{response:?}");
        }
    }

    #[test]
    fn what_is_no_gateway_is_refused_with_the_reason() {
        let told = |gateway: &str, trunk: &str, numbers: &[&str]| {
            let config = NumberPoolConfig {
                name: "a".to_owned(),
                gateway: gateway.to_owned(),
                trunk: trunk.to_owned(),
                numbers: numbers.iter().map(|&number| number.to_owned()).collect(),
                ..NumberPoolConfig::default()
            };
            check(&config).map_err(|error| error.to_string())
        };
        assert_eq!(told("sip:gw58.ca.pstn-gws.example", "", &[]), Ok(()));
        assert_eq!(told("sips:gw.example:5071;transport=tcp", "carrier", &[]), Ok(()));
        for bad in ["gw.example", "sip:", "tel:+1", "sip:x@gw.example", "sip:gw\r\nVia: x", "sip:gw>;x=<"] {
            let told = told(bad, "", &[]).unwrap_err();
            assert!(told.contains("is no gateway elsewhere"), "{bad}: {told}");
        }
        assert!(told("", "carrier", &[]).unwrap_err().contains("no gateway to ask"));
        assert!(told("sip:gw.example", "", &["+1312"]).unwrap_err().contains("leave numbers out"));
    }
}
