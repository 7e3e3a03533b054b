//! INFO of the business application in a leg's dialog (RFC 6086), and key presses, one INFO for each and one after the other. Whoever
//! asked finds the answer in the record, by the ticket that it gave.

use crate::engine::StepError;
use crate::engine::call::{Answer, Call};
use crate::engine::effect::{Body, Header};
use crate::engine::leg::{Dialog, Keys, Pending, Purpose};
use crate::engine::send::Ask;
use crate::engine::signal::{LegIndex, Reply};
use crate::engine::text::lists;
use crate::engine::work::Work;

/// Answers that a record keeps: whoever waits for one looks for it several times a second.
const MAX_ANSWERS: usize = 16;
/// INFO that may be under way on one leg at once.
const MAX_UNANSWERED: usize = 8;

impl Work<'_> {
    /// Sends INFO.
    pub fn send_info(
        &mut self,
        leg_id: &str,
        body: Option<Body>,
        package: &str,
        ticket: &str,
    ) -> Result<(), StepError> {
        let leg = self.may_inform(leg_id)?;
        let mut headers = Vec::new();
        if !package.is_empty() {
            // RFC 6086 4.2.1: only what the peer has said that it takes
            let taken = self.leg(leg).chosen().map(|dialog| dialog.recv_info.clone()).unwrap_or_default();
            if !lists(&taken, package) {
                return Err(StepError::NotTaken(taken.join(", ")));
            }
            headers.push(Header::new("Info-Package", package));
        }
        self.inform(leg, headers, body, ticket);
        Ok(())
    }

    /// Sends key presses.
    pub fn send_keys(
        &mut self,
        leg_id: &str,
        digits: &str,
        duration_ms: u64,
        ticket: &str,
    ) -> Result<(), StepError> {
        let leg = self.may_inform(leg_id)?;
        if self.leg(leg).keys.is_some() {
            return Err(StepError::Conflict);
        }
        let (ticket, left) = (ticket.to_owned(), digits.to_owned());
        self.leg_mut(leg).keys = Some(Keys { ticket, left, duration_ms });
        self.press_next(leg);
        Ok(())
    }

    fn may_inform(&self, leg_id: &str) -> Result<LegIndex, StepError> {
        let leg = self.leg_named(leg_id)?;
        let on = self.leg(leg);
        if !on.is_up() || on.lent.is_some() || self.call.outcome.is_some() {
            return Err(self.wrong_state());
        }
        let informs = |pending: &&Pending| pending.purpose() == Purpose::Info;
        match on.pending.iter().filter(informs).count() < MAX_UNANSWERED {
            true => Ok(leg),
            false => Err(StepError::Conflict),
        }
    }

    fn press_next(&mut self, leg: LegIndex) {
        let Some(keys) = &mut self.leg_mut(leg).keys else { return };
        let digit = keys.left.remove(0);
        let (ticket, content) =
            (keys.ticket.clone(), format!("Signal={digit}\r\nDuration={}\r\n", keys.duration_ms));
        let body = Body {
            content_type: "application/dtmf-relay".to_owned(),
            content_disposition: String::new(),
            content: content.into_bytes(),
        };
        self.inform(leg, Vec::new(), Some(body), &ticket);
    }

    fn inform(&mut self, leg: LegIndex, headers: Vec<Header>, body: Option<Body>, ticket: &str) {
        let ticket = ticket.to_owned();
        self.ask(
            leg,
            Ask { method: "INFO", headers, body, purpose: Purpose::Info, ticket, ..Ask::default() },
        );
    }

    /// INFO was answered, or never will be.
    pub fn informed(&mut self, leg: LegIndex, request: &Pending, reply: &Reply) {
        let on = self.leg_mut(leg);
        let is_of_keys = on.keys.as_ref().is_some_and(|keys| keys.ticket == request.ticket);
        let has_more = on.keys.as_ref().is_some_and(|keys| !keys.left.is_empty());
        if is_of_keys && has_more && reply.is_ok() && on.is_up() {
            return self.press_next(leg);
        }
        if is_of_keys {
            on.keys = None;
        }
        if request.ticket.is_empty() {
            return;
        }
        if self.call.answers.len() >= MAX_ANSWERS {
            self.call.answers.remove(0);
        }
        let (ticket, sip_reason) = (request.ticket.clone(), reply.reason.clone());
        self.call.answers.push(Answer { ticket, sip_status: reply.status, sip_reason });
    }
}

impl Call {
    /// Whether something with this ticket is under way.
    pub fn waits_for(&self, ticket: &str) -> bool {
        self.legs.iter().any(|leg| leg.pending.iter().any(|pending| pending.ticket == ticket))
    }
}

impl Dialog {
    /// Remembers which packages the peer takes (RFC 6086 5.2.2); an absent header changes nothing.
    pub fn hear_packages(&mut self, headers: &[Header]) {
        let named = |header: &&Header| header.name.eq_ignore_ascii_case("Recv-Info");
        if headers.iter().any(|header| named(&header)) {
            let values = headers.iter().filter(named).flat_map(|header| header.value.split(','));
            let packages = values.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
            self.recv_info = packages.take(32).collect();
        }
    }
}
