//! What liveness and readiness answer.
//!
//! Liveness is a heartbeat through the real work loop of each component: a loop that stands still makes the process be
//! restarted. Readiness says that a component has started; it does not fail because a dependency is slow, nor while draining.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The health of a process. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Health {
    components: Arc<Mutex<BTreeMap<&'static str, Vitals>>>,
}

#[derive(Clone, Copy, Debug)]
struct Vitals {
    ready: bool,
    last_beat: Instant,
    patience: Option<Duration>,
}

/// What is wrong with one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sickness {
    /// It has not started yet.
    NotStarted,
    /// Its work loop has not come round for this long.
    Silent(Duration),
}

impl fmt::Display for Sickness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => formatter.write_str("not ready yet"),
            Self::Silent(time) => write!(formatter, "silent for {} ms", time.as_millis()),
        }
    }
}

/// The handle by which one component tells how it is.
#[derive(Clone, Debug)]
pub struct Component {
    name: &'static str,
    health: Health,
}

impl Health {
    /// A process without components: alive and ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component that is not ready yet. With `patience`, it must beat at least that often to count as alive.
    pub fn component(&self, name: &'static str, now: Instant, patience: Option<Duration>) -> Component {
        self.components.lock().insert(name, Vitals { ready: false, last_beat: now, patience });
        Component { name, health: self.clone() }
    }

    /// Components whose work loop stands still; none means alive.
    pub fn dead(&self, now: Instant) -> Vec<(&'static str, Sickness)> {
        let components = self.components.lock();
        let silent = components.iter().filter_map(|(name, vitals)| {
            let silence = now.saturating_duration_since(vitals.last_beat);
            vitals.patience.filter(|patience| silence > *patience).map(|_| (*name, Sickness::Silent(silence)))
        });
        silent.collect()
    }

    /// Components that have not started yet; none means ready.
    pub fn unready(&self) -> Vec<(&'static str, Sickness)> {
        let components = self.components.lock();
        let unready = components.iter().filter(|(_, vitals)| !vitals.ready);
        unready.map(|(name, _)| (*name, Sickness::NotStarted)).collect()
    }

    fn change(&self, name: &'static str, change: impl FnOnce(&mut Vitals)) {
        if let Some(vitals) = self.components.lock().get_mut(name) {
            change(vitals);
        }
    }
}

impl Component {
    /// The component has started and serves.
    pub fn ready(&self) {
        self.health.change(self.name, |vitals| vitals.ready = true);
    }

    /// The work loop came round.
    pub fn beat(&self, now: Instant) {
        self.health.change(self.name, |vitals| vitals.last_beat = vitals.last_beat.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_component_has_started() {
        let (health, now) = (Health::new(), Instant::now());
        let (edge, registrar) =
            (health.component("edge", now, None), health.component("registrar", now, None));
        edge.ready();
        assert_eq!(health.unready(), [("registrar", Sickness::NotStarted)]);
        registrar.ready();
        assert_eq!(health.unready(), []);
    }

    #[test]
    fn a_loop_that_stands_still_is_dead_until_it_beats_again() {
        let (health, start) = (Health::new(), Instant::now());
        let edge = health.component("edge", start, Some(Duration::from_secs(5)));
        assert_eq!(health.dead(start + Duration::from_secs(5)), []);
        let late = start + Duration::from_secs(6);
        assert_eq!(health.dead(late), [("edge", Sickness::Silent(Duration::from_secs(6)))]);
        edge.beat(late);
        assert_eq!(health.dead(late), []);
    }

    #[test]
    fn a_component_without_patience_never_dies() {
        let (health, start) = (Health::new(), Instant::now());
        health.component("registrar", start, None);
        assert_eq!(health.dead(start + Duration::from_secs(3600)), []);
    }
}
