//! Timers: relative to the loop's cached monotonic time (LV-T1..LV-T9).

use crate::kinds::Kind;
use crate::slab::{ACTIVE, ONE_SHOT, UNCOUNTED};
use crate::{Error, Events, Key, Loop, Result};

impl<T: Copy> Loop<T> {
    /// Waits once for time to pass, from the cached time on; a time below zero is due at once.
    #[inline(always)]
    pub fn wait_timer(&mut self, after_ns: i64, priority: i8, data: T) -> Key {
        let key = self.slab.insert_timer(ONE_SHOT | ACTIVE, priority, data);
        self.timers
            .push(key.index(), self.now.monotonic_ns.saturating_add(after_ns));
        self.active += 1;
        key
    }

    /// Starts a repeating timer anew, whatever its state (LV-T6): a cheap inactivity timer.
    #[inline]
    pub fn again(&mut self, key: Key) -> Result<()> {
        // The usual case: active, and not due.
        if let Some(entry) = self.slab.get_mut(key)
            && let Kind::Timer { repeat_ns, .. } = entry.kind
            && entry.flags & (ACTIVE | ONE_SHOT) == ACTIVE
            && entry.pending == 0
            && repeat_ns > 0
        {
            let at = self.now.monotonic_ns.saturating_add(repeat_ns);
            self.timers.update(key.index(), at);
            return Ok(());
        }
        self.again_from_any_state(key)
    }

    #[inline(never)]
    fn again_from_any_state(&mut self, key: Key) -> Result<()> {
        let index = self.watcher(key)?;
        let Kind::Timer { repeat_ns, .. } = self.slab[index].kind else {
            return Err(Error::WrongKind);
        };
        self.clear_index(index);
        let active = self.slab[index].has(ACTIVE);
        if active && repeat_ns > 0 {
            self.timers
                .update(index, self.now.monotonic_ns.saturating_add(repeat_ns));
        } else if active {
            self.stop_index(index);
        } else if repeat_ns > 0 {
            if let Kind::Timer { remaining_ns, .. } = &mut self.slab[index].kind {
                *remaining_ns = repeat_ns;
            }
            self.start_index(index)?;
        }
        Ok(())
    }

    /// Sets the repeat of a timer at any time; it holds from the next expiry or `again` on.
    pub fn set_repeat(&mut self, key: Key, new_ns: i64) -> Result<()> {
        if new_ns < 0 {
            return Err(Error::NegativeRepeat(new_ns));
        }
        let index = self.watcher(key)?;
        match &mut self.slab[index].kind {
            Kind::Timer { repeat_ns, .. } => {
                *repeat_ns = new_ns;
                Ok(())
            }
            _ => Err(Error::WrongKind),
        }
    }

    /// The repeat of a timer.
    pub fn repeat(&self, key: Key) -> Result<i64> {
        match self.slab[self.watcher(key)?].kind {
            Kind::Timer { repeat_ns, .. } => Ok(repeat_ns),
            _ => Err(Error::WrongKind),
        }
    }

    /// The time left of a timer or timed wait: until it is due while active, what it would start with while not (LV-T7).
    pub fn remaining(&self, key: Key) -> Result<i64> {
        let index = self.slab.find(key).ok_or(Error::NoSuchKey)?;
        match self.slab[index].kind {
            Kind::Timer { remaining_ns, .. } => Ok(match self.timers.at(index) {
                Some(at) => at.saturating_sub(self.now.monotonic_ns),
                None => remaining_ns,
            }),
            _ => Err(Error::WrongKind),
        }
    }

    /// The deadline of an active timer on the monotonic clock (libev's `at`).
    pub fn deadline(&self, key: Key) -> Result<Option<i64>> {
        let index = self.slab.find(key).ok_or(Error::NoSuchKey)?;
        match self.slab[index].kind {
            Kind::Timer { .. } => Ok(self.timers.at(index)),
            _ => Err(Error::WrongKind),
        }
    }

    /// Feeds what is due: collected in order of the deadlines, fed in reverse, so that it runs in order (LV-Q04).
    pub(crate) fn expire_timers(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = self.now.monotonic_ns;
        let mut due = std::mem::take(&mut self.due);
        self.timers.take_due(now, &mut due);
        if due.is_empty() {
            self.due = due;
            return;
        }
        let mut expired = std::mem::take(&mut self.expired);
        for node in due.drain(..) {
            let index = node.id();
            let entry = &mut self.slab[index];
            match entry.kind {
                Kind::Stat(_) => {
                    self.expire_stat(index);
                    continue;
                }
                // The usual case.
                Kind::Timer { .. } if entry.has(ONE_SHOT) => {
                    entry.flags &= !ACTIVE;
                    self.active -= i64::from(!entry.has(UNCOUNTED));
                }
                _ => self.expire_one(index, node.at(), now),
            }
            expired.push(index);
        }
        self.due = due;
        for index in expired.drain(..).rev() {
            self.feed_index(index, Events::TIMER);
        }
        self.expired = expired;
    }

    /// Of a timer that has just been taken out.
    fn expire_one(&mut self, index: u32, at: i64, now: i64) {
        let entry = &mut self.slab[index];
        if entry.has(ONE_SHOT) {
            // The time limit of a wait for a file descriptor.
            self.stop_io(index);
            self.end_wait(index);
            return;
        }
        match &mut entry.kind {
            // On time the phase is kept; what was missed is not caught up with (LV-T4, LV-T5).
            Kind::Timer { repeat_ns, .. } if *repeat_ns > 0 => {
                let next = at.saturating_add(*repeat_ns).max(now);
                self.timers.push(index, next);
            }
            Kind::Timer { remaining_ns, .. } => {
                *remaining_ns = at.saturating_sub(now);
                self.stop_index(index);
            }
            _ => self.stop_index(index),
        }
    }
}
