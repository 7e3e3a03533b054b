//! A timer wheel: schedule and cancel in constant time, whatever the number of timers.

use std::time::{Duration, Instant};

use crate::segments::Segments;

/// Levels of 64 slots; one slot of a level spans the whole level below. Seven levels of milliseconds reach 139 years.
const LEVELS: usize = 7;
const SLOTS: usize = 64;
const BITS: u32 = 6;
const FARTHEST: u64 = (1 << (BITS * LEVELS as u32)) - 1;

/// End of a list.
const NONE: u32 = u32::MAX;
/// List of those that are due, after the slots of all levels.
const DUE: u16 = (LEVELS * SLOTS) as u16;
/// Not in any list.
const IDLE: u16 = DUE + 1;

/// Timers named by small numbers (slots of a table), at most one per number, kept to the millisecond.
///
/// A timer never fires early and at most one tick late. Timers of one tick fire in the order in which they reached it.
/// A time already past fires at the next visit.
#[derive(Debug)]
pub struct Wheel {
    /// Tick 0.
    start: Instant,
    /// Every timer up to this tick has fired or lies in the due list.
    tick: u64,
    nodes: Segments<Node>,
    lists: Box<[List]>,
    /// Which lists of each level are not empty.
    occupied: [u64; LEVELS],
}

#[derive(Debug, Clone, Copy)]
struct Node {
    tick: u64,
    previous: u32,
    next: u32,
    list: u16,
}

#[derive(Debug, Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

impl Wheel {
    /// An empty wheel whose time begins now.
    pub fn new(now: Instant) -> Self {
        let empty = List { first: NONE, last: NONE };
        Self {
            start: now,
            tick: 0,
            nodes: Segments::new(),
            lists: vec![empty; LEVELS * SLOTS + 1].into_boxed_slice(),
            occupied: [0; LEVELS],
        }
    }

    /// Sets the timer `id`, moving it if it is set already.
    pub fn schedule(&mut self, id: u32, at: Instant) {
        let tick = ticks_up(at.saturating_duration_since(self.start)).min(FARTHEST);
        let index = id as usize;
        while index >= self.nodes.len() {
            self.nodes.push(Node { tick: 0, previous: NONE, next: NONE, list: IDLE });
        }
        if self.nodes[index].list != IDLE {
            if self.nodes[index].tick == tick {
                return;
            }
            self.unlink(id);
        }
        self.nodes[index].tick = tick;
        self.link(id);
    }

    /// Takes the timer `id` back, if it is set.
    pub fn cancel(&mut self, id: u32) {
        if self.nodes.get(id as usize).is_some_and(|node| node.list != IDLE) {
            self.unlink(id);
        }
    }

    /// A time at or before the earliest timer. It may come before it, because far timers are known only roughly until
    /// they come near; a visit at that time finds nothing due and makes the answer finer.
    pub fn next_deadline(&self) -> Option<Instant> {
        let tick = if self.lists[DUE as usize].first == NONE { self.next_list()?.1 } else { self.tick };
        Some(self.start + Duration::from_millis(tick))
    }

    /// Removes one timer that is due by `now` and names it; `None` when there is none.
    pub fn pop(&mut self, now: Instant) -> Option<u32> {
        let target = (now.saturating_duration_since(self.start).as_millis() as u64).min(FARTHEST);
        loop {
            let first = self.lists[DUE as usize].first;
            if first != NONE {
                self.unlink(first);
                return Some(first);
            }
            match self.next_list() {
                Some((list, tick)) if tick <= target => {
                    self.tick = self.tick.max(tick);
                    self.spill(list);
                }
                Some(_) | None => {
                    self.tick = self.tick.max(target);
                    return None;
                }
            }
        }
    }

    /// Deals the timers of one list out again, now that its time has begun.
    fn spill(&mut self, list: usize) {
        loop {
            let first = self.lists[list].first;
            if first == NONE {
                return;
            }
            self.unlink(first);
            self.link(first);
        }
    }

    /// The list that begins earliest, with the tick at which it begins. Timers of a lower level always come before
    /// those of a higher one, because they share a longer prefix with the present tick.
    fn next_list(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = BITS * level as u32;
        let above = self.tick >> (shift + BITS) << (shift + BITS);
        Some((level * SLOTS + slot, above | (slot as u64) << shift))
    }

    fn link(&mut self, id: u32) {
        let tick = self.nodes[id as usize].tick;
        let list = if tick <= self.tick {
            DUE
        } else {
            // The highest group of bits in which the two ticks differ decides the level.
            let level = (63 - (tick ^ self.tick).leading_zeros()) / BITS;
            let slot = (tick >> (BITS * level)) as usize % SLOTS;
            self.occupied[level as usize] |= 1 << slot;
            (level as usize * SLOTS + slot) as u16
        };
        let last = self.lists[list as usize].last;
        let node = &mut self.nodes[id as usize];
        (node.list, node.previous, node.next) = (list, last, NONE);
        match last {
            NONE => self.lists[list as usize].first = id,
            last => self.nodes[last as usize].next = id,
        }
        self.lists[list as usize].last = id;
    }

    fn unlink(&mut self, id: u32) {
        let node = &mut self.nodes[id as usize];
        let Node { previous, next, list, .. } = *node;
        node.list = IDLE;
        match previous {
            NONE => self.lists[list as usize].first = next,
            previous => self.nodes[previous as usize].next = next,
        }
        match next {
            NONE => self.lists[list as usize].last = previous,
            next => self.nodes[next as usize].previous = previous,
        }
        if list != DUE && self.lists[list as usize].first == NONE {
            self.occupied[list as usize / SLOTS] &= !(1 << (list as usize % SLOTS));
        }
    }
}

fn ticks_up(time: Duration) -> u64 {
    time.as_nanos().div_ceil(1_000_000) as u64
}

#[cfg(test)]
mod tests;
