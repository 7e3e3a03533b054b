//! PRACKs of a caller (RFC 3262 3, 5), and their absence.
//!
//! | PRACK                                                 | answer, and what follows                                  |
//! |-------------------------------------------------------|-----------------------------------------------------------|
//! | RAck is not that of the 1xx that waits                | 481 (PRK-04)                                              |
//! | with the answer, where the 1xx was the offer          | 200; the answer goes to leg b in PRACK                    |
//! | without it                                            | 200; the call ends: there is no session                   |
//! | with a further offer                                  | goes to leg b as UPDATE, and its answer back in the 2xx   |
//! | else                                                  | 200                                                       |
//! | none within 64*T1                                     | the INVITE is answered 504 (PRK-03)                       |

use sip_message::{Method, RAck};

use crate::engine::event::RequestReceived;
use crate::engine::leg::OpenOffer;
use crate::engine::offer_answer::{Fate, is_readable, session_of_request};
use crate::engine::outcome::Cause;
use crate::engine::peer::{accepted, not_acceptable};
use crate::engine::signal::{LegIndex, Signal};
use crate::engine::work::Work;

impl Work<'_> {
    /// The peer acknowledges a reliable provisional response.
    pub fn on_caller_prack(&mut self, leg: LegIndex, request: &RequestReceived) {
        let transaction = request.transaction.as_str();
        let rack = request.rack.as_deref().and_then(|rack| RAck::parse(rack.as_bytes()).ok());
        let fits = |rseq: u32, cseq: u32| {
            rack.as_ref()
                .is_some_and(|rack| rack.rseq == rseq && rack.cseq == cseq && rack.method == Method::Invite)
        };
        let said = self
            .open_caller(leg)
            .filter(|incoming| fits(incoming.rseq, incoming.cseq))
            .and_then(|incoming| incoming.unpracked.take());
        let Some(said) = said else { return self.respond(leg, transaction, 481, Vec::new(), None) };
        let tag = request.from_tag.as_str();
        if !said.sdp.is_empty()
            && said.offer.is_empty()
            && let Some(dialog) = self.leg_mut(leg).dialog_mut(tag)
        {
            // RFC 3311 5.1: from here on either side may offer again
            dialog.open_offer = OpenOffer::None.into();
            dialog.agreed = true;
        }
        match session_of_request(request.body.as_ref()) {
            Err(_) => self.respond(leg, transaction, 415, accepted().to_vec(), None),
            Ok(Some(sdp)) if !is_readable(&sdp) && said.offer.is_empty() => {
                let headers = vec![not_acceptable(&self.call.policy.host)];
                self.respond(leg, transaction, 488, headers, None);
            }
            Ok(Some(answer)) if !said.offer.is_empty() => {
                self.offer_settled(leg, tag, Fate::Answered(&answer));
                self.respond(leg, transaction, 200, Vec::new(), None);
                let (offer, lines) = (said.offer, said.lines);
                self.signals.push_back(Signal::CallerAnswered { leg, offer, lines, sdp: answer });
            }
            Ok(None) if !said.offer.is_empty() => {
                self.respond(leg, transaction, 200, Vec::new(), None);
                let leg_id = self.leg(leg).leg_id.clone();
                return self.end(Cause::failed_by(&leg_id, 488, "No answer in PRACK"));
            }
            Ok(None) => self.respond(leg, transaction, 200, Vec::new(), None),
            Ok(Some(offer)) => self.on_offer_in_prack(leg, request, offer),
        }
        self.tell_waiting();
    }

    fn on_offer_in_prack(&mut self, leg: LegIndex, request: &RequestReceived, offer: Vec<u8>) {
        let transaction = request.transaction.clone();
        let on = self.leg_mut(leg);
        if let Some(served) = on.served.iter_mut().find(|served| served.transaction == transaction) {
            served.offer = true;
        }
        if let Some(dialog) = on.dialog_mut(&request.from_tag) {
            dialog.open_offer = OpenOffer::Theirs.into();
            dialog.remote_sdp = offer.clone();
        }
        let method = request.method.clone();
        self.signals.push_back(Signal::PeerOffer { leg, transaction, method, sdp: Some(offer) });
    }

    /// A reliable provisional response was repeated for as long as it may be.
    pub fn on_prack_missing(&mut self, leg: LegIndex, rseq: u32) {
        let is_waiting = self
            .open_caller(leg)
            .is_some_and(|incoming| incoming.unpracked.is_some() && incoming.rseq == rseq);
        if is_waiting {
            let leg = self.leg(leg).leg_id.clone();
            self.end(Cause { leg, refuse_early: true, ..Cause::failed(504, "No PRACK") });
        }
    }
}
