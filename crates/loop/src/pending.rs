//! What is due and not yet handed out: one stack per priority (LV-Q02, LV-D5).
//!
//! The highest priority comes first, and within one priority what was fed last comes first; the feeding order of the
//! phases is chosen with that in mind (LV-Q03). Two entries are no watchers but marks of the loop itself, so that
//! its own work has a priority and a place among the rest.

use crate::events::PRIORITIES;
use crate::slab::NONE;
use crate::{Events, MAX_PRIORITY, MIN_PRIORITY};

/// The mark "look at what other threads and signal handlers sent".
pub(crate) const REMOTE_MARK: u32 = NONE - 1;
/// The mark "the run-soon pass goes here".
pub(crate) const SOON_MARK: u32 = NONE - 2;
/// The mark "ask for the next child".
pub(crate) const CHILD_MARK: u32 = NONE - 3;

#[derive(Copy, Clone)]
pub(crate) struct Item {
    /// Which watcher, or a mark, or `NONE` where one was cleared.
    pub(crate) index: u32,
    pub(crate) revents: Events,
}

#[derive(Default)]
pub(crate) struct Pending {
    queues: [Vec<Item>; PRIORITIES],
    /// One more than the highest level that may hold something.
    ceiling: usize,
    /// Entries that are neither cleared nor marks.
    count: usize,
    marks: usize,
}

/// The array index of a priority; anything out of range is clamped (LV-C06, LV-W06).
pub(crate) fn level(priority: i8) -> usize {
    (priority.clamp(MIN_PRIORITY, MAX_PRIORITY) - MIN_PRIORITY) as usize
}

impl Pending {
    /// How many watchers are pending (DD-04: cleared ones are not counted).
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether anything at all is to be done.
    pub(crate) fn any(&self) -> bool {
        self.count + self.marks > 0
    }

    /// Adds a watcher that is not pending yet; the value its `pending` field must take.
    pub(crate) fn push(&mut self, level: usize, index: u32, revents: Events) -> u32 {
        self.count += 1;
        self.push_item(level, Item { index, revents })
    }

    /// Adds one of the marks.
    pub(crate) fn push_mark(&mut self, level: usize, mark: u32) {
        self.marks += 1;
        self.push_item(
            level,
            Item {
                index: mark,
                revents: Events::NONE,
            },
        );
    }

    fn push_item(&mut self, level: usize, item: Item) -> u32 {
        self.ceiling = self.ceiling.max(level + 1);
        let queue = &mut self.queues[level];
        queue.push(item);
        queue.len() as u32
    }

    /// More bits for a watcher that is pending already (LV-R24).
    pub(crate) fn add(&mut self, level: usize, pending: u32, revents: Events) {
        if let Some(item) = self.queues[level].get_mut(pending as usize - 1) {
            item.revents |= revents;
        }
    }

    /// Takes a watcher out; what it was pending for. Its place stays as a blank, except at the end.
    pub(crate) fn clear(&mut self, level: usize, pending: u32) -> Events {
        let queue = &mut self.queues[level];
        let Some(item) = queue.get_mut(pending as usize - 1) else {
            return Events::NONE;
        };
        item.index = NONE;
        let revents = item.revents;
        self.count -= 1;
        while queue.last().is_some_and(|item| item.index == NONE) {
            queue.pop();
        }
        revents
    }

    /// The entry that `pop` would return, blanks removed.
    pub(crate) fn peek(&mut self) -> Option<Item> {
        while self.ceiling > 0 {
            let queue = &mut self.queues[self.ceiling - 1];
            while let Some(&item) = queue.last() {
                if item.index != NONE {
                    return Some(item);
                }
                queue.pop();
            }
            self.ceiling -= 1;
        }
        None
    }

    /// The next entry, highest priority first (LV-R22).
    pub(crate) fn pop(&mut self) -> Option<Item> {
        let item = self.peek()?;
        self.queues[self.ceiling - 1].pop();
        if item.index < CHILD_MARK {
            self.count -= 1;
        } else {
            self.marks -= 1;
        }
        Some(item)
    }

    /// Which entry follows so many after the one that `pop` would return, in the same queue; it may be a mark or a blank.
    #[inline]
    pub(crate) fn upcoming(&self, ahead: usize) -> Option<u32> {
        let queue = &self.queues[self.ceiling.checked_sub(1)?];
        let place = queue.len().checked_sub(ahead + 1)?;
        queue.get(place).map(|item| item.index)
    }

    /// Whether anything, a mark included, is pending at this very level.
    pub(crate) fn any_at(&self, level: usize) -> bool {
        !self.queues[level].is_empty()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.iter().all(Vec::is_empty)
    }

    /// Which watcher is recorded at this place, for `verify`.
    pub(crate) fn at(&self, level: usize, pending: u32) -> Option<u32> {
        self.queues[level]
            .get((pending as usize).checked_sub(1)?)
            .map(|item| item.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(pending: &mut Pending) -> Vec<u32> {
        std::iter::from_fn(|| pending.pop().map(|item| item.index)).collect()
    }

    /// LV-Q02: the highest priority first, and the last fed first within one.
    #[test]
    fn highest_priority_then_last_fed() {
        let mut pending = Pending::default();
        for (level, index) in [(2, 1), (0, 2), (2, 3), (4, 4)] {
            pending.push(level, index, Events::CUSTOM);
        }
        assert_eq!(pending.count(), 4);
        assert_eq!(drain(&mut pending), [4, 3, 1, 2]);
    }

    /// LV-R34, DD-04: what is cleared is not counted and not handed out.
    #[test]
    fn cleared_entries_are_blanks() {
        let mut pending = Pending::default();
        let first = pending.push(2, 1, Events::READ);
        let second = pending.push(2, 2, Events::READ);
        pending.push(2, 3, Events::READ);
        pending.add(2, second, Events::WRITE);
        assert_eq!(pending.clear(2, second), Events::READ_WRITE);
        assert_eq!(pending.count(), 2);
        assert_eq!(drain(&mut pending), [3, 1]);
        assert_eq!(pending.clear(2, first), Events::NONE, "already gone");
    }

    /// Feeding and clearing for ever does not fill the queue with blanks.
    #[test]
    fn blanks_do_not_pile_up() {
        let mut pending = Pending::default();
        for _ in 0..1000 {
            let place = pending.push(2, 1, Events::READ);
            assert_eq!(place, 1);
            pending.clear(2, place);
        }
        assert!(pending.is_empty());
    }
}
