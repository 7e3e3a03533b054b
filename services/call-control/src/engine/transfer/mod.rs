//! Another party takes the place of one of two that are connected (RFC 5589, LAD-9; LAD-5 with a party that is called): the party
//! that stays is sent a re-INVITE, and the one that leaves is let go only when the new two are connected. Until then it has its
//! call, and when it does not succeed it keeps it (CCL-07).
//!
//! A party that is dialled makes the offer, so that the one that stays is asked once, and only when there is somebody to talk to:
//!
//! | step     | input                        | effects                                             | next     |
//! |----------|------------------------------|-----------------------------------------------------|----------|
//! | -        | Transfer to a URI            | INVITE c, no body                                   | Dialing  |
//! | Dialing  | 2xx c, offer                 | re-INVITE stay, offer'                              | Offered  |
//! | Dialing  | refusal of c, RING           | CANCEL c                                            | failed   |
//! | Offered  | 2xx stay, answer             | ACK c, answer'; ACK stay; BYE leave                 | succeeded |
//! | Offered  | refusal of stay, GUARD       | ACK c refusing, BYE c                               | failed   |
//!
//! A party of another call is lent by that call, see `lend`; it is asked last, so that nothing of its session has changed when it
//! goes back:
//!
//! | step      | input                       | effects                                             | next      |
//! |-----------|-----------------------------|-----------------------------------------------------|-----------|
//! | -         | Bridge, Transfer to a call  | the other call is asked for its leg                 | Borrowing |
//! | Borrowing | the leg                     | re-INVITE stay, no body                             | Asking    |
//! | Borrowing | a refusal; too late         | -                                                   | failed    |
//! | Asking    | 2xx stay, offer             | re-INVITE come, offer'                              | Offering  |
//! | Asking    | refusal of stay             | the leg goes back                                   | failed    |
//! | Offering  | 2xx come, answer            | ACK stay, answer'; ACK come; the leg is kept; BYE leave | succeeded |
//! | Offering  | refusal of come             | the leg goes back; re-INVITE leave with the offer of stay | failed |
//!
//! In every step: 491 and 500 are tried again; who stays and is gone ends the call, who comes and is gone ends the operation, who
//! leaves may do so at once, and is not there any more when it fails. Whatever else the two say to each other is relayed.

mod aside;
pub mod ask;
mod borrow;
mod finish;
mod lend;
mod pass;
mod reconnect;
pub mod record;
mod refer;
pub mod referred;

use std::time::Duration;

use crate::engine::call::TimerKind;
use crate::engine::leg::{Pending, Purpose};
use crate::engine::outcome::Cause;
use crate::engine::send::Ask;
use crate::engine::signal::{LegIndex, Reply, Signal};
use crate::engine::stage::Stage;
use crate::engine::work::Work;
use record::{Moving, MovingStep};

impl Moving {
    /// The leg whose party stays.
    pub fn stay(&self) -> LegIndex {
        self.stay as LegIndex
    }

    /// The leg whose party is to be let go.
    pub fn leave(&self) -> LegIndex {
        self.leave as LegIndex
    }

    /// The leg whose party comes.
    pub fn come(&self) -> Option<LegIndex> {
        (self.come > 0).then_some(self.come as LegIndex)
    }

    fn is_coming(&self, leg: LegIndex) -> bool {
        self.come() == Some(leg)
    }
}

impl Work<'_> {
    /// Stage Moving.
    pub fn on_moving(&mut self, moving: Moving, signal: Signal) {
        match signal {
            Signal::Answered { leg, sdp } if moving.is_coming(leg) => match sdp {
                Some(offer) => self.offer_to_stay(moving, &offer),
                None => self.moving_failed(488, "No offer"),
            },
            Signal::Refused { leg, status, reason, .. } if moving.is_coming(leg) => {
                self.moving_failed(status, &reason);
            }
            Signal::Reply { leg, request, reply } if request.purpose() == Purpose::MoveAsk => {
                self.on_move_asked(moving, leg, request, reply);
            }
            Signal::Reply { leg, request, reply } if request.purpose() == Purpose::Move => {
                self.on_move_offered(moving, leg, request, reply);
            }
            // Nobody to relay to, or from
            Signal::PeerOffer { leg, .. }
            | Signal::PeerMessage { leg, .. }
            | Signal::PeerCancel { leg, .. }
                if moving.is_coming(leg) || !self.is_alive(self.other(leg)) =>
            {
                self.on_any_stage(signal);
            }
            Signal::Guard => self.moving_late(&moving),
            other => self.on_talking(other),
        }
    }

    /// The party that was dialled answered: the one that stays is to answer its offer.
    fn offer_to_stay(&mut self, mut moving: Moving, offer: &[u8]) {
        let come = moving.come as LegIndex;
        moving.step = MovingStep::Offered.into();
        self.start_timer(TimerKind::Guard, come, Duration::from_millis(self.call.policy.guard_ms));
        let stay = moving.stay();
        self.call.stage = Some(Stage::Moving(moving));
        self.ask_to_move(stay, offer);
    }

    pub fn ask_to_move(&mut self, leg: LegIndex, offer: &[u8]) {
        let (headers, purpose, offer) = (self.session_headers(), Purpose::Move, offer.to_vec());
        if !self.ask(leg, Ask { method: "INVITE", headers, purpose, offer, ..Ask::default() }) {
            self.moving_failed(488, "Not Acceptable Here");
        }
    }

    /// The party that stays was asked for an offer.
    fn on_move_asked(&mut self, mut moving: Moving, leg: LegIndex, request: Box<Pending>, reply: Reply) {
        let (Some(come), MovingStep::Asking) = (moving.come(), moving.step()) else {
            return self.on_late_move(leg, request, reply);
        };
        if self.retry_later(leg, &request, &reply) {
            return;
        }
        if let (true, Some(offer)) = (reply.is_ok(), &reply.sdp) {
            moving.step = MovingStep::Offering.into();
            self.call.stage = Some(Stage::Moving(moving));
            self.start_timer(TimerKind::Guard, leg, Duration::from_millis(self.call.policy.guard_ms));
            return self.ask_to_move(come, offer);
        }
        if reply.is_ok() {
            let tag = request.request.to_tag.clone();
            self.ack(leg, &tag, None);
        }
        self.refused_move(leg, &reply);
    }

    /// The party that stays answered the one that was dialled; or the one that comes from another call answered the one that stays.
    fn on_move_offered(&mut self, moving: Moving, leg: LegIndex, request: Box<Pending>, reply: Reply) {
        let waits = match moving.step() {
            MovingStep::Offered if leg == moving.stay() => moving.come(),
            MovingStep::Offering if moving.is_coming(leg) => Some(moving.stay()),
            _ => None,
        };
        let Some(waits) = waits else { return self.on_late_move(leg, request, reply) };
        if self.retry_later(leg, &request, &reply) {
            return;
        }
        let tag = request.request.to_tag.clone();
        if !reply.is_ok() {
            return self.refused_move(leg, &reply);
        }
        self.ack(leg, &tag, None);
        match reply.sdp {
            Some(answer) if self.meet(&moving, waits, &request, &answer) => {}
            // A session that is none, for who stays: it is brought back to the one that it had
            _ if leg == moving.stay() => {
                self.moving_failed(488, "Not Acceptable Here");
                self.reconnect();
            }
            _ => self.moving_failed(488, "Not Acceptable Here"),
        }
    }

    /// A leg did not take the session with the new party.
    fn refused_move(&mut self, leg: LegIndex, reply: &Reply) {
        if reply.is_gone() {
            return self.gone(leg, reply);
        }
        let status = if reply.is_ok() { 488 } else { reply.status };
        let reason = if reply.is_ok() { "Not Acceptable Here" } else { &reply.reason };
        self.moving_failed(status, reason);
    }

    /// GUARD: a 2xx has waited for too long.
    fn moving_late(&mut self, moving: &Moving) {
        match moving.step() {
            MovingStep::Offering => self.end(Cause::failed(504, "Guard time passed")),
            _ => self.moving_failed(504, "Guard time passed"),
        }
    }

    /// The answer to something that was given up meanwhile.
    pub fn on_late_move(&mut self, leg: LegIndex, request: Box<Pending>, reply: Reply) {
        let is_connected = self.pair().contains(&leg);
        let is_ok = reply.is_ok();
        self.on_any_stage(Signal::Reply { leg, request, reply });
        if is_ok && is_connected {
            self.reconnect();
        }
    }

    /// The session of a connected leg went elsewhere and nothing came of it: the two are connected anew.
    pub fn reconnect(&mut self) {
        let [first, second] = self.pair();
        if self.call.outcome.is_some() || ![first, second].iter().all(|&leg| self.leg(leg).is_up()) {
            return;
        }
        if self.is_session_on_hold(first) {
            // They are not connected, but on hold as before
            for leg in [first, second] {
                let (headers, purpose) = (self.session_headers(), Purpose::HoldLeg);
                self.ask(leg, Ask { method: "INVITE", headers, purpose, ..Ask::default() });
            }
            return;
        }
        let (headers, purpose) = (self.session_headers(), Purpose::Resume);
        self.ask(second, Ask { method: "INVITE", headers, purpose, ..Ask::default() });
    }
}
