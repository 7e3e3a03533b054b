//! What phones make of an INVITE: ring, answer, refuse, fork, keep silent.

use call_control::engine::effect::{Header, SendRequest};
use call_control::engine::event::FailureCause;

use super::edge::letter;
use super::phone::{Phone, State};
use super::world::{Saying, TRANSACTION_MS, Todo, World};

impl World {
    pub fn invited(&mut self, edge: usize, effect: u64, leg: usize, request: SendRequest) {
        let is_merged = self.phones.iter().any(|phone| phone.leg == leg && phone.invite.cseq == request.cseq);
        if is_merged {
            // RFC 3261 8.2.2.2: the first edge died after it had sent the INVITE on
            let phone = Phone::new(leg, format!("merged{leg}"), request.clone(), effect, edge);
            let response = Box::new(phone.response(482, &request, effect));
            return self.after(20, Todo::Response { edge, leg, response });
        }
        let forks = if self.chance.percent(15) { 2 } else { 1 };
        for _ in 0..forks {
            let at = self.phones.len();
            let tag = format!("{}{at}", letter(leg));
            self.phones.push(Phone::new(leg, tag, request.clone(), effect, edge));
            if let Some(invite) = self.edges[edge].invites.get_mut(&effect) {
                invite.phones.push(at);
            }
            let steps = self.plan(&request, forks);
            if steps.is_empty() {
                self.phones[at].state = State::Dead;
            }
            let wait = 1 + self.chance.below(500);
            self.after(wait, Todo::Plan { phone: at, steps });
        }
        let (method, cause) = ("INVITE".to_owned(), FailureCause::Timeout);
        self.after(TRANSACTION_MS, Todo::Silence { edge, leg, effect, method, cause });
    }

    pub fn plan(&mut self, invite: &SendRequest, forks: u32) -> Vec<Saying> {
        let chance = &mut self.chance;
        let mut steps = Vec::new();
        if chance.percent(3) {
            return steps; // silence
        }
        if forks == 1 && self.adapted < 3 && chance.percent(12) {
            self.adapted += 1;
            return vec![Saying::Final([401, 407, 302, 420, 488, 422][chance.below(6) as usize])];
        }
        let mut offered = invite.body.is_some();
        for _ in 0..chance.below(3) {
            let is_reliable = chance.percent(60);
            let is_offering = is_reliable && !offered && chance.percent(80);
            offered |= is_offering;
            let status = [180, 183, 181, 199][chance.below(4) as usize];
            steps.push(Saying::Provisional { status, is_reliable, is_offering });
        }
        if chance.percent(15) && !steps.is_empty() {
            return steps; // it never answers
        }
        let status =
            if chance.percent(70) { 200 } else { [486, 480, 603, 404, 500, 503][chance.below(6) as usize] };
        steps.push(Saying::Final(status));
        steps
    }

    pub fn follow_plan(&mut self, at: usize, mut steps: Vec<Saying>) {
        if steps.is_empty() || !matches!(self.phones[at].state, State::Called | State::Ringing) {
            return;
        }
        let phone = &mut self.phones[at];
        if phone.is_hurried && phone.unpracked {
            phone.state = State::Over;
            return;
        }
        if phone.is_hurried {
            steps = vec![Saying::Final(200)];
        }
        let (edge, leg, effect, invite) = (phone.edge, phone.leg, phone.invite_effect, phone.invite.clone());
        let may_update = phone.state == State::Ringing && phone.has_early_session && !phone.unpracked;
        if may_update && self.chance.percent(10) {
            self.ask(at, "UPDATE"); // LAD-4 k
        }
        let phone = &mut self.phones[at];
        let step = steps[0];
        let is_reliable =
            matches!(step, Saying::Provisional { is_reliable: true, .. } | Saying::Final(200..=299));
        if phone.unpracked && is_reliable {
            // PRK-06: it waits for PRACK, and gives up after 64*T1
            return self.after(400, Todo::Plan { phone: at, steps });
        }
        steps.remove(0);
        let mut response = match step {
            Saying::Provisional { status, is_reliable, is_offering } => {
                phone.state = State::Ringing;
                let mut response = phone.response(status, &invite, effect);
                if is_reliable {
                    phone.rseq =
                        if phone.rseq == 0 { 1 + self.chance.below(1_000) as u32 } else { phone.rseq + 1 };
                    phone.unpracked = true;
                    response.rseq = Some(phone.rseq);
                    response.require = vec!["100rel".into()];
                    if is_offering {
                        response.body = Some(phone.offer(&mut self.chance));
                        phone.has_early_session = true;
                    } else if invite.body.is_some() && !phone.has_early_session && self.chance.percent(50) {
                        response.body = phone.answer(invite.body.as_ref(), &mut self.chance);
                        phone.has_early_session = true;
                    }
                } else if self.chance.percent(30) {
                    response.body = phone.answer(invite.body.as_ref(), &mut self.chance); // a preview, never counts
                }
                response
            }
            Saying::Final(status) => {
                let mut response = phone.response(status, &invite, effect);
                if status == 200 {
                    phone.state = State::Answered;
                    phone.said_2xx.push(invite.cseq);
                    if !phone.has_early_session {
                        response.body = match &invite.body {
                            Some(body) => phone.answer(Some(body), &mut self.chance),
                            None => Some(phone.offer(&mut self.chance)),
                        };
                    }
                } else {
                    phone.state = State::Over;
                }
                response
            }
        };
        match response.status {
            401 | 407 => {
                response.challenges = vec![r#"Digest realm="example.com", nonce="n", qop="auth""#.into()]
            }
            302 => response.contacts = vec![format!("<sip:other{at}@example.com>")],
            422 => response.headers = vec![Header::new("Min-SE", "90")],
            _ => {}
        }
        if response.status >= 200 && !self.others_agree(at, response.status) {
            return;
        }
        let delay = 1 + self.chance.below(100);
        self.after(delay, Todo::Response { edge, leg, response: Box::new(response) });
        let wait = 100 + self.chance.below(9_000);
        self.after(wait, Todo::Plan { phone: at, steps });
    }

    /// What a forking proxy does with a final response: a 2xx cancels the others (or is crossed by theirs), a refusal counts
    /// when it is the last one.
    pub fn others_agree(&mut self, at: usize, status: u32) -> bool {
        let (effect, edge) = (self.phones[at].invite_effect, self.phones[at].edge);
        let is_other = |phone: &Phone| phone.invite_effect == effect && phone.edge == edge;
        let others: Vec<usize> =
            (0..self.phones.len()).filter(|i| *i != at && is_other(&self.phones[*i])).collect();
        for other in others {
            let is_open = matches!(self.phones[other].state, State::Called | State::Ringing);
            if status < 300 && is_open && self.chance.percent(70) {
                self.phones[other].state = State::Over;
            } else if status < 300 && is_open {
                self.phones[other].is_hurried = true;
                let wait = self.chance.below(1_000);
                self.after(wait, Todo::Plan { phone: other, steps: vec![Saying::Final(200)] });
            } else if status >= 300 && self.phones[other].is_alive() {
                return false;
            }
        }
        true
    }

    pub fn cancelled(&mut self, edge: usize, invite: u64) {
        if !self.edges[edge].is_alive {
            return;
        }
        let Some(open) = self.edges[edge].invites.get(&invite) else { return };
        let (leg, phones) = (open.leg, open.phones.clone());
        let ringing: Vec<usize> = phones
            .into_iter()
            .filter(|at| matches!(self.phones[*at].state, State::Called | State::Ringing))
            .collect();
        if let Some(at) = ringing.first().copied().filter(|at| !self.phones[*at].unpracked)
            && self.chance.percent(15)
        {
            return self.follow_plan(at, vec![Saying::Final(200)]); // LAD-10 R3: it has just answered
        }
        for at in &ringing {
            self.phones[*at].state = State::Over;
        }
        if let Some(at) = ringing.first() {
            let phone = &self.phones[*at];
            let response = Box::new(phone.response(487, &phone.invite, invite));
            let delay = 1 + self.chance.below(100);
            self.after(delay, Todo::Response { edge, leg, response });
        }
    }
}
