//! A party listens to a media server in the middle of a call, and comes back (RFC 3725 10.2; RFC 5359 2.3 for music on hold; the
//! server is named as RFC 4240 says, or in any other way). Carillon sends no media: it connects the party with the server.
//!
//! | step      | input                          | effects                                              | next      |
//! |-----------|--------------------------------|------------------------------------------------------|-----------|
//! | -         | PlayAnnouncement, Hold of a leg with music | re-INVITE other, inactive; held already: - | Waiting   |
//! | -         | Hold of both with music        | re-INVITE of both, no body                           | Asking    |
//! | Waiting   | 2xx other                      | ACK; re-INVITE party, no body                        | Asking    |
//! | Waiting   | refusal of other               | -                                                    | failed    |
//! | Asking    | 2xx party, offer               | INVITE server, offer'                                | Calling   |
//! | Asking    | refusal of party; 2xx, no offer | -                                                   | failed    |
//! | Calling   | 2xx server, answer             | ACK server; ACK party, answer'                       | Listening |
//! | Calling   | refusal, silence, no session, GUARD | CANCEL or BYE server                            | failed    |
//! | Listening | BYE server, or it is gone; Unhold; time is over | BYE server where it does not know   | over      |
//! | any       | BYE of a party, Hangup         | BYE to all others; the call ends                     | -         |
//!
//! What follows:
//!
//! | what         | failed                                                        | over                                      |
//! |--------------|---------------------------------------------------------------|-------------------------------------------|
//! | announcement | the two are connected again, with the offer that waits if there is one | the two are connected again: re-INVITE without SDP of the second, its offer to the first |
//! | music        | the party is on hold without it                               | the same; after Unhold the two are connected again |
//!
//! Each who is to listen is told of by exactly one PLAY_ENDED. While music plays, any other operation may begin: the music is over then.
//! An announcement is an operation itself, while which no other one begins.

mod begin;
mod finish;
pub mod record;
pub mod service;

use crate::engine::call::Call;
use crate::engine::effect::Body;
use crate::engine::leg::Purpose;
use crate::engine::signal::{LegIndex, Signal};
use crate::engine::stage::Stage;
use crate::engine::work::Work;
use record::{ListenStep, Listener, Listening, Playing};

impl Listener {
    /// The leg to the party.
    pub fn party(&self) -> LegIndex {
        self.party as LegIndex
    }

    /// The leg to the server.
    pub fn server(&self) -> Option<LegIndex> {
        (self.server > 0).then_some(self.server as LegIndex)
    }

    fn listens(&self) -> bool {
        self.step() == ListenStep::Listening
    }
}

impl Listening {
    /// Whether it may be given up for another operation: music that plays, or has nobody left to be called for.
    pub fn may_be_left(&self) -> bool {
        self.what() == Playing::Music && self.listeners.iter().all(Listener::listens)
    }

    fn find(&self, is_it: impl Fn(&Listener) -> bool) -> Option<usize> {
        self.listeners.iter().position(is_it)
    }
}

impl Call {
    /// Who listens to what.
    pub fn listening(&self) -> Option<&Listening> {
        match &self.stage {
            Some(Stage::Listening(listening)) => Some(listening),
            _ => None,
        }
    }

    /// Who is being connected, or is connected, with a server by this leg.
    pub fn listener_of(&self, leg: LegIndex) -> Option<&Listener> {
        let is_it = |on: &&Listener| {
            on.server() == Some(leg)
                || (on.party() == leg && matches!(on.step(), ListenStep::Calling | ListenStep::Listening))
        };
        self.listening()?.listeners.iter().find(is_it)
    }

    /// The same, to change it.
    pub fn listener_of_mut(&mut self, leg: LegIndex) -> Option<&mut Listener> {
        let party = self.listener_of(leg)?.party;
        let Some(Stage::Listening(listening)) = &mut self.stage else { return None };
        listening.listeners.iter_mut().find(|on| on.party == party)
    }
}

impl Work<'_> {
    /// Stage Listening.
    pub fn on_listening(&mut self, listening: Listening, signal: Signal) {
        let leg = signal.leg();
        let listens = |leg: LegIndex| {
            let on = listening.find(|on| on.listens() && (on.party() == leg || on.server() == Some(leg)));
            on.is_some()
        };
        let at_server = listening.find(|on| on.server() == Some(leg));
        match signal {
            Signal::Reply { request, reply, .. } if request.purpose() == Purpose::HoldLeg => {
                match listening.find(|on| on.step() == ListenStep::Waiting) {
                    Some(_) => self.on_other_held(leg, request, reply),
                    None => self.on_held(leg, request, reply),
                }
            }
            Signal::Reply { request, reply, .. } if request.purpose() == Purpose::MoveAsk => {
                match listening.find(|on| on.party() == leg && on.step() == ListenStep::Asking) {
                    Some(at) => self.on_asked_to_listen(at, request, reply),
                    None => self.on_any_stage(Signal::Reply { leg, request, reply }),
                }
            }
            Signal::Answered { sdp, .. } if at_server.is_some() => self.on_server_answered(leg, sdp),
            Signal::Refused { status, reason, .. } if at_server.is_some() => {
                self.listener_over(leg, status, &reason);
            }
            // What the server previews of its session it says again in its 2xx
            Signal::Progress { .. } | Signal::EarlyAnswer { .. } => {}
            // What somebody dialled, or the keys that were pressed: the application's to know, not the party's
            Signal::PeerMessage { .. } if at_server.is_some() => self.on_any_stage(signal),
            Signal::PeerOffer { transaction, sdp, .. } if self.pair().contains(&leg) && !listens(leg) => {
                self.on_offer_on_hold(leg, &transaction, sdp);
            }
            Signal::PeerOffer { .. } | Signal::PeerMessage { .. } if !listens(leg) => {
                self.on_any_stage(signal)
            }
            other => self.on_relayed(other),
        }
    }

    /// Who has nobody to hear changes its session: every stream stays inactive. While something is under way on its leg, 491.
    fn on_offer_on_hold(&mut self, leg: LegIndex, transaction: &str, offer: Option<Vec<u8>>) {
        let tag = self.leg(leg).remote_tag.clone();
        let is_waiting =
            self.call.listening().is_some_and(|listening| listening.find(|on| on.party() == leg).is_none());
        let answer = offer.filter(|_| is_waiting && self.is_held(leg));
        match answer.and_then(|offer| self.inactive_answer(leg, &tag, &offer)) {
            Some(answer) => {
                let headers = self.answer_headers(leg, &tag);
                self.respond(leg, transaction, 200, headers, Some(Body::sdp(answer)));
            }
            None => self.respond(leg, transaction, 491, Vec::new(), None),
        }
    }

    /// A leg whose peer is a media server is over, or was before: no party has gone. `false` for any other leg.
    pub fn lose_server(&mut self, leg: LegIndex, status: u32, reason: &str) -> bool {
        if !self.leg(leg).serves {
            return false;
        }
        self.listener_over(leg, status, reason);
        true
    }

    /// GUARD of a leg: its 2xx has waited for the server for too long. `false` for any other leg.
    pub fn listener_late(&mut self, leg: LegIndex) -> bool {
        let server = self.call.listener_of(leg).filter(|on| on.party() == leg).and_then(Listener::server);
        let Some(server) = server else { return false };
        // RFC 3261 13.3.1.4: its 2xx has no time left to wait for the other party
        let tag = self.leg(leg).remote_tag.clone();
        let offer = self.leg(leg).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
        let answer = self.inactive_answer(leg, &tag, &offer);
        self.ack(leg, &tag, answer);
        self.listener_over(server, 504, "Guard time passed");
        true
    }
}
