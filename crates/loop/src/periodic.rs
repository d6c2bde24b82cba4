//! Periodics: deadlines on the wall clock, reconsidered whenever it jumps (LV-P1..LV-P9).
//!
//! They have a heap of their own, ordered by wall time. How long the loop may wait for the first of them is computed
//! from the cached difference between the clocks; a jump while it waits is noticed by a timerfd that the kernel
//! cancels when somebody sets the clock (LV-P8), or else within a minute.

use crate::kinds::Kind;
use crate::slab::ACTIVE;
use crate::{Error, Events, Key, Loop, Result};

/// Says when a periodic is due next: called with the wall time now, must answer with one that is not earlier. It has no
/// access to the loop.
pub type Reschedule = Box<dyn FnMut(i64) -> i64>;

pub(crate) struct Periodic {
    pub(crate) offset_ns: i64,
    pub(crate) interval_ns: i64,
    pub(crate) reschedule: Option<Reschedule>,
}

impl Periodic {
    /// The next time after `now` (LV-P3); for an absolute one, the time itself. None: the callback broke its rule.
    fn next_ns(&mut self, now: i64) -> Option<i64> {
        if let Some(reschedule) = &mut self.reschedule {
            let at = reschedule(now);
            return (at >= now).then_some(at);
        }
        if self.interval_ns <= 0 {
            return Some(self.offset_ns);
        }
        let (now, offset, interval) = (
            i128::from(now),
            i128::from(self.offset_ns),
            i128::from(self.interval_ns),
        );
        let at = offset + ((now - offset).div_euclid(interval) + 1) * interval;
        Some(i64::try_from(at).unwrap_or(i64::MAX))
    }

    fn repeats(&self) -> bool {
        self.reschedule.is_some() || self.interval_ns > 0
    }
}

impl<T: Copy> Loop<T> {
    /// Has a function say when an inactive periodic is due (LV-P4), instead of offset and interval.
    pub fn set_reschedule(&mut self, key: Key, function: Option<Reschedule>) -> Result<()> {
        let index = self.watcher(key)?;
        if self.slab[index].has(ACTIVE) {
            return Err(Error::Active);
        }
        match &mut self.slab[index].kind {
            Kind::Periodic(periodic) => {
                periodic.reschedule = function;
                Ok(())
            }
            _ => Err(Error::WrongKind),
        }
    }

    /// The wall time at which an active periodic is due (LV-P6).
    pub fn periodic_at(&self, key: Key) -> Result<Option<i64>> {
        let index = self.watcher(key)?;
        match self.slab[index].kind {
            Kind::Periodic(_) => Ok(self.periodics.at(index)),
            _ => Err(Error::WrongKind),
        }
    }

    pub(crate) fn start_periodic(&mut self, index: u32) -> Result<()> {
        let now = self.now.wall_ns;
        let Kind::Periodic(periodic) = &mut self.slab[index].kind else {
            return Err(Error::WrongKind);
        };
        let at = periodic.next_ns(now).ok_or(Error::PastDeadline(now))?;
        self.periodics.push(index, at);
        self.watch_clock();
        Ok(())
    }

    /// Feeds the periodics whose time is strictly past (LV-P9), in the order of their times.
    pub(crate) fn expire_periodics(&mut self) {
        let now = self.now.wall_ns;
        if self.periodics.due(now).is_none() {
            return;
        }
        let mut expired = std::mem::take(&mut self.expired);
        while let Some((index, _)) = self.periodics.due(now) {
            let Kind::Periodic(periodic) = &mut self.slab[index].kind else {
                self.periodics.remove(index);
                continue;
            };
            if !periodic.repeats() {
                self.stop_index(index);
            } else if let Some(at) = periodic.next_ns(now) {
                self.periodics.update(index, at);
            } else {
                self.stop_index(index);
                self.feed_index(index, Events::ERROR);
            }
            // A function that answers "now" is due again as soon as the clock moves, not at once.
            expired.push(index);
        }
        for index in expired.drain(..).rev() {
            self.feed_index(index, Events::PERIODIC);
        }
        self.expired = expired;
    }

    /// The wall clock jumped: every deadline is computed anew, and nothing is caught up with (LV-P7).
    pub(crate) fn reschedule_periodics(&mut self) {
        let now = self.now.wall_ns;
        let all: Vec<u32> = self.periodics.ids().collect();
        for index in all {
            let Kind::Periodic(periodic) = &mut self.slab[index].kind else {
                continue;
            };
            match periodic.next_ns(now) {
                Some(at) => self.periodics.update(index, at),
                None => {
                    self.stop_index(index);
                    self.feed_index(index, Events::PERIODIC | Events::ERROR);
                }
            }
        }
    }

    /// The monotonic time at which the first periodic is due, as far as is known now.
    pub(crate) fn first_periodic_ns(&mut self) -> i64 {
        match self.periodics.first_at() {
            Some(at) => self
                .now
                .monotonic_ns
                .saturating_add(at.saturating_sub(self.now.wall_ns)),
            None => i64::MAX,
        }
    }
}
