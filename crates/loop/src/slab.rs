//! Where watchers and one-shot waits live: an array with generational places, so that nothing is allocated per wait
//! and an outdated `Key` hits nobody.
//!
//! An entry is kept small (48 bytes with an 8-byte payload): a hundred thousand sleeping greenlets are a hundred
//! thousand of these, plus 20 bytes each in the timer heap. What only rare kinds need is boxed.

use crate::kinds::Kind;
use crate::{Events, Key};

/// "No index": the end of a list, or of nothing.
pub(crate) const NONE: u32 = u32::MAX;

/// The watcher is started (a wait: not yet due).
pub(crate) const ACTIVE: u8 = 1;
/// A one-shot wait: freed when delivered.
pub(crate) const ONE_SHOT: u8 = 2;
/// Does not keep the loop alive while active.
pub(crate) const UNCOUNTED: u8 = 4;

pub(crate) struct Entry<T> {
    pub(crate) generation: u32,
    /// Its place in the pending queue of its priority, plus one; 0 when it is not pending.
    pub(crate) pending: u32,
    pub(crate) flags: u8,
    /// As set; clamped when the watcher starts, and wherever it is used.
    pub(crate) priority: i8,
    pub(crate) data: T,
    pub(crate) kind: Kind,
}

impl<T> Entry<T> {
    #[inline]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Exchanges the kind for another where the present one owns nothing, so that nothing has to be dropped.
    #[inline]
    fn put(&mut self, kind: Kind) {
        debug_assert!(matches!(self.kind, Kind::Vacant | Kind::Timer { .. }));
        std::mem::forget(std::mem::replace(&mut self.kind, kind));
    }
}

pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    /// The free places, the last used first. Beside the entries and not chained through them: to take one is not to wait
    /// for the memory of another.
    free: Vec<u32>,
}

impl<T: Copy> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    #[inline]
    pub(crate) fn insert(&mut self, kind: Kind, flags: u8, priority: i8, data: T) -> u32 {
        let index = self.occupy(flags, priority, data);
        self[index].put(kind);
        index
    }

    /// As `insert`, of an active timer that comes due once. The most frequent way to come: what is written is a constant,
    /// because a kind that is put together first and then copied stalls the processor.
    #[inline]
    pub(crate) fn insert_timer(&mut self, flags: u8, priority: i8, data: T) -> Key {
        let index = self.occupy(flags, priority, data);
        let entry = &mut self.entries[index as usize];
        entry.put(Kind::Timer {
            remaining_ns: 0,
            repeat_ns: 0,
        });
        Key::new(index, entry.generation)
    }

    /// Takes a free place, and leaves its kind to the caller.
    #[inline]
    fn occupy(&mut self, flags: u8, priority: i8, data: T) -> u32 {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.grow(data),
        };
        let entry = &mut self.entries[index as usize];
        entry.pending = 0;
        entry.flags = flags;
        entry.priority = priority;
        entry.data = data;
        index
    }

    /// One place more. It needs some payload to begin with.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, data: T) -> u32 {
        let index = self.entries.len() as u32;
        self.entries.push(Entry {
            generation: 1,
            pending: 0,
            flags: 0,
            priority: 0,
            data,
            kind: Kind::Vacant,
        });
        // So that nothing is allocated when they become free.
        self.free.reserve(self.entries.capacity());
        index
    }

    /// Frees the place; its old keys are worth nothing from now on.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> Option<(Kind, T)> {
        let entry = self.entries.get_mut(index as usize)?;
        if matches!(entry.kind, Kind::Vacant) {
            return None;
        }
        let kind = std::mem::replace(&mut entry.kind, Kind::Vacant);
        entry.generation = entry.generation.wrapping_add(1).max(1);
        entry.flags = 0;
        self.free.push(index);
        Some((kind, entry.data))
    }

    /// Frees a timer that is not pending, if this is one: its flags, and its payload. The most frequent way to go.
    #[inline]
    pub(crate) fn remove_timer(&mut self, index: u32) -> Option<(u8, T)> {
        let entry = self.entries.get_mut(index as usize)?;
        if entry.pending != 0 || !matches!(entry.kind, Kind::Timer { .. }) {
            return None;
        }
        entry.put(Kind::Vacant);
        entry.generation = entry.generation.wrapping_add(1).max(1);
        self.free.push(index);
        Some((std::mem::take(&mut entry.flags), entry.data))
    }

    #[inline]
    pub(crate) fn key(&self, index: u32) -> Key {
        Key::new(index, self[index].generation)
    }

    /// The payload at a place, if there is such a place; not whether it is taken.
    #[inline]
    pub(crate) fn payload(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize).map(|entry| &entry.data)
    }

    /// The index behind a key, if it is still the same thing.
    #[inline]
    pub(crate) fn find(&self, key: Key) -> Option<u32> {
        let entry = self.entries.get(key.index() as usize)?;
        let same = entry.generation == key.generation() && !matches!(entry.kind, Kind::Vacant);
        same.then_some(key.index())
    }

    /// The entry behind a key, if it is still the same thing.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Entry<T>> {
        let entry = self.entries.get_mut(key.index() as usize)?;
        (entry.generation == key.generation()).then_some(entry)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Entry<T>)> {
        let occupied = |(_, entry): &(usize, &Entry<T>)| !matches!(entry.kind, Kind::Vacant);
        self.entries
            .iter()
            .enumerate()
            .filter(occupied)
            .map(|(index, entry)| (index as u32, entry))
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = Entry<T>;
    #[inline]
    fn index(&self, index: u32) -> &Entry<T> {
        &self.entries[index as usize]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.entries[index as usize]
    }
}

/// The two event bits that a file descriptor's mask is made of, as the byte the tables hold.
pub(crate) fn mask(events: Events) -> u8 {
    (events.bits() & 3) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlives_its_place_without_hitting_the_next_tenant() {
        let mut slab = Slab::new();
        let first = slab.insert(
            Kind::Timer {
                remaining_ns: 0,
                repeat_ns: 0,
            },
            0,
            0,
            'a',
        );
        let old = slab.key(first);
        assert_eq!(slab.find(old), Some(first));
        assert_eq!(slab.remove(first).map(|(_, data)| data), Some('a'));
        assert_eq!(slab.find(old), None);
        let second = slab.insert(
            Kind::Timer {
                remaining_ns: 0,
                repeat_ns: 0,
            },
            0,
            0,
            'b',
        );
        assert_eq!(first, second, "the place is used again");
        assert_eq!(slab.find(old), None);
        assert!(slab.remove(second).is_some());
        assert!(slab.remove(second).is_none());
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn an_entry_stays_small() {
        assert!(size_of::<Entry<usize>>() <= 48, "{}", size_of::<Entry<usize>>());
    }
}
