//! How listening to a media server ends: for each who listens exactly once, and with the two connected again, or on hold.

use crate::engine::call::TimerKind;
use crate::engine::hold::record::Refusal;
use crate::engine::leg::Purpose;
use crate::engine::media::record::{ListenStep, Listener, Listening, Playing};
use crate::engine::outcome::Cause;
use crate::engine::report::CallEventType;
use crate::engine::send::Ask;
use crate::engine::signal::LegIndex;
use crate::engine::stage::{Stage, Talking};
use crate::engine::work::Work;

impl Work<'_> {
    /// The leg to a server is over, or is not wanted any more: it may have played to somebody, or may never have.
    pub(super) fn listener_over(&mut self, server: LegIndex, status: u32, reason: &str) {
        let found = self.call.listening().and_then(|listening| {
            let at = listening.find(|on| on.server() == Some(server))?;
            Some((at, listening.listeners[at].step()))
        });
        match found {
            Some((at, ListenStep::Listening)) => self.listener_heard(at, status, reason),
            Some((at, _)) => self.listener_failed(at, status, reason),
            // It was over before
            None => self.drop_leg(server, &over(status, reason)),
        }
    }

    /// Nothing came of it for one of them.
    pub(super) fn listener_failed(&mut self, at: usize, status: u32, reason: &str) {
        let Some((on, what)) = self.take_listener(at, status, reason) else { return };
        let party = on.party();
        self.stop_timer(TimerKind::Guard, party);
        let dialog = self.leg(party).chosen().filter(|dialog| dialog.unacked != 0);
        let waits = dialog.map(|dialog| dialog.remote_sdp.clone());
        match (what, waits) {
            (Playing::Announcement, Some(offer)) => {
                self.talk_again();
                self.resume(party, &offer);
            }
            (Playing::Announcement, None) => {
                self.talk_again();
                self.connect_again(party);
            }
            (Playing::Music, Some(offer)) => {
                let tag = self.leg(party).remote_tag.clone();
                let answer = self.inactive_answer(party, &tag, &offer);
                self.ack(party, &tag, answer);
                self.settle_listeners(Some(party));
            }
            (Playing::Music, None) => {
                self.settle_listeners(None);
                self.hold_plainly(party);
            }
        }
    }

    /// One of them has heard it, or the server is gone.
    fn listener_heard(&mut self, at: usize, status: u32, reason: &str) {
        let Some((on, what)) = self.take_listener(at, status, reason) else { return };
        match what {
            Playing::Announcement => {
                self.talk_again();
                self.connect_again(on.party());
            }
            Playing::Music => {
                self.settle_listeners(None);
                self.hold_plainly(on.party());
            }
        }
    }

    /// The other party did not let itself be put on hold: nobody listens.
    pub(super) fn listeners_failed(&mut self, refusal: &Refusal) {
        while let Some(on) = self.call.listening().and_then(|listening| listening.listeners.first().cloned())
        {
            self.take_listener(0, refusal.status, &refusal.reason);
            self.hold_settled(on.party(), Some(refusal.clone()));
        }
        self.talk_again();
    }

    /// Takes one from the list, tells of its end, and lets its server go.
    fn take_listener(&mut self, at: usize, status: u32, reason: &str) -> Option<(Listener, Playing)> {
        let Some(Stage::Listening(listening)) = &mut self.call.stage else { return None };
        let on = (at < listening.listeners.len()).then(|| listening.listeners.remove(at))?;
        let what = listening.what();
        self.report_on(on.party(), CallEventType::PlayEnded, status, reason);
        if let Some(server) = on.server() {
            self.refuse_relayed(on.party(), server);
            for timer in [TimerKind::Ring, TimerKind::Guard, TimerKind::Operation] {
                self.stop_timer(timer, server);
            }
            self.drop_leg(server, &over(status, reason));
        }
        Some((on, what))
    }

    /// What the party has asked of the server is answered: nobody else will.
    fn refuse_relayed(&mut self, party: LegIndex, server: LegIndex) {
        let relayed = self.leg(server).pending.iter().filter(|pending| pending.purpose() == Purpose::Relay);
        let open = relayed.map(|pending| &pending.relay_transaction).filter(|one| self.is_served(party, one));
        let open: Vec<String> = open.cloned().collect();
        for transaction in open {
            self.respond(party, &transaction, 480, Vec::new(), None);
        }
    }

    /// One of those who are on hold hears music now, or only that there is none. When that is so for all of them, the call is on hold.
    pub(super) fn settle_listeners(&mut self, settled: Option<LegIndex>) {
        let Some(listening) = self.call.listening().cloned() else { return };
        if listening.what() == Playing::Announcement {
            return;
        }
        if let Some(party) = settled {
            self.keep_on_hold(party);
            self.hold_settled(party, None);
        }
        if listening.listeners.is_empty() {
            self.talk_again();
        }
    }

    /// There is no music, or none any more.
    fn hold_plainly(&mut self, party: LegIndex) {
        let (headers, purpose) = (self.session_headers(), Purpose::HoldLeg);
        self.ask(party, Ask { method: "INVITE", headers, purpose, ..Ask::default() });
    }

    /// The two are to be connected again: who was on hold makes the offer.
    fn connect_again(&mut self, party: LegIndex) {
        let (headers, purpose) = (self.session_headers(), Purpose::Resume);
        self.ask(self.other(party), Ask { method: "INVITE", headers, purpose, ..Ask::default() });
    }

    fn talk_again(&mut self) {
        self.call.stage = Some(Stage::Talking(Talking {}));
    }

    /// Whatever plays is not listened to any longer: something else begins. The call is on hold as it was.
    pub fn stop_listening(&mut self) {
        let Some(listening) = self.call.listening().cloned() else { return };
        for _ in &listening.listeners {
            self.take_listener(0, 200, "OK");
        }
        self.talk_again();
    }

    /// The application takes the parties off hold: what plays is over. Not before it plays, when there is a session to be agreed first.
    pub fn may_stop_listening(&self) -> bool {
        let listens = |listening: &Listening| listening.listeners.iter().all(Listener::listens);
        self.call.listening().is_some_and(listens)
    }

    /// An announcement has gone on for longer than it was to last.
    pub fn listening_late(&mut self) {
        let Some(listening) = self.call.listening() else { return };
        if let Some(server) = listening.listeners.first().and_then(Listener::server) {
            self.listener_over(server, 200, "OK");
        }
    }

    /// The call is about to end.
    pub fn listening_ends(&mut self) {
        let Some(listening) = self.call.listening().cloned() else { return };
        for on in listening.listeners {
            self.report_on(on.party(), CallEventType::PlayEnded, 487, "Request Terminated");
        }
    }
}

/// Why a server is let go: it is told nothing of the parties.
fn over(status: u32, reason: &str) -> Cause {
    Cause { header: String::new(), ..Cause::failed(status, reason) }
}
