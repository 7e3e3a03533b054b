//! The record of a proxied call.

use std::time::Duration;

use cluster_api::callcontrol::v1 as wire;
use wire::call::State;
use wire::proxied_call_event::Type as Reported;

use super::dialog::{Another, Dialog, Early};
use super::fold::{Reporter, answer, end};
use super::story::Teller;
use crate::edges::EdgeLife;
use crate::engine::call::Seen;
use crate::engine::time::Moment;

/// The record of a proxied call until it has ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProxiedCall {
    /// As applications see it.
    #[prost(message, required, tag = "1")]
    pub call: wire::Call,
    /// Last event number of each edge epoch.
    #[prost(message, repeated, tag = "2")]
    pub seen: Vec<Seen>,
    /// Where both sides are, once the call was answered.
    #[prost(message, optional, tag = "3")]
    pub dialog: Option<Dialog>,
    /// Boot epoch of the edge that proxies the INVITE; its id is that of the legs.
    #[prost(uint64, tag = "4")]
    pub edge_epoch: u64,
    /// When the session ends unless it is refreshed; 0 when it has no timer.
    #[prost(uint64, tag = "5")]
    pub session_ends_ms: u64,
    /// Somebody asked for its end.
    #[prost(message, optional, tag = "6")]
    pub hangup: Option<Hangup>,
    /// Last report.
    #[prost(uint64, tag = "7")]
    pub reported_ms: u64,
    /// Phones that ring.
    #[prost(message, repeated, tag = "8")]
    pub ringing: Vec<Early>,
    /// The end of its dialog, told before the edge that saw the answer told that.
    #[prost(message, optional, tag = "9")]
    pub held_end: Option<wire::ProxiedCallEvent>,
    /// Phones that answered after the one that the call is with.
    #[prost(message, repeated, tag = "10")]
    pub others: Vec<Another>,
    /// Tags of phones whose dialogs have ended while another one goes on.
    #[prost(string, repeated, tag = "11")]
    pub gone: Vec<String>,
}

/// The request to end a call.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hangup {
    /// Words for the Reason header; may be empty.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// When it was asked for.
    #[prost(uint64, tag = "2")]
    pub asked_ms: u64,
}

/// Phones of one call that are remembered while they ring; edges tell of no more.
const MOST_RINGING: usize = 8;
/// The longest time that a proxied call is believed to go on without a report.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What a report may need from the end of a session to here.
const REPORT_TIME: Duration = Duration::from_secs(5);

impl ProxiedCall {
    /// Ends a call of whose end no edge reported; tells of it.
    pub fn give_up(&mut self, why: &str, now: Moment) -> Teller {
        self.end(now, "carillon", why, 0)
    }

    /// Ends a call; tells of it.
    pub(super) fn end(&mut self, now: Moment, ended_by: &str, why: &str, sip_status: u32) -> Teller {
        let event = wire::ProxiedCallEvent {
            r#type: Reported::Ended.into(),
            ended_by: ended_by.into(),
            sip_reason: why.into(),
            sip_status,
            ..wire::ProxiedCallEvent::default()
        };
        let mut teller = Teller::default();
        end(&mut self.call, &event, now, &mut teller);
        teller
    }

    /// The edge that saw the answer does not tell it: the end that another one saw shows that there was one.
    pub(super) fn end_unanswered(&mut self, held: &wire::ProxiedCallEvent, now: Moment) -> Teller {
        let mut teller = Teller::default();
        answer(&mut self.call, held, now, &mut teller);
        end(&mut self.call, held, now, &mut teller);
        teller
    }

    /// When it has to be looked at.
    pub(crate) fn due(&self, now: Moment) -> Moment {
        if self.hangup.is_some() {
            return now;
        }
        if self.held_end.is_some() {
            return Moment::from_millis(self.reported_ms) + REPORT_TIME;
        }
        let longest = Moment::from_millis(self.reported_ms) + LONGEST;
        match self.session_ends_ms {
            0 => longest,
            ends => longest.min(Moment::from_millis(ends) + REPORT_TIME),
        }
    }

    /// The edge that it would be lost with: the one that proxies its INVITE, until it is answered.
    pub(crate) fn depends_on(&self) -> Option<EdgeLife> {
        let is_early = matches!(self.call.state(), State::Dialing | State::Progressing | State::Ringing);
        let id = self.call.legs.first().map(|leg| leg.edge_id.clone()).filter(|id| !id.is_empty());
        id.filter(|_| is_early).map(|id| EdgeLife { id, epoch: self.edge_epoch })
    }

    /// What a report says about the dialog beyond its state. RFC 4028 8.3: the session ends when nothing refreshes it.
    pub(super) fn learn(&mut self, reporter: &Reporter, event: &wire::ProxiedCallEvent, time: Moment) {
        self.reported_ms = time.millis();
        match event.r#type() {
            Reported::Started => self.edge_epoch = reporter.edge_epoch,
            Reported::Ringing => {
                let early = Early::of(event).filter(|early| !self.ringing.contains(early));
                self.ringing.extend(early.filter(|_| self.ringing.len() < MOST_RINGING));
            }
            Reported::Answered if self.dialog.is_none() => {
                self.ringing.clear();
                self.dialog = Some(Dialog::of(event));
            }
            Reported::Answered => return self.learn_another(event),
            Reported::Refreshed => {
                let tag = &event.to_tag;
                if let Some(another) = self.others.iter_mut().find(|another| another.tag == *tag) {
                    another.dialog.moved(event);
                    return;
                }
                if let Some(dialog) = &mut self.dialog {
                    dialog.moved(event);
                }
            }
            Reported::Unspecified | Reported::Ended => return,
        }
        if matches!(event.r#type(), Reported::Answered | Reported::Refreshed) {
            let interval = event.session_interval.as_ref().map_or(0, |interval| interval.seconds);
            let ends = time + Duration::from_secs(u64::try_from(interval).unwrap_or(0));
            self.session_ends_ms = if interval > 0 { ends.millis() } else { 0 };
        }
    }

    /// A further 2xx. The call is with who was first, for the list; both dialogs go on until somebody ends one.
    fn learn_another(&mut self, event: &wire::ProxiedCallEvent) {
        let (tag, target) = (event.to_tag.clone(), event.target.clone());
        let is_known = self.with() == tag || self.others.iter().any(|another| another.tag == tag);
        if !is_known && !self.gone.contains(&tag) && self.others.len() < MOST_RINGING {
            self.others.push(Another { tag, target, dialog: Dialog::of(event) });
        }
    }

    /// The tag of the phone that the call is with.
    pub(super) fn with(&self) -> &str {
        self.call.legs.get(1).map_or("", |leg| &leg.remote_tag)
    }

    /// One dialog of an answered call is over; returns whether the call is. The next one of several takes the place of the first.
    pub(super) fn leaves(&mut self, tag: &str) -> bool {
        if !tag.is_empty() && tag != self.with() {
            self.others.retain(|another| another.tag != tag);
            if self.gone.len() < MOST_RINGING && !self.gone.iter().any(|gone| gone == tag) {
                self.gone.push(tag.to_owned());
            }
            return false;
        }
        if self.others.is_empty() {
            return true;
        }
        let Another { tag, target, dialog } = self.others.remove(0);
        if let Some(leg) = self.call.legs.get_mut(1) {
            self.gone.push(std::mem::replace(&mut leg.remote_tag, tag));
            if !target.is_empty() {
                leg.remote_target = target;
            }
        }
        self.dialog = Some(dialog);
        false
    }
}
