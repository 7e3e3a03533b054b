//! The call of the one who wants a place: what its INVITE says, and the question to the call that it names.

use std::time::Duration;

use sip_message::{Join, NameAddr, Replaces, Uri};

use crate::engine::anchor::across::is_sayable;
use crate::engine::anchor::record::Said;
use crate::engine::call::{Party, SCHEMA, TimerKind};
use crate::engine::claim::record::{Claim, ClaimStep, Claiming, Place};
use crate::engine::claim::takers::{Takers, address_of_record};
use crate::engine::effect::Header;
use crate::engine::event::{CallReceived, standard_phrase};
use crate::engine::leg::{Loan, OpenOffer};
use crate::engine::offer_answer::Fate;
use crate::engine::outcome::Cause;
use crate::engine::signal::A;
use crate::engine::stage::{Anchored, Lending, Stage};
use crate::engine::transfer::record::{DialogId, Lent, Refused, Word};
use crate::engine::work::Work;

/// How long the call that was named may say nothing: longer than any replica needs to take the work of another one over, and than a
/// conference made elsewhere takes to be asked for and a phone to be moved there (GUARD).
const ASKING: Duration = Duration::from_secs(30);

/// What the INVITE wants of another call; none when it is about no dialog.
///
/// # Errors
/// With the status of the refusal, when it says that badly. CCL-09, CCL-13
pub fn claim_of(invite: &CallReceived, takers: &Takers) -> Result<Option<Claim>, u32> {
    let mut replaces = values(invite, &["Replaces"]);
    let mut joins = values(invite, &["Join"]);
    let (dialog, join) = match (replaces.next(), replaces.next(), joins.next(), joins.next()) {
        (None, _, None, _) => return Ok(None),
        (Some(value), None, None, _) => {
            let replaces = Replaces::parse(value.as_bytes()).map_err(|_| 400_u32)?;
            (DialogId::of_replaces(&replaces), false)
        }
        (None, _, Some(value), None) => {
            let join = Join::parse(value.as_bytes()).map_err(|_| 400_u32)?;
            (DialogId::of_join(&join), true)
        }
        _ => return Err(400),
    };
    let identity = identity_of(invite);
    let referred_by = address_in(invite, &["Referred-By", "b"]).unwrap_or_default();
    let is_listed = takers.list(&identity);
    Ok(Some(Claim { dialog, join, identity, referred_by, is_listed }))
}

/// The address of record of who sent a request: proved, or asserted by a neighbour that is believed; empty for none.
pub fn identity_of(invite: &CallReceived) -> String {
    match invite.is_trusted && invite.identity.is_empty() {
        true => address_in(invite, &["P-Asserted-Identity"]).unwrap_or_default(),
        false => invite.identity.clone(),
    }
}

fn address_in(invite: &CallReceived, names: &[&str]) -> Option<String> {
    let value = values(invite, names).next()?;
    let address = NameAddr::parse(value.as_bytes()).ok()?;
    Some(address_of_record(std::str::from_utf8(address.uri).ok()?))
}

/// The header by which the phone of whoever is called by name finds the dialog itself.
pub fn passed_on(invite: &CallReceived) -> Vec<Header> {
    let headers = [("Replaces", "replaces"), ("Join", "join")].into_iter().filter_map(|(name, tag)| {
        let value = values(invite, &[name]).next().filter(|value| is_sayable(value))?;
        Some([Header::new(name, value), Header::new("Require", tag)])
    });
    headers.flatten().collect()
}

fn values<'a>(invite: &'a CallReceived, names: &[&'a str]) -> impl Iterator<Item = &'a str> {
    let names = names.to_vec();
    let is_it = move |header: &&Header| names.iter().any(|name| header.name.eq_ignore_ascii_case(name));
    invite.headers.iter().filter(is_it).map(|header| header.value.as_str())
}

/// The call to whose leg a URI leads: an edge gives out `sip:cc.CALL.LEG@edge`.
pub fn call_of(uri: &Uri<'_>) -> Option<String> {
    let user = std::str::from_utf8(uri.user?).ok()?;
    let (call_id, _) = user.strip_prefix("cc.")?.rsplit_once('.')?;
    Some(call_id.to_owned())
}

/// The same for a URI as it was sent.
pub fn call_of_leg(uri: &str) -> Option<String> {
    call_of(&Uri::parse(uri.as_bytes()).ok()?)
}

impl Work<'_> {
    /// Asks the call that the caller's INVITE names.
    pub fn claim(&mut self, call_id: String, claim: Claim, offer: Option<Vec<u8>>) {
        self.call.schema = SCHEMA;
        self.call.operations += 1;
        let operation = self.call.operations;
        self.start_timer(TimerKind::Operation, A, ASKING);
        self.tell(&call_id, operation, Word::Claim(claim.clone()));
        let step = ClaimStep::Asked.into();
        let claiming = Some(Claiming { call_id, operation, claim, step });
        self.call.stage = Some(Stage::Anchored(Anchored {
            offer: offer.unwrap_or_default(),
            claiming,
            ..Anchored::default()
        }));
    }

    /// The stage, while the call that this one asked for a place is to answer.
    pub fn asking(&self, from: &str, operation: u64) -> Option<(Anchored, Claiming)> {
        let Some(Stage::Anchored(stage)) = &self.call.stage else { return None };
        let claiming = stage.claiming.clone()?;
        let is_it = claiming.call_id == from
            && claiming.operation == operation
            && claiming.step() == ClaimStep::Asked;
        is_it.then(|| (stage.clone(), claiming))
    }

    /// It says no. Whether this call had asked it.
    pub fn on_claim_refused(&mut self, from: &str, operation: u64, refused: &Refused) -> bool {
        let is_asked = self.asking(from, operation).is_some();
        if is_asked {
            self.refuse_claim(refused.status);
        }
        is_asked
    }

    /// The caller does not get what it wants.
    pub fn refuse_claim(&mut self, status: u32) {
        let caller = self.leg(A).leg_id.clone();
        self.end(Cause::failed_by(&caller, status, standard_phrase(status)));
    }

    /// The party whose place the caller wants has not answered: the caller is answered without a session, and once it has
    /// acknowledged that, its leg goes to the call that was named.
    pub fn on_pick_up(&mut self, from: &str, operation: u64) {
        let Some((mut stage, mut claiming)) = self.asking(from, operation) else { return };
        self.stop_timer(TimerKind::Operation, A);
        claiming.step = ClaimStep::PickedUp.into();
        let tag = self.leg(A).remote_tag.clone();
        let sdp = match stage.offer.is_empty() {
            true => Some(self.first_offer(A, true)),
            false => self.inactive_answer(A, &tag, &stage.offer),
        };
        let Some(sdp) = sdp else { return self.refuse_claim(488) };
        if stage.offer.is_empty()
            && let Some(dialog) = self.leg_mut(A).dialog_mut(&tag)
        {
            dialog.open_offer = OpenOffer::Ours.into();
        }
        stage.claiming = Some(claiming);
        self.call.stage = Some(Stage::Anchored(stage));
        self.answer_caller(Said { status: 200, sdp, ..Said::default() });
    }

    /// The caller acknowledged the 2xx without a session.
    pub fn lend_caller(&mut self, stage: &Anchored, claiming: &Claiming, transaction: &str) {
        let tag = self.leg(A).remote_tag.clone();
        if stage.offer.is_empty() {
            self.offer_settled(A, &tag, Fate::Unknown);
        }
        self.leg_mut(A).served.retain(|served| served.transaction != transaction);
        let lent = Lent { claim: Some(claiming.claim.clone()), ..self.as_lent(A) };
        self.call.timers.retain(|timer| timer.leg as usize != A);
        let (call_id, operation) = (claiming.call_id.clone(), claiming.operation);
        self.leg_mut(A).lent = Some(Loan { call_id: call_id.clone(), operation });
        self.call.stage = Some(Stage::Lending(Lending { leg: A as u32 }));
        self.tell(&call_id, operation, Word::Lent(lent));
    }

    /// A phone of the call that was named mixes: it is called, as the caller, with the dialog as it knows it.
    pub fn on_place(&mut self, from: &str, operation: u64, place: &Place) {
        let Some((stage, _)) = self.asking(from, operation) else { return };
        self.stop_timer(TimerKind::Operation, A);
        let party = Party {
            uri: place.party_uri.clone(),
            display_name: place.display_name.clone(),
            headers: vec![Header::new("Join", &place.join), Header::new("Require", "join")],
            ..Party::default()
        };
        let offer = Some(stage.offer.clone()).filter(|offer| !offer.is_empty());
        self.call.stage = Some(Stage::Anchored(Anchored { claiming: None, ..stage }));
        self.dial_callee(party, offer, Some(place));
    }
}

impl DialogId {
    /// The dialog that a Replaces names.
    pub fn of_replaces(replaces: &Replaces<'_>) -> DialogId {
        DialogId {
            call_id: String::from_utf8_lossy(replaces.call_id).into_owned(),
            to_tag: replaces.to_tag.to_owned(),
            from_tag: replaces.from_tag.to_owned(),
            early_only: replaces.early_only,
        }
    }

    /// The dialog that a Join names.
    pub fn of_join(join: &Join<'_>) -> DialogId {
        DialogId {
            call_id: String::from_utf8_lossy(join.call_id).into_owned(),
            to_tag: join.to_tag.to_owned(),
            from_tag: join.from_tag.to_owned(),
            early_only: false,
        }
    }
}
