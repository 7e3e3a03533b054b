//! What phones do inside a dialog: answer, ask, hang up, die.

use call_control::engine::effect::{Body, Header, SendRequest};
use call_control::engine::event::{FailureCause, LegEvent, RequestReceived, ResponseReceived};

use super::phone::{OwnRequest, Phone, State, lines_of};
use super::world::{TRANSACTION_MS, Todo, World};

impl World {
    pub fn arrive(&mut self, edge: usize, effect: u64, leg: usize, request: SendRequest) {
        if !self.edges[edge].is_alive {
            return;
        }
        if request.to_tag.is_empty() {
            return self.invited(edge, effect, leg, request);
        }
        let at = self.phones.iter().position(|phone| phone.leg == leg && phone.tag == request.to_tag);
        let Some(at) = at else { panic!("{} to nobody: {}", request.method, request.to_tag) };
        let phone = &mut self.phones[at];
        let is_dead = phone.state == State::Dead;
        if request.method == "ACK" {
            if !phone.acked.contains(&request.cseq) {
                phone.acked.push(request.cseq);
                if !is_dead && phone.state != State::Over {
                    phone.hear(request.body.as_ref());
                    // That of an earlier INVITE, said again, is no answer to the offer of a later one
                    if phone.said_2xx.last() == Some(&request.cseq) {
                        phone.hear_answer(request.body.as_ref());
                    }
                }
            }
            if phone.state == State::Answered {
                phone.state = State::Up;
                let wait = 500 + self.chance.below(20_000);
                self.after(wait, Todo::Idle(at));
            }
            return;
        }
        if is_dead {
            let method = request.method.clone();
            let cause = FailureCause::Timeout;
            return self.after(TRANSACTION_MS, Todo::Silence { edge, leg, effect, method, cause });
        }
        let response = self.react(at, effect, &request);
        let Some(response) = response else {
            self.phones[at].state = State::Dead;
            let (method, cause) = (request.method.clone(), FailureCause::Timeout);
            return self.after(TRANSACTION_MS, Todo::Silence { edge, leg, effect, method, cause });
        };
        let delay = 1 + self.chance.below(300);
        self.after(delay, Todo::Response { edge, leg, response: Box::new(response) });
    }

    /// What a phone answers inside its dialog; `None` when it dies instead.
    pub fn react(&mut self, at: usize, effect: u64, request: &SendRequest) -> Option<ResponseReceived> {
        let chance = &mut self.chance;
        let phone = &mut self.phones[at];
        if phone.state == State::Over {
            return Some(phone.response(481, request, effect));
        }
        match request.method.as_str() {
            "BYE" => {
                phone.bye_came = true;
                phone.state = State::Over;
                Some(phone.response(200, request, effect))
            }
            "PRACK" => {
                let is_again = std::mem::replace(&mut phone.last_prack, request.cseq) == request.cseq;
                if !phone.unpracked && !is_again {
                    phone.faults.push("PRACK for nothing".into());
                }
                phone.unpracked = false;
                phone.hear(request.body.as_ref());
                phone.hear_answer(request.body.as_ref());
                let status = if chance.percent(3) { 481 } else { 200 };
                Some(phone.response(status, request, effect))
            }
            "INVITE" | "UPDATE" => {
                let is_tone = request.body.as_ref().is_some_and(|body| lines_of(body).is_none());
                if phone.state != State::Up && request.method == "INVITE" {
                    phone.faults.push(format!("re-INVITE in {:?}", phone.state));
                }
                if !is_tone {
                    phone.hear(request.body.as_ref());
                }
                if phone.offer_lines.is_some() {
                    // RFC 3261 14.2, RFC 3264 4: its own offer has no answer, and never gets one when its 2xx died with an edge
                    return Some(phone.response(491, request, effect));
                }
                if self.puts_off.is_some_and(|(leg, from)| leg == phone.leg && self.now >= from) {
                    return Some(phone.response(491, request, effect));
                }
                if chance.percent(2) {
                    return None;
                }
                let refusal = [488, 491, 500, 504, 405, 481, 606, 603, 415][chance.below(9) as usize];
                if chance.percent(25) {
                    if refusal == 481 {
                        phone.state = State::Over;
                    }
                    return Some(phone.response(refusal, request, effect));
                }
                let mut response = phone.response(200, request, effect);
                if request.method == "INVITE" {
                    phone.said_2xx.push(request.cseq);
                }
                response.body = match &request.body {
                    None if request.method == "INVITE" => Some(phone.offer(chance)),
                    body => phone.answer(body.as_ref(), chance),
                };
                Some(response)
            }
            "REFER" => {
                let status =
                    if chance.percent(30) { [405, 603, 501, 481][chance.below(4) as usize] } else { 202 };
                if status == 481 {
                    phone.state = State::Over;
                }
                let response = phone.response(status, request, effect);
                for (after, outcome) in
                    [(10, 100), (1_000, 180), (4_000, [200, 486, 0][chance.below(3) as usize])]
                {
                    let wait = after + self.chance.below(2_000);
                    if status == 202 && outcome > 0 {
                        self.after(wait, Todo::Notify { phone: at, status: outcome });
                    }
                }
                Some(response)
            }
            _ => Some(phone.response(200, request, effect)),
        }
    }

    /// A phone tells how far its call of its own is.
    pub fn notify(&mut self, at: usize, status: u32) {
        if self.phones[at].state != State::Up {
            return;
        }
        let state = if status < 200 { "active;expires=60" } else { "terminated;reason=noresource" };
        let headers = vec![Header::new("Event", "refer"), Header::new("Subscription-State", state)];
        let body = Body {
            content_type: "message/sipfrag".into(),
            content_disposition: String::new(),
            content: format!("SIP/2.0 {status} As it likes\r\n").into_bytes(),
        };
        self.ask_with(at, "NOTIFY", headers, Some(body));
    }

    pub fn idle(&mut self, at: usize) {
        if self.phones[at].state != State::Up {
            return;
        }
        match self.chance.below(10) {
            0..=2 => return self.hang_up(at),
            3 => self.ask(at, "INVITE"),
            4 => self.ask(at, "UPDATE"),
            5 => self.ask(at, "INFO"),
            6 if self.chance.percent(20) => self.phones[at].state = State::Dead,
            _ => {}
        }
        let wait = 500 + self.chance.below(30_000);
        self.after(wait, Todo::Idle(at));
    }

    pub fn hang_up(&mut self, at: usize) {
        if self.phones[at].state == State::Up {
            self.ask(at, "BYE");
            self.phones[at].state = State::Over;
        }
    }

    /// A phone sends a request inside its dialog through any living edge.
    pub fn ask(&mut self, at: usize, method: &str) {
        self.ask_with(at, method, Vec::new(), None);
    }

    fn ask_with(&mut self, at: usize, method: &str, headers: Vec<Header>, fragment: Option<Body>) {
        let Some(edge) = (0..2).find(|edge| self.edges[*edge].is_alive) else { return };
        let is_open = self.phones[at].own_requests.iter().any(|request| !request.is_answered);
        if is_open && method != "BYE" {
            return;
        }
        let phone = &mut self.phones[at];
        phone.cseq += 1;
        let transaction = format!("{}-{}", phone.tag, phone.cseq);
        let asks = method == "INVITE" && self.chance.percent(30);
        let body = match method {
            "INVITE" | "UPDATE" if !asks => Some(phone.offer(&mut self.chance)),
            _ => fragment,
        };
        let offered = body.is_some().then(|| phone.offer_lines.take()).flatten();
        phone.own_requests.push(OwnRequest {
            transaction: transaction.clone(),
            method: method.to_owned(),
            is_answered: false,
            offered,
        });
        let request = RequestReceived {
            transaction,
            method: method.into(),
            cseq: phone.cseq,
            sip_call_id: phone.invite.sip_call_id.clone(),
            from_tag: phone.tag.clone(),
            to_tag: phone.invite.from_tag.clone(),
            headers,
            body,
            ..RequestReceived::default()
        };
        let leg = phone.leg;
        self.tell(edge, leg, LegEvent::Request(request));
    }

    pub fn answered(&mut self, transaction: &str, status: u32, body: Option<&Body>) {
        let is_it = |request: &OwnRequest| request.transaction == transaction;
        let has = |phone: &Phone| phone.own_requests.iter().any(is_it);
        let at = self.phones.iter().position(has).expect("a response to a request of a phone");
        let phone = &mut self.phones[at];
        let request = phone.own_requests.iter_mut().find(|request| is_it(request)).expect("just found");
        let is_again = std::mem::replace(&mut request.is_answered, true);
        let (method, offered) = (request.method.clone(), request.offered);
        if is_again && self.edges.iter().all(|edge| edge.is_alive) {
            phone.faults.push(format!("{transaction} was answered twice"));
        }
        if status >= 300 || !matches!(method.as_str(), "INVITE" | "UPDATE") {
            return;
        }
        if phone.is_alive() {
            phone.hear(body);
            phone.offer_lines = offered;
            phone.hear_answer(body);
        }
        let Some(edge) = (0..2).find(|edge| self.edges[*edge].is_alive) else { return };
        if method == "INVITE" {
            let leg = phone.leg;
            if self.chance.percent(4) || phone.state == State::Dead {
                return self.tell(edge, leg, LegEvent::AckMissing { transaction: transaction.into() });
            }
            let is_asked = offered.is_none() && !self.chance.percent(5);
            let answer = if is_asked { phone.answer(body, &mut self.chance) } else { None };
            self.tell(edge, leg, LegEvent::Ack { transaction: transaction.into(), cseq: 0, body: answer });
        }
    }
}
