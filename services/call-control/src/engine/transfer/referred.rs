//! REFER of a phone on a leg: Carillon does itself what it asks for, and tells it how that goes (RFC 3515 2.4, RFC 7647, RFC 4488). The
//! other party sees nothing of it but the new session (TPC-07).
//!
//! | the REFER                                                  | answer                                            |
//! |------------------------------------------------------------|---------------------------------------------------|
//! | has no Contact, or not exactly one Refer-To that can be read, or two of Referred-By | 400 (CCL-01, CCL-06)     |
//! | leads to something that is not sip, sips or tel            | 416 (CCL-01)                                      |
//! | asks for another method than INVITE                        | 603                                               |
//! | asks for an instant message: `im:`, or `method=MESSAGE`    | see `pass`; 416 or 603 where it is not passed on  |
//! | leads where phones may not lead Carillon, see `redirects`; or to a number that its sender may not call (T6) | 403 |
//! | comes while parties are not connected, or one is being led | 500 with Retry-After                              |
//! | comes of a user whose REFERs are passed on                 | see `pass`                                        |
//! | else                                                       | 200, NOTIFY 100; then as after Transfer, and NOTIFY |
//!
//! Replaces of the dialog of a leg leads to the other party of that leg's call, as an attended transfer does (LAD-9). The dialog says which
//! leg that is, whatever the URI: many phones give the address of record of the target (RFC 5589 7.3). Of a leg of somebody else, and of
//! none of Carillon's, Replaces goes with the INVITE to the target.

use sip_body::sipfrag;
use sip_message::{NameAddr, Replaces, Scheme, Uri, percent_decode};

use crate::engine::anchor::across::is_sayable;
use crate::engine::call::Party;
use crate::engine::claim::ask::call_of;
use crate::engine::effect::{Body, Header};
use crate::engine::event::RequestReceived;
use crate::engine::leg::{Leg, Purpose};
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::LegIndex;
use crate::engine::stage::Stage;
use crate::engine::text::lists;
use crate::engine::transfer::record::{Aside, Borrow, DialogId, Moving, Referral};
use crate::engine::work::Work;

/// How long the phone may expect to be told: longer than anybody rings.
const EXPIRES_S: u32 = 180;

/// A caller who has not shown who it is: whatever its From says. RFC 3323 4.1.1.3
pub const NOBODY: &str = "sip:anonymous@anonymous.invalid";

/// Where a REFER leads.
enum Lead {
    /// To somebody who is dialled.
    Party(Party),
    /// To the other party of a leg of Carillon's.
    Leg(String, Borrow),
}

/// What a REFER says.
pub struct Wanted {
    /// Value of Refer-To.
    pub refer_to: String,
    /// Its URI without headers.
    pub plain: String,
    /// Its display name.
    pub display_name: String,
    /// Value of Referred-By.
    pub referrer: Option<String>,
    /// The dialog that is to be replaced, and its value as it came.
    pub replaces: Option<(DialogId, String)>,
    /// The call whose leg has that dialog, or else the one to whose leg the URI leads.
    pub call_id: Option<String>,
    /// It asks for an instant message (RFC 5359 2.6), which a phone writes and Carillon does not: with what status it is refused where it is
    /// not passed on.
    pub others: Option<u32>,
}

impl Work<'_> {
    /// The phone of a leg asks to lead the other party elsewhere, in the dialog of the leg or in this one beside it.
    pub fn on_refer(&mut self, leg: LegIndex, request: &RequestReceived, aside: Option<Box<Aside>>) {
        if matches!(self.call.stage, Some(Stage::Conferring(_))) && !self.is_mixed_locally() {
            return self.on_refer_to_focus(leg, request, aside);
        }
        let transaction = request.transaction.as_str();
        let wanted = match read_refer(request) {
            Ok(wanted) => wanted,
            Err(status) => return self.respond(leg, transaction, status, Vec::new(), None),
        };
        let stay = self.other(leg);
        let stay_id = self.call.legs.get(stay).map(|leg| leg.leg_id.clone()).unwrap_or_default();
        let may =
            self.pair().contains(&leg) && self.may_move(&stay_id).is_ok() && self.call.outcome.is_none();
        let referral = referral(leg, request, aside);
        if may && self.passes_refer(leg, stay, &wanted) {
            self.stop_listening();
            return self.pass_refer(stay, transaction, wanted, referral);
        }
        let lead = match wanted.others.map_or_else(|| self.lead(leg, wanted, request.is_denied), Err) {
            Ok(lead) => lead,
            Err(status) => return self.respond(leg, transaction, status, Vec::new(), None),
        };
        if !may {
            return self.respond_retry(leg, transaction);
        }
        self.stop_listening();
        // CCL-02: never 202
        self.respond(leg, transaction, 200, agreed(&referral), None);
        self.notify(&referral, 100, "Trying", false);
        self.report_on(stay, CallEventType::TransferStarted, 0, "");
        match lead {
            Lead::Party(party) => self.move_to(stay, party, Some(referral)),
            Lead::Leg(call_id, wanted) => self.move_to_call(stay, &call_id, wanted, Some(referral)),
        }
    }

    /// Where Carillon itself would go, or with what status it does not.
    fn lead(&self, leg: LegIndex, wanted: Wanted, is_denied: bool) -> Result<Lead, u32> {
        let mut headers = Vec::new();
        if let Some(referrer) = wanted.referrer {
            headers.push(Header::new("Referred-By", referrer));
        }
        if let Some((dialog, value)) = wanted.replaces {
            if let Some(call_id) = wanted.call_id {
                return Ok(Lead::Leg(call_id, Borrow { replaces: Some(dialog), ..Borrow::default() }));
            }
            headers.push(Header::new("Replaces", value));
            headers.push(Header::new("Require", "replaces"));
        }
        if is_denied || !self.context.redirects.allow_referral(&wanted.plain) {
            return Err(403);
        }
        let (uri, display_name) = (wanted.plain, wanted.display_name);
        let referred_by = self.leg(leg).referrer().to_owned();
        Ok(Lead::Party(Party { uri, display_name, headers, referred_by, ..Party::default() }))
    }

    /// The phone that asked by REFER is told how far it is.
    pub fn tell_referrer(&mut self, moving: &Moving, status: u32, reason: &str) {
        if let Some(referral) = &moving.referral {
            self.notify(referral, status, reason, true);
        }
    }

    /// CCL-03
    pub fn notify(&mut self, referral: &Referral, status: u32, reason: &str, is_final: bool) {
        let leg = referral.leg as LegIndex;
        if referral.silent || !self.leg(leg).is_up() {
            return;
        }
        let state = match is_final {
            true => "terminated;reason=noresource".to_owned(),
            false => format!("active;expires={EXPIRES_S}"),
        };
        let headers = vec![
            Header::new("Event", format!("refer;id={}", referral.cseq)),
            Header::new("Subscription-State", state),
        ];
        let body = Some(Body {
            content_type: sipfrag::CONTENT_TYPE.to_owned(),
            content_disposition: String::new(),
            content: sipfrag::build(u16::try_from(status).unwrap_or(500), reason),
        });
        let purpose = Purpose::Notify;
        match &referral.aside {
            Some(aside) => self.ask_aside(leg, aside, "NOTIFY", headers, body, purpose),
            None => {
                self.ask(leg, Ask { method: "NOTIFY", headers, body, purpose, ..Ask::default() });
            }
        }
    }
}

/// What a REFER says, or with what status it is refused.
pub fn read_refer(request: &RequestReceived) -> Result<Wanted, u32> {
    let mut targets = header(request, &["Refer-To", "r"]);
    let (Some(refer_to), None) = (targets.next(), targets.next()) else { return Err(400) };
    let mut referrers = header(request, &["Referred-By", "b"]);
    let referrer = referrers.next().map(str::to_owned);
    if request.contact.is_empty() || referrers.next().is_some() || !is_sayable(refer_to) {
        return Err(400);
    }
    let target = NameAddr::parse(refer_to.as_bytes()).map_err(|_| 400_u32)?;
    let uri = Uri::parse(target.uri).map_err(|_| 400_u32)?;
    let method = uri.param("method");
    let others = match (&uri.scheme, method) {
        (Scheme::Other(scheme), _) if scheme.eq_ignore_ascii_case("im") => Some(416),
        (Scheme::Other(_), _) => return Err(416),
        (_, Some(method)) if method.eq_ignore_ascii_case("MESSAGE") => Some(603),
        (_, Some(method)) if !method.eq_ignore_ascii_case("INVITE") => return Err(603),
        _ => None,
    };
    let plain = std::str::from_utf8(uri.without_headers()).map_err(|_| 400_u32)?.to_owned();
    // What else the URI would put into the INVITE is not the phone's to say
    let named = uri.header_pairs().find(|(name, _)| percent_decode(name).eq_ignore_ascii_case(b"Replaces"));
    let replaces = match named {
        None => None,
        Some((_, value)) => {
            let value = percent_decode(value);
            let replaces = Replaces::parse(&value).map_err(|_| 400_u32)?;
            let dialog = DialogId::of_replaces(&replaces);
            let value = std::str::from_utf8(&value).ok().filter(|value| is_sayable(value)).ok_or(400_u32)?;
            Some((dialog, value.to_owned()))
        }
    };
    Ok(Wanted {
        refer_to: refer_to.to_owned(),
        plain,
        display_name: String::from_utf8_lossy(&target.display_name()).into_owned(),
        referrer: referrer.filter(|value| is_sayable(value)),
        replaces,
        call_id: Some(request.replaces_in.clone()).filter(|call| !call.is_empty()).or_else(|| call_of(&uri)),
        others,
    })
}

/// Where the phone that sent a REFER is told how it goes, if it wants to be (RFC 4488 4, RFC 7614 5).
pub fn referral(leg: LegIndex, request: &RequestReceived, aside: Option<Box<Aside>>) -> Referral {
    let silent_by_header =
        header(request, &["Refer-Sub"]).any(|value| value.trim().eq_ignore_ascii_case("false"));
    let silent = silent_by_header || lists(&request.require, "nosub");
    Referral { leg: leg as u32, cseq: request.cseq, silent, silent_by_header, aside }
}

/// What the 200 says of it.
pub fn agreed(referral: &Referral) -> Vec<Header> {
    match referral.silent_by_header {
        true => vec![Header::new("Refer-Sub", "false")],
        false => Vec::new(),
    }
}

impl Leg {
    /// Who answers for where the phone of this leg leads Carillon (T6): the account that its caller proved to be, or the party that was
    /// dialled. Empty for who is trusted.
    pub fn referrer(&self) -> &str {
        match &self.incoming {
            Some(caller) if !caller.identity.is_empty() => &caller.identity,
            Some(caller) if caller.is_trusted => "",
            Some(_) => NOBODY,
            None => &self.party.uri,
        }
    }
}

/// Values of a header by its names.
pub fn header<'a>(request: &'a RequestReceived, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let is_it = move |header: &&Header| names.iter().any(|name| header.name.eq_ignore_ascii_case(name));
    request.headers.iter().filter(is_it).map(|header| header.value.as_str())
}
