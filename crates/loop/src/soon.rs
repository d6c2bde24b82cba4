//! The run-soon queue: first in, first out, each entry cancellable in constant time (GV-30, GV-31); and the pass that
//! works it off, once in each iteration (GV-32, GV-33).
//!
//! A key is the entry's running number; its place is that number minus the number of the front. A cancelled entry
//! leaves a blank behind.

use std::collections::VecDeque;

use crate::{Loop, SoonKey};

/// gevent's CALLBACK_CHECK_COUNT (GV-32).
const SOON_GROUP: u32 = 50;

pub(crate) struct SoonQueue<T> {
    entries: VecDeque<Option<T>>,
    /// The number of the entry at the front. Starts at 1, so that no key is 0.
    front: u64,
    live: usize,
}

impl<T: Copy> SoonQueue<T> {
    pub(crate) fn new() -> SoonQueue<T> {
        SoonQueue {
            entries: VecDeque::new(),
            front: 1,
            live: 0,
        }
    }

    /// How many entries wait.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn push(&mut self, data: T) -> SoonKey {
        let key = SoonKey(self.front + self.entries.len() as u64);
        self.entries.push_back(Some(data));
        self.live += 1;
        key
    }

    /// The entry that `pop` would return.
    pub(crate) fn peek(&mut self) -> Option<T> {
        loop {
            match self.entries.front()? {
                Some(data) => return Some(*data),
                None => self.drop_front(),
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let data = self.peek()?;
        self.drop_front();
        self.live -= 1;
        Some(data)
    }

    pub(crate) fn cancel(&mut self, key: SoonKey) -> Option<T> {
        let data = self
            .place(key)
            .and_then(|place| self.entries.get_mut(place))
            .and_then(Option::take)?;
        self.live -= 1;
        if self.live == 0 {
            self.front += self.entries.len() as u64;
            self.entries.clear();
        }
        Some(data)
    }

    pub(crate) fn contains(&self, key: SoonKey) -> bool {
        self.place(key)
            .and_then(|place| self.entries.get(place))
            .is_some_and(Option::is_some)
    }

    fn place(&self, key: SoonKey) -> Option<usize> {
        key.0.checked_sub(self.front).map(|place| place as usize)
    }

    fn drop_front(&mut self) {
        self.entries.pop_front();
        self.front += 1;
    }
}

impl<T: Copy> Loop<T> {
    pub(crate) fn begin_soon(&mut self) {
        self.run.in_soon = true;
        self.run.soon_count = 0;
        self.run.soon_begun_ns = self.now.monotonic_ns;
    }

    pub(crate) fn next_soon(&mut self) -> Option<T> {
        if !self.soon_goes_on() {
            return None;
        }
        self.run.soon_count += 1;
        self.active -= 1;
        self.soon.pop()
    }

    /// Whether the pass has another entry to run now; ends it otherwise (GV-32, GV-33, GV-35).
    pub(crate) fn soon_goes_on(&mut self) -> bool {
        self.take_queued();
        let count = self.run.soon_count;
        if self.soon.len() == 0 {
            self.run.in_soon = false;
            if count > 0 {
                self.update_time();
            }
            return false;
        }
        if count >= SOON_GROUP && count.is_multiple_of(SOON_GROUP) {
            self.update_time();
            let deadline_ns = self.run.soon_begun_ns.saturating_add((self.switch_interval_ns)());
            if self.now.monotonic_ns >= deadline_ns {
                self.run.in_soon = false;
                return false;
            }
        }
        true
    }

    /// Whether a pass would run anything.
    pub(crate) fn has_soon(&self) -> bool {
        self.soon.len() > 0 || self.shared.has_queued()
    }

    /// Moves what other threads queued to the end of the queue.
    pub(crate) fn take_queued(&mut self) {
        if self.shared.has_queued() {
            let mut queued = std::mem::take(&mut self.queued);
            self.shared.take_queued(&mut queued);
            for data in queued.drain(..) {
                self.call_soon(data);
            }
            self.queued = queued;
        }
    }

    /// Whether the run-soon pass is going on (GV-35).
    pub fn in_soon_pass(&self) -> bool {
        self.run.in_soon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GV-31: FIFO, and a cancelled entry does not run.
    #[test]
    fn first_in_first_out_with_cancellation() {
        let mut queue = SoonQueue::new();
        let keys: Vec<_> = (0..5).map(|value| queue.push(value)).collect();
        assert_eq!(queue.cancel(keys[0]), Some(0));
        assert_eq!(queue.cancel(keys[3]), Some(3));
        assert_eq!(queue.cancel(keys[3]), None);
        assert_eq!(queue.len(), 3);
        assert!(queue.contains(keys[1]) && !queue.contains(keys[3]));
        assert_eq!(queue.pop(), Some(1));
        assert!(!queue.contains(keys[1]));
        let later = queue.push(9);
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop(), queue.pop()],
            [Some(2), Some(4), Some(9), None]
        );
        assert_eq!(queue.cancel(later), None);
        assert_eq!(queue.len(), 0);
    }

    /// Adding and cancelling for ever does not fill the queue with blanks.
    #[test]
    fn blanks_do_not_pile_up() {
        let mut queue = SoonQueue::new();
        for value in 0..1000 {
            let key = queue.push(value);
            assert_eq!(queue.cancel(key), Some(value));
        }
        assert_eq!(queue.entries.len(), 0);
    }
}
