//! What edges do with effects and responses.

use call_control::engine::effect::{Effect, What};
use call_control::engine::event::{FailureCause, LegEvent, ResponseReceived};

use super::edge::Invite;
use super::phone::State;
use super::world::{TRANSACTION_MS, Todo, World};

impl World {
    pub fn take_on(&mut self, edge: usize, effect: &Effect) {
        if !self.edges[edge].known.insert(effect.number) {
            return;
        }
        let leg = effect.leg_id.bytes().next().map_or(0, |letter| usize::from(letter - b'a'));
        let delay = 1 + self.chance.below(60);
        match effect.what.clone().expect("an effect does something") {
            What::Send(request) => {
                self.log(format!("C>{} {} {}", effect.leg_id, request.method, request.cseq));
                if request.method == "INVITE" && request.to_tag.is_empty() {
                    self.edges[edge].invites.insert(effect.number, Invite { leg, ..Invite::default() });
                }
                let at = self.next_arrival(leg, delay);
                let request = Box::new(request);
                self.at(at, Todo::Arrive { edge, effect: effect.number, leg, request });
            }
            What::Cancel(cancel) => {
                self.log(format!("C>{} CANCEL", effect.leg_id));
                let Some(invite) = self.edges[edge].invites.get_mut(&cancel.invite_effect) else { return };
                if invite.is_provisional && !invite.is_final {
                    self.send_cancel(edge, cancel.invite_effect);
                } else {
                    invite.wants_cancel = true;
                }
            }
            What::Respond(response) => {
                self.log(format!("C>{} {} to {}", effect.leg_id, response.status, response.transaction));
                let (transaction, status, body) = (response.transaction, response.status, response.body);
                let at = self.next_arrival(leg, delay);
                self.at(at, Todo::Answer { transaction, status, body });
            }
            What::Release(_) => self.log(format!("C>{} released", effect.leg_id)),
            What::Tell(_) => panic!("there is no other call"),
            What::Roster(_) => panic!("nobody confers"),
        }
    }

    /// When something sent now arrives: in order, as over a stream.
    fn next_arrival(&mut self, leg: usize, delay: u64) -> u64 {
        let last = self.last_arrival.entry(leg).or_insert(0);
        *last = (self.now + delay).max(*last + 1);
        *last
    }

    pub fn send_cancel(&mut self, edge: usize, invite: u64) {
        let Some(open) = self.edges[edge].invites.get_mut(&invite) else { return };
        if std::mem::replace(&mut open.is_cancelled, true) {
            return;
        }
        let leg = open.leg;
        let delay = 1 + self.chance.below(60);
        self.after(delay, Todo::Cancelled { edge, invite });
        let (method, cause) = ("INVITE".to_owned(), FailureCause::Timeout);
        self.after(TRANSACTION_MS, Todo::Silence { edge, leg, effect: invite, method, cause });
    }

    pub fn response(&mut self, edge: usize, leg: usize, response: ResponseReceived) {
        if !self.edges[edge].is_alive {
            return;
        }
        if let Some(invite) = self.edges[edge].invites.get_mut(&response.effect) {
            match response.status {
                100..=199 => {
                    invite.is_provisional = true;
                    if invite.wants_cancel && !invite.is_final {
                        self.send_cancel(edge, response.effect);
                    }
                }
                200..=299 => invite.is_final = true,
                _ if invite.is_final => return,
                _ => invite.is_final = true,
            }
        }
        self.tell(edge, leg, LegEvent::Response(response));
    }

    pub fn tell(&mut self, edge: usize, leg: usize, what: LegEvent) {
        if self.edges[edge].is_alive {
            let moment = self.moment();
            self.edges[edge].tell(leg, moment, what);
            self.after(1, Todo::Deliver(edge));
        }
    }

    pub fn die(&mut self, edge: usize) {
        self.log(format!("edge {} dies", self.edges[edge].id));
        self.edges[edge].is_alive = false;
        for phone in &mut self.phones {
            let is_open = matches!(phone.state, State::Called | State::Ringing | State::Answered);
            phone.is_orphan |= phone.edge == edge && is_open;
            for request in &mut phone.own_requests {
                request.is_answered = true; // the phone would ask another edge again; that is not played here
            }
        }
        self.after(500, Todo::Lost(edge));
    }
}
