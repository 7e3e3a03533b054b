//! REFER of a phone that is passed on to the phone of the other leg, for users of whom the operator wants it so: that phone calls the
//! target itself. Each phone has a subscription with Carillon, and what one is told the other one is told.
//!
//! | step     | input                                  | effects                                          | next     |
//! |----------|----------------------------------------|--------------------------------------------------|----------|
//! | -        | REFER of leave, no dialog of Carillon's named | REFER stay                                | Asked    |
//! | -        | REFER of leave, Replaces of a leg of Carillon's | that call is asked                      | Seeking  |
//! | Seeking  | how the far party's phone knows its dialog | REFER stay with that Replaces                | Asked    |
//! | Seeking  | it does not know; too late             | REFER stay as it came: Carillon is asked then    | Asked    |
//! | Seeking  | BYE of either                          | 487 to leave; the call ends                      | -        |
//! | Asked    | 2xx stay (202 counts as 200)           | 200 to leave                                     | Referring |
//! | Asked    | a refusal of stay                      | the same to leave                                | failed   |
//! | Referring | NOTIFY of stay, provisional           | 200; NOTIFY leave                                | Referring |
//! | Referring | NOTIFY of stay, final                 | 200; NOTIFY leave, the last one                  | succeeded, or failed |
//! | Referring | no NOTIFY for too long                | NOTIFY leave: 408                                | failed   |
//! | Referring | BYE of leave                          | 200; the call waits for what becomes of it       | Referring |
//! | Referring | BYE of stay                           | 200; NOTIFY leave: 487; BYE leave                | failed   |
//!
//! Who asked hangs up when it likes what it is told (RFC 5589 6.1): the call is theirs until then.
//!
//! What Refer-To says of a dialog is translated (RFC 3891): the phone that asks knows the dialog that it has with Carillon, and the phone
//! that is called knows the one that it has. A phone that takes no REFER, or no Replaces where one is to go along, is not asked:
//! Carillon does it, see `referred`.

use std::time::Duration;

use sip_message::percent_encode;

use crate::engine::call::{Party, SCHEMA, TimerKind};
use crate::engine::claim::record::Place;
use crate::engine::claim::takers::address_of_record;
use crate::engine::effect::Header;
use crate::engine::event::standard_phrase;
use crate::engine::report::CallEventType;
use crate::engine::signal::{LegIndex, Reply};
use crate::engine::stage::{Stage, Talking};
use crate::engine::talking::relayed_status;
use crate::engine::text::lists;
use crate::engine::transfer::aside::is_gruu;
use crate::engine::transfer::record::{DialogId, Passed, Referral, Referring, Refused, Word};
use crate::engine::transfer::referred::Wanted;
use crate::engine::work::Work;

/// How long another call may be sought in: longer than any replica needs to take its work over, and short of what a phone waits for the
/// answer to REFER (RFC 3261 17.1.2.2: 64*T1).
const SEEKING: Duration = Duration::from_secs(10);

impl Referring {
    /// Whether another call is asked, and the phone is not yet.
    pub fn seeks(&self) -> bool {
        self.passed.as_ref().is_some_and(|passed| !passed.asked.is_empty())
    }
}

impl Work<'_> {
    /// Whether a REFER of one phone goes to that of the other leg.
    pub fn passes_refer(&self, from: LegIndex, to: LegIndex, wanted: &Wanted) -> bool {
        let knows_replaces = || {
            let dialog = self.leg(to).chosen();
            dialog.is_some_and(|dialog| dialog.supported.is_empty() || lists(&dialog.supported, "replaces"))
        };
        self.context.referrers.list(&address_of_record(&self.leg(from).party.uri))
            && self.allows(to, "REFER", false)
            && (wanted.replaces.is_none() || knows_replaces())
    }

    /// Passes a REFER on, or finds out first how its target knows the dialog that is to be replaced.
    pub fn pass_refer(&mut self, stay: LegIndex, transaction: &str, wanted: Wanted, referral: Referral) {
        self.call.schema = SCHEMA;
        self.report_on(stay, CallEventType::TransferStarted, 0, "");
        let leave = referral.leg;
        let asked = wanted.call_id.clone().filter(|_| wanted.replaces.is_some()).unwrap_or_default();
        self.call.operations += 1;
        let operation = self.call.operations;
        let passed = Passed {
            transaction: transaction.to_owned(),
            referral,
            refer_to: wanted.refer_to,
            referred_by: wanted.referrer.unwrap_or_default(),
            asked: asked.clone(),
            operation,
        };
        let target = Party { uri: wanted.plain, ..Party::default() };
        self.call.stage = Some(Stage::Referring(Referring {
            stay: stay as u32,
            leave,
            target,
            passed: Some(Box::new(passed)),
            ..Referring::default()
        }));
        match wanted.replaces.filter(|_| !asked.is_empty()) {
            Some((dialog, _)) => {
                self.start_timer(TimerKind::Operation, stay, SEEKING);
                self.tell(&asked, operation, Word::Seek(dialog));
            }
            None => self.send_passed(),
        }
    }

    /// Sends it to the phone of the leg that stays.
    pub fn send_passed(&mut self) {
        let Some(Stage::Referring(mut referring)) = self.call.stage.clone() else { return };
        let Some(passed) = &mut referring.passed else { return };
        passed.asked.clear();
        let mut headers = vec![Header::new("Refer-To", &passed.refer_to)];
        if !passed.referred_by.is_empty() {
            headers.push(Header::new("Referred-By", &passed.referred_by));
        }
        self.call.stage = Some(Stage::Referring(referring));
        self.ask_to_refer(headers);
    }

    /// Another call looks for the other end of a dialog of this one.
    pub fn on_seek(&mut self, from: &str, operation: u64, dialog: &DialogId) {
        let mut found = self.pair().into_iter().filter(|&leg| leg < self.call.legs.len());
        let leg = found.find(|&leg| self.is_dialog(leg, dialog) && self.leg(leg).is_up());
        let far = leg.filter(|_| self.call.outcome.is_none()).map(|leg| self.other(leg));
        let is_there = |leg: &LegIndex| {
            self.call.legs.get(*leg).is_some_and(|on| on.is_up() && on.lent.is_none() && !on.returning)
        };
        let place = far.filter(is_there).and_then(|leg| self.place_of(leg));
        let word = match place {
            Some(place) => Word::Found(place),
            None => Word::Refused(Refused { status: 481, reason: standard_phrase(481).to_owned() }),
        };
        self.tell(from, operation, word);
    }

    /// This is how the target knows the dialog.
    pub fn on_found(&mut self, from: &str, operation: u64, place: &Place) {
        if !self.is_sought(from, operation) {
            return;
        }
        let asker = self.referring().map(|on| self.leg(on.leave as LegIndex).party.uri.clone());
        let asker = asker.unwrap_or_default();
        if let Some(Stage::Referring(referring)) = &mut self.call.stage
            && let Some(passed) = &mut referring.passed
        {
            // RFC 5589 7.3: a Contact that is no GRUU may lead nowhere from where the other phone is
            let is_number = !place.party_uri.starts_with("sip");
            let uri = if is_gruu(&place.target) || is_number { &place.target } else { &place.party_uri };
            let replaces = percent_encode(place.join.as_bytes());
            passed.refer_to = format!("<{uri}?Replaces={replaces}&Require=replaces>");
            if passed.referred_by.is_empty() {
                // Who takes a place is asked who referred it (RFC 3891 3, RFC 3892)
                passed.referred_by = format!("<{}>", address_of_record(&asker));
            }
        }
        self.send_passed();
    }

    /// The call that was asked knows no such dialog. Whether this one had asked it.
    pub fn on_sought_in_vain(&mut self, from: &str, operation: u64) -> bool {
        let is_sought = self.is_sought(from, operation);
        if is_sought {
            self.send_passed();
        }
        is_sought
    }

    fn is_sought(&self, from: &str, operation: u64) -> bool {
        let Some(Stage::Referring(referring)) = &self.call.stage else { return false };
        referring.passed.as_ref().is_some_and(|passed| passed.asked == from && passed.operation == operation)
    }

    /// The phone that was asked has answered: so is the one that asked.
    pub fn answer_passed(&mut self, referring: &mut Referring, reply: &Reply) {
        let leave = referring.leave as LegIndex;
        let Some(passed) = &mut referring.passed else { return };
        let transaction = std::mem::take(&mut passed.transaction);
        let silent = passed.referral.silent_by_header;
        if !self.is_served(leave, &transaction) {
            return;
        }
        match reply.is_ok() {
            true => {
                let headers = if silent { vec![Header::new("Refer-Sub", "false")] } else { Vec::new() };
                self.respond(leave, &transaction, 200, headers, None);
            }
            false => {
                let status = relayed_status(reply.status);
                self.respond(leave, &transaction, status, reply.explanation.clone(), None);
            }
        }
    }

    /// Nothing comes of it: the phone that asked is told so, in the answer to its REFER or by the last NOTIFY.
    pub fn passing_failed(&mut self, referring: &mut Referring, reply: &Reply) {
        let Some(passed) = &referring.passed else { return };
        match passed.transaction.is_empty() {
            true => self.notify(&passed.referral, reply.status, &reply.reason, true),
            false => self.answer_passed(referring, reply),
        }
    }

    /// The phone that asked is told what the other one tells.
    pub fn pass_notify(&mut self, referring: &Referring, status: u32, reason: &str, is_final: bool) {
        if let Some(passed) = &referring.passed {
            self.notify(&passed.referral, status, reason, is_final);
        }
    }

    /// It has succeeded: the two are there until one of them hangs up.
    pub fn passing_succeeded(&mut self, referring: &Referring, reason: &str) {
        let (stay, leave) = (referring.stay as LegIndex, referring.leave as LegIndex);
        self.stop_timer(TimerKind::Operation, stay);
        self.call.stage = Some(Stage::Talking(Talking {}));
        self.report_on(stay, CallEventType::TransferSucceeded, 200, reason);
        self.go_on_without(leave, 200, "OK");
    }

    /// The call ends meanwhile.
    pub fn passing_ends(&mut self, referring: &Referring, status: u32, reason: &str) {
        let Some(passed) = &referring.passed else { return };
        if referring.seeks() {
            self.unask(&passed.asked, passed.operation);
        }
        // Without an answer to its REFER, it gets one with the end of its leg
        if passed.transaction.is_empty() {
            self.notify(&passed.referral, status, reason, true);
        }
    }
}
