//! REFER of a phone on a leg: Carillon does itself what it asks for, and tells it how that goes (RFC 3515 2.4, RFC 7647, RFC 4488). The
//! other party sees nothing of it but the new session (TPC-07).
//!
//! | the REFER                                                  | answer                                            |
//! |------------------------------------------------------------|---------------------------------------------------|
//! | has no Contact, or not exactly one Refer-To that can be read, or two of Referred-By | 400 (CCL-01, CCL-06)     |
//! | leads to something that is not sip, sips or tel            | 416 (CCL-01)                                      |
//! | asks for another method than INVITE                        | 603                                               |
//! | leads where phones may not lead Carillon, see `redirects`  | 403                                               |
//! | comes while parties are not connected, or one is being led | 500 with Retry-After                              |
//! | else                                                       | 200, NOTIFY 100; then as after Transfer, and NOTIFY |
//!
//! A target with Replaces that is a leg of Carillon's leads to the other party of that leg's call, as an attended transfer does (LAD-9);
//! any other target gets the Replaces with its INVITE.

use sip_body::sipfrag;
use sip_message::{NameAddr, Replaces, Scheme, Uri, percent_decode};

use crate::engine::anchor::across::is_sayable;
use crate::engine::call::Party;
use crate::engine::effect::{Body, Header};
use crate::engine::event::RequestReceived;
use crate::engine::leg::Purpose;
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::LegIndex;
use crate::engine::transfer::record::{Borrow, DialogId, Moving, Referral};
use crate::engine::work::Work;

/// How long the phone may expect to be told: longer than anybody rings.
const EXPIRES_S: u32 = 180;

/// Where a REFER leads.
enum Lead {
    /// To somebody who is dialled.
    Party(Party),
    /// To the other party of a leg of Carillon's.
    Leg(String, Borrow),
}

impl Work<'_> {
    /// The phone of a leg asks to lead the other party elsewhere.
    pub fn on_refer(&mut self, leg: LegIndex, request: &RequestReceived) {
        let transaction = request.transaction.as_str();
        let lead = match self.read_refer(request) {
            Ok(lead) => lead,
            Err(status) => return self.respond(leg, transaction, status, Vec::new(), None),
        };
        let stay = self.other(leg);
        let stay_id = self.call.legs.get(stay).map(|leg| leg.leg_id.clone()).unwrap_or_default();
        let may = self.pair().contains(&leg) && self.may_move(&stay_id).is_ok();
        if !may || self.call.outcome.is_some() {
            return self.respond_retry(leg, transaction);
        }
        let silent = header(request, &["Refer-Sub"]).any(|value| value.trim().eq_ignore_ascii_case("false"));
        let headers = if silent { vec![Header::new("Refer-Sub", "false")] } else { Vec::new() };
        // CCL-02: never 202
        self.respond(leg, transaction, 200, headers, None);
        let referral = Referral { leg: leg as u32, cseq: request.cseq, silent };
        self.notify(&referral, 100, "Trying", false);
        self.report_on(stay, CallEventType::TransferStarted, 0, "");
        match lead {
            Lead::Party(party) => self.move_to(stay, party, Some(referral)),
            Lead::Leg(call_id, wanted) => self.move_to_call(stay, &call_id, wanted, Some(referral)),
        }
    }

    /// Where it leads, or with what status it is refused.
    fn read_refer(&self, request: &RequestReceived) -> Result<Lead, u32> {
        let mut targets = header(request, &["Refer-To", "r"]);
        let (Some(target), None) = (targets.next(), targets.next()) else { return Err(400) };
        let mut referrers = header(request, &["Referred-By", "b"]);
        let referrer = referrers.next().map(str::to_owned);
        if request.contact.is_empty() || referrers.next().is_some() {
            return Err(400);
        }
        let target = NameAddr::parse(target.as_bytes()).map_err(|_| 400_u32)?;
        let uri = Uri::parse(target.uri).map_err(|_| 400_u32)?;
        if matches!(uri.scheme, Scheme::Other(_)) {
            return Err(416);
        }
        if uri.param("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
            return Err(603);
        }
        let plain = std::str::from_utf8(uri.without_headers()).map_err(|_| 400_u32)?.to_owned();
        let mut headers = Vec::new();
        if let Some(referrer) = referrer.filter(|value| is_sayable(value)) {
            headers.push(Header::new("Referred-By", referrer));
        }
        for (name, value) in uri.header_pairs() {
            if !percent_decode(name).eq_ignore_ascii_case(b"Replaces") {
                continue; // what else it would put into the INVITE is not the phone's to say
            }
            let value = percent_decode(value);
            let replaces = Replaces::parse(&value).map_err(|_| 400_u32)?;
            if let Some(call_id) = call_of(&uri) {
                return Ok(Lead::Leg(
                    call_id,
                    Borrow { replaces: Some(dialog_id(&replaces)), ..Borrow::default() },
                ));
            }
            let value = std::str::from_utf8(&value).ok().filter(|value| is_sayable(value)).ok_or(400_u32)?;
            headers.push(Header::new("Replaces", value));
            headers.push(Header::new("Require", "replaces"));
        }
        if !self.context.redirects.allow(&plain) {
            return Err(403);
        }
        let display_name = String::from_utf8_lossy(&target.display_name()).into_owned();
        Ok(Lead::Party(Party { uri: plain, display_name, headers, ..Party::default() }))
    }

    /// The phone that asked by REFER is told how far it is.
    pub fn tell_referrer(&mut self, moving: &Moving, status: u32, reason: &str) {
        if let Some(referral) = &moving.referral {
            self.notify(referral, status, reason, true);
        }
    }

    /// CCL-03
    fn notify(&mut self, referral: &Referral, status: u32, reason: &str, is_final: bool) {
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
        self.ask(leg, Ask { method: "NOTIFY", headers, body, purpose: Purpose::Notify, ..Ask::default() });
    }
}

/// Values of a header by its names.
fn header<'a>(request: &'a RequestReceived, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let is_it = move |header: &&Header| names.iter().any(|name| header.name.eq_ignore_ascii_case(name));
    request.headers.iter().filter(is_it).map(|header| header.value.as_str())
}

/// The call to whose leg a URI leads: an edge gives out `sip:cc.CALL.LEG@edge`.
fn call_of(uri: &Uri<'_>) -> Option<String> {
    let user = std::str::from_utf8(uri.user?).ok()?;
    let (call_id, _) = user.strip_prefix("cc.")?.rsplit_once('.')?;
    Some(call_id.to_owned())
}

/// The dialog that a Replaces names.
pub fn dialog_id(replaces: &Replaces<'_>) -> DialogId {
    DialogId {
        call_id: String::from_utf8_lossy(replaces.call_id).into_owned(),
        to_tag: replaces.to_tag.to_owned(),
        from_tag: replaces.from_tag.to_owned(),
        early_only: replaces.early_only,
    }
}
