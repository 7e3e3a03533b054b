//! Timers of the user, on the same kind of wheel as those of the transactions.

use std::time::Instant;

use sip_transaction::Wheel;

/// A timer that was set. Means nothing once it fired or was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId {
    slot: u32,
    serial: u64,
}

#[derive(Debug)]
pub(crate) struct Timers<T> {
    slots: Vec<(u64, Option<T>)>,
    free: Vec<u32>,
    wheel: Wheel,
    next_serial: u64,
}

impl<T> Timers<T> {
    pub(crate) fn new(now: Instant) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), wheel: Wheel::new(now), next_serial: 1 }
    }

    pub(crate) fn set(&mut self, at: Instant, timer: T) -> TimerId {
        let serial = self.next_serial;
        self.next_serial += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = (serial, Some(timer));
                slot
            }
            None => {
                self.slots.push((serial, Some(timer)));
                (self.slots.len() - 1) as u32
            }
        };
        self.wheel.schedule(slot, at);
        TimerId { slot, serial }
    }

    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<T> {
        let (serial, timer) = self.slots.get_mut(id.slot as usize)?;
        if *serial != id.serial {
            return None;
        }
        let timer = timer.take()?;
        self.wheel.cancel(id.slot);
        self.free.push(id.slot);
        Some(timer)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    pub(crate) fn pop(&mut self, now: Instant) -> Option<(TimerId, T)> {
        let slot = self.wheel.pop(now)?;
        let (serial, timer) = &mut self.slots[slot as usize];
        let id = TimerId { slot, serial: *serial };
        let timer = timer.take()?;
        self.free.push(slot);
        Some((id, timer))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_timer_fires_once_and_its_id_is_not_inherited() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let first = timers.set(start + Duration::from_millis(1), "first");
        assert_eq!(timers.cancel(first), Some("first"));
        let second = timers.set(start + Duration::from_millis(1), "second");
        assert_eq!(timers.cancel(first), None);
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.pop(start + Duration::from_millis(1)), Some((second, "second")));
        assert_eq!(timers.pop(start + Duration::from_millis(9)), None);
    }
}
