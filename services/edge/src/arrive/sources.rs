//! Where requests that begin something come from: how many there may be of one source, and what became of the last ones.
//!
//! A source is an IPv4 address or the /64 of an IPv6 one. Two things are kept of each, and neither costs who has shown who it is:
//!
//! | of a source is kept | it grows with | it falls with | at its bound |
//! |---|---|---|---|
//! | how many requests it may begin | each request (1) | time; success (2, with the challenge before it) | no answer by UDP, 503 by a connection |
//! | how many were refused | a challenge (1), a refusal that is the sender's fault (10) | time; success (30) | no answer for 60 s, but to one request in a second |
//!
//! Success is a REGISTER that is granted, a sender who proved to be a user, or a plan that leads somewhere. Since anybody can send in
//! another one's name by UDP, nobody is left without an answer for longer than a minute, after which its past is forgotten; and since one
//! request a second is looked at all the same, who has had a wrong password is back with the right one. Neighbours that are trusted,
//! other edges and trunks are not counted, nor is what belongs to a dialog. Each edge counts for itself.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use cluster_api::registrar::v1::{RouteResponse, route_response::Plan};
use hashbrown::HashMap;
use sip_endpoint::{Arrival, source_of};
use sip_message::{HeaderId, Message};

use crate::edge::{Cx, Edge};
use crate::reject::Reject;

/// Seconds whose requests may come at once.
const BURST: u32 = 10;
/// Of refusals, what counts no more after a second.
const FORGOTTEN_A_SECOND: u32 = 5;
/// Refusals that are borne: a thousand phones that are all challenged at once.
const MOST_REFUSED: u32 = 1_000;
const CHALLENGED: u32 = 1;
const REFUSED: u32 = 10;
const SUCCESS: u32 = 30;
/// A request and the one before it that was challenged.
const SPENT_ON_SUCCESS: u32 = 2;
/// How long nothing is answered: no longer, for the name of a source may be forged.
const SHUNNED: Duration = Duration::from_secs(60);
/// How often a request is looked at meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// After so long nothing is left of what anybody did.
const SPAN: Duration = Duration::from_secs((MOST_REFUSED / FORGOTTEN_A_SECOND) as u64);

/// All sources that sent something lately, in two generations: who was silent for longest is forgotten.
#[derive(Debug)]
pub(crate) struct Sources {
    young: HashMap<IpAddr, Source>,
    old: HashMap<IpAddr, Source>,
    turned: Option<Instant>,
    most: usize,
    /// Requests in a second; 0 for any number.
    rate: u32,
}

/// What is kept of one.
#[derive(Debug, Clone, Copy)]
struct Source {
    /// When all its requests are free again.
    free_at: Instant,
    /// When all its refusals are forgotten.
    forgotten_at: Instant,
    /// It is not answered before, and one request is looked at from then on.
    shunned: Option<(Instant, Instant)>,
}

/// May a request of a source begin something?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    TooMany,
    Shunned,
}

/// What became of a request, as far as its source is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Success,
    Challenged,
    Refused,
    /// It says nothing about who sent it.
    Neither,
}

impl Sources {
    pub(crate) fn new(rate: usize, most: usize) -> Self {
        let rate = u32::try_from(rate).unwrap_or(u32::MAX / BURST).min(u32::MAX / BURST);
        Self { young: HashMap::new(), old: HashMap::new(), turned: None, most, rate }
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// A request that begins something has come.
    pub(crate) fn take(&mut self, now: Instant, address: IpAddr) -> Verdict {
        let pause = self.pause();
        let Some(source) = self.entry(now, address) else { return Verdict::Taken };
        if let Some((until, look)) = &mut source.shunned {
            if now < *until && now < *look {
                return Verdict::Shunned;
            }
            *look = now + LOOK;
            if now >= *until {
                source.shunned = None;
            }
        }
        let free_at = source.free_at.max(now) + pause;
        if free_at - now > Duration::from_secs(BURST.into()) {
            return Verdict::TooMany;
        }
        source.free_at = free_at;
        Verdict::Taken
    }

    /// Something became of a request; whether its source is not answered from now on.
    pub(crate) fn note(&mut self, now: Instant, address: IpAddr, fate: Fate) -> bool {
        let pause = self.pause();
        let counts = match fate {
            Fate::Neither => return false,
            Fate::Success => 0,
            Fate::Challenged => CHALLENGED,
            Fate::Refused => REFUSED,
        };
        let Some(source) = self.entry(now, address) else { return false };
        let forgotten = |counts: u32| Duration::from_secs(counts.into()) / FORGOTTEN_A_SECOND;
        if fate == Fate::Success {
            source.free_at = source.free_at.checked_sub(pause * SPENT_ON_SUCCESS).unwrap_or(now);
            source.forgotten_at = source.forgotten_at.checked_sub(forgotten(SUCCESS)).unwrap_or(now);
            source.shunned = None;
            return false;
        }
        source.forgotten_at = source.forgotten_at.max(now) + forgotten(counts);
        let is_too_much = source.forgotten_at - now > forgotten(MOST_REFUSED);
        if !is_too_much || source.shunned.is_some() {
            return false;
        }
        source.forgotten_at = now;
        source.shunned = Some((now + SHUNNED, now + LOOK));
        true
    }

    fn pause(&self) -> Duration {
        if self.rate == 0 { Duration::ZERO } else { Duration::from_secs(1) / self.rate }
    }

    /// What is kept of a source; `None` when nothing is.
    fn entry(&mut self, now: Instant, address: IpAddr) -> Option<&mut Source> {
        if self.most == 0 {
            return None;
        }
        let network = source_of(address);
        let is_old = self.turned.is_none_or(|turned| now.saturating_duration_since(turned) >= SPAN);
        let is_full = self.young.len() >= self.most.div_ceil(2) && !self.young.contains_key(&network);
        if is_old || is_full {
            self.old = std::mem::take(&mut self.young);
            self.turned = Some(now);
        }
        let old = &mut self.old;
        let fresh =
            || old.remove(&network).unwrap_or(Source { free_at: now, forgotten_at: now, shunned: None });
        Some(self.young.entry(network).or_insert_with(fresh))
    }
}

impl Edge {
    /// Takes a request that begins something, unless its source has begun too much or is not answered.
    pub(super) fn check_source(
        &mut self,
        cx: &Cx<'_>,
        request: &Message,
        arrival: &Arrival,
    ) -> Result<(), Reject> {
        if self.is_trusted(arrival) || self.came_by_sibling(request, arrival) {
            return Ok(());
        }
        let verdict = self.sources.take(cx.now(), arrival.source.ip());
        self.meters.sources.set(i64::try_from(self.sources.len()).unwrap_or(i64::MAX));
        match verdict {
            Verdict::Taken => Ok(()),
            Verdict::TooMany => Err(Reject::TooManyOfSource),
            Verdict::Shunned => Err(Reject::Shunned),
        }
    }

    /// Notes what became of a request that began something.
    pub(crate) fn note_fate(&mut self, cx: &Cx<'_>, arrival: &Arrival, fate: Fate) {
        let address = arrival.source.ip();
        if !self.is_trusted(arrival) && self.sources.note(cx.now(), address, fate) {
            self.meters.shunned.inc();
        }
    }
}

/// What a plan says of who asked.
pub(crate) fn fate_of(response: &RouteResponse, is_known: bool) -> Fate {
    match &response.plan {
        _ if is_known || response.from_trunk => Fate::Success,
        Some(Plan::Challenge(_)) => Fate::Challenged,
        Some(Plan::Refuse(refuse)) if matches!(refuse.status, 401 | 403 | 404) => Fate::Refused,
        Some(Plan::Refuse(_)) | None => Fate::Neither,
        Some(
            Plan::Redirect(_)
            | Plan::Fork(_)
            | Plan::Relay(_)
            | Plan::CallControl(_)
            | Plan::Presence(_)
            | Plan::Lend(_),
        ) => Fate::Success,
    }
}

/// What the answer to a REGISTER says of who asked.
pub(crate) fn fate_of_register(status: u32, request: &Message) -> Fate {
    match status {
        200 => Fate::Success,
        401 if !request.has(HeaderId::Authorization) => Fate::Challenged,
        401 | 403 | 404 => Fate::Refused,
        _ => Fate::Neither,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 66));

    /// T13: a burst, and then so many a second; others are not concerned, and success costs nothing.
    #[test]
    fn a_source_begins_so_many_a_second_and_who_succeeds_any_number() {
        let (mut sources, now) = (Sources::new(10, 100), Instant::now());
        let taken = |sources: &mut Sources, now, count: u32| {
            (0..count).filter(|_| sources.take(now, EVE) == Verdict::Taken).count()
        };
        assert_eq!(taken(&mut sources, now, 150), 100);
        assert_eq!(sources.take(now, EVE), Verdict::TooMany);
        assert_eq!(sources.take(now, IpAddr::from([192, 0, 2, 67])), Verdict::Taken);
        assert_eq!(taken(&mut sources, now + Duration::from_secs(1), 50), 10, "no longer than it takes");
        let later = now + Duration::from_secs(60);
        for _ in 0..1_000 {
            assert_eq!(taken(&mut sources, later, 2), 2);
            sources.note(later, EVE, Fate::Success);
        }
        let mut unbounded = Sources::new(0, 100);
        assert_eq!(taken(&mut unbounded, now, 5_000), 5_000);
    }

    /// T18: who is only refused is not answered for a minute, and then heard again.
    #[test]
    fn who_is_only_refused_is_not_answered_for_a_minute() {
        let (mut sources, now) = (Sources::new(0, 100), Instant::now());
        let mut tries = 0;
        while !sources.note(now, EVE, Fate::Refused) {
            tries += 1;
        }
        assert_eq!(tries, 100);
        assert_eq!(sources.take(now, EVE), Verdict::Shunned);
        let look = now + LOOK;
        assert_eq!([look, look].map(|now| sources.take(now, EVE)), [Verdict::Taken, Verdict::Shunned]);
        assert!(!sources.note(look, EVE, Fate::Refused), "it does not last longer for that");
        let after = now + SHUNNED;
        assert_eq!([after, after].map(|now| sources.take(now, EVE)), [Verdict::Taken, Verdict::Taken]);
        assert!(!sources.note(after, EVE, Fate::Refused), "it begins anew");
    }

    /// T18, T5: a phone with a wrong password is back as soon as it has the right one, and tries at an ordinary pace are no scan.
    #[test]
    fn who_had_a_wrong_password_is_back_with_the_right_one() {
        let (mut sources, mut now) = (Sources::new(0, 100), Instant::now());
        for _ in 0..1_000 {
            now += Duration::from_secs(3);
            assert!(!sources.note(now, EVE, Fate::Challenged) && !sources.note(now, EVE, Fate::Refused));
        }
        while !sources.note(now, EVE, Fate::Refused) {}
        now += LOOK;
        assert_eq!(sources.take(now, EVE), Verdict::Taken);
        sources.note(now, EVE, Fate::Success);
        assert_eq!([now, now].map(|now| sources.take(now, EVE)), [Verdict::Taken, Verdict::Taken]);
    }

    /// T13, T18: what is kept is bounded, whoever comes, and a network is one source.
    #[test]
    fn the_table_of_sources_is_bounded() {
        let (mut sources, now) = (Sources::new(1, 100), Instant::now());
        for number in 0..100_000_u32 {
            sources.take(now, IpAddr::from(number.to_be_bytes()));
            assert!(sources.len() <= 100);
        }
        let hosts = ["2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"].map(|host| host.parse().unwrap());
        assert_eq!(source_of(hosts[0]), source_of(hosts[1]));
        assert_ne!(source_of(hosts[0]), source_of(hosts[2]));
        assert_eq!(source_of("::ffff:192.0.2.66".parse().unwrap()), EVE);
        let mut nobody = Sources::new(1, 0);
        assert!((0..1_000).all(|_| nobody.take(now, EVE) == Verdict::Taken && nobody.len() == 0));
    }
}
