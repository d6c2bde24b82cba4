//! The run-soon queue: first in, first out, each entry cancellable in constant time (GV-30, GV-31).
//!
//! A key is the entry's running number; its place is that number minus the number of the front. A cancelled entry
//! leaves a blank behind.

use std::collections::VecDeque;

use crate::SoonKey;

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
