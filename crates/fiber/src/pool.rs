//! Stacks to use again.
//!
//! Making a stack costs a guard and the page faults of its first use (4 to 5 us); using one again costs a pop. The
//! one released last is used first, because its pages are still in the cache. A free stack keeps its pages up to a number of
//! stacks (`warm`); the surplus gives them back at once (`cold`), so that a burst of a hundred thousand fibers does not leave
//! its memory behind.
//!
//! ```text
//!   allocate:  warm, last in first out  ->  cold  ->  next slot of the newest slab  ->  a new slab, twice as large
//!   release:   warm if there is room, else emptied -> cold
//! ```
//!
//! Past certain numbers of live stacks new ones are made in smaller sizes: what a stack costs without being used is its share of
//! the page tables, 2 KB for one of 1 MiB. Every size is a class with slabs and free lists of its own.
//!
//! Who uses a stack is noted if the user wants it: [`StackPool::owners`] is the list of all who have one, which costs them a store each
//! when they come and when they go. So somebody can look at them from time to time (is there one that has been idle for long?) without
//! a list that everybody has to keep.
//!
//! The pool is behind a lock which is held for the length of a push or a pop (or a system call), never while foreign code runs.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::slab::{Guards, Slab};
use crate::stack::{Stack, StackSize};

/// Free stacks that keep their pages: 16 MiB if each was used one page deep.
const WARM_LIMIT: usize = 4096;

#[derive(Debug)]
pub struct StackPool {
    inner: Mutex<Inner>,
}

/// What the pool holds and has done. Bytes are address space, not memory, unless the name says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Stacks handed out and not released.
    pub in_use: usize,
    /// The most there ever were at once.
    pub peak_in_use: usize,
    /// Free stacks that keep their pages.
    pub warm: usize,
    /// Free stacks without pages.
    pub cold: usize,
    /// Stacks without a guard (see the documentation of slabs).
    pub unguarded: usize,
    /// Mappings made.
    pub slabs: usize,
    pub reserved_bytes: usize,
    /// Calls of `allocate`, and how many of them got a used stack.
    pub allocations: u64,
    pub reuses: u64,
    /// Stacks whose pages were given back when they became free, or later.
    pub emptied: u64,
}

/// Where [`StackPool::owners`] goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    class: usize,
    place: usize,
}

#[derive(Debug)]
struct Inner {
    classes: Vec<Class>,
    /// What new stacks are made as.
    present: usize,
    /// From how many in use on another class is made, in ascending order.
    crowds: Vec<(usize, usize)>,
    guards: Guards,
    warm_limit: usize,
    /// `peak_in_use` is that of the present period only, and this that of all before.
    former_peak: usize,
    /// Free stacks that keep their pages, but were not needed in the last period.
    spare: usize,
    statistics: Statistics,
}

#[derive(Debug)]
struct Class {
    size: StackSize,
    slabs: Vec<Slab>,
    /// Who uses each of the stacks made so far; 0: nobody, or nobody who wants to be known.
    owners: Vec<usize>,
    warm: Vec<Stack>,
    cold: Vec<Stack>,
}

impl StackPool {
    pub fn new(size: StackSize) -> StackPool {
        StackPool::with_guards(size, Guards::new())
    }

    pub(crate) fn with_guards(size: StackSize, guards: Guards) -> StackPool {
        StackPool {
            inner: Mutex::new(Inner {
                classes: vec![Class::new(size)],
                present: 0,
                crowds: Vec::new(),
                guards,
                warm_limit: WARM_LIMIT,
                former_peak: 0,
                spare: 0,
                statistics: Statistics::default(),
            }),
        }
    }

    /// A stack that nobody uses. Fails when the system gives no more memory or address space.
    pub fn allocate(&self) -> io::Result<Stack> {
        self.allocate_for(0)
    }

    /// The same for somebody who is to be among the [`owners`](Self::owners) until the stack is released or abandoned.
    pub fn allocate_for(&self, owner: usize) -> io::Result<Stack> {
        self.lock().allocate(owner)
    }

    /// Copies out some of those who own a stack, from `place` on, and says where to go on; None at the end. Who comes and goes
    /// between two calls may be missed. One call looks at no more than `owners.len()` stacks, whatever it finds there.
    pub fn owners(&self, place: Place, owners: &mut [usize]) -> (usize, Option<Place>) {
        self.lock().owners(place, owners)
    }

    /// Takes a stack back that nobody is on and nothing points into.
    pub fn release(&self, stack: Stack) {
        self.lock().release(stack);
    }

    /// Says that a stack is lost: something may still point into it.
    pub fn abandon(&self, stack: Stack) {
        self.lock().forget_owner(&stack);
        drop(stack);
    }

    pub fn size(&self) -> StackSize {
        let inner = self.lock();
        inner.classes[inner.present].size
    }

    /// Stacks made from now on have this size; those in use keep theirs.
    pub fn set_size(&self, size: StackSize) {
        let mut inner = self.lock();
        inner.crowds.clear();
        inner.present = inner.class_of(size);
    }

    /// Stacks made while `in_use` or more are in use have this size instead. May be said several times, for growing numbers.
    pub fn set_crowd_size(&self, in_use: usize, size: StackSize) {
        let mut inner = self.lock();
        let class = inner.class_of(size);
        inner.crowds.push((in_use, class));
        inner.crowds.sort_unstable();
    }

    /// How many free stacks keep their pages.
    pub fn set_warm_limit(&self, stacks: usize) {
        let mut inner = self.lock();
        inner.warm_limit = stacks;
        inner.empty_warm(stacks);
    }

    /// Gives the pages of free stacks back, except of the `keep` used last. Returns of how many.
    pub fn trim(&self, keep: usize) -> usize {
        self.lock().empty_warm(keep)
    }

    /// Ends a period and begins the next: returns how many free stacks with pages were not needed in it, because that many were free all
    /// the time; `keep` of all free stacks do not count. [`empty_spare`](Self::empty_spare) gives their pages back.
    pub fn begin_period(&self, keep: usize) -> usize {
        self.lock().begin_period(keep)
    }

    /// Empties up to `most` of the free stacks that were not needed in the last period. Returns how many.
    pub fn empty_spare(&self, most: usize) -> usize {
        self.lock().empty_spare(most)
    }

    pub fn statistics(&self) -> Statistics {
        let inner = self.lock();
        Statistics {
            warm: inner.classes.iter().map(|class| class.warm.len()).sum(),
            cold: inner.classes.iter().map(|class| class.cold.len()).sum(),
            unguarded: inner.guards.unguarded(),
            slabs: inner.classes.iter().map(|class| class.slabs.len()).sum(),
            reserved_bytes: inner.classes.iter().map(Class::reserved_bytes).sum(),
            peak_in_use: inner.statistics.peak_in_use.max(inner.former_peak),
            ..inner.statistics
        }
    }

    /// Bytes of stacks, used and free, that are in memory. Takes a system call for each 64 MiB reserved: not for a hot path.
    pub fn resident_bytes(&self) -> usize {
        let inner = self.lock();
        let of_class = |class: &Class| {
            class
                .slabs
                .iter()
                .map(|slab| slab.resident_bytes(class.size))
                .sum::<usize>()
        };
        inner.classes.iter().map(of_class).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StackPool {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        if inner.statistics.in_use != 0 || inner.statistics.allocations != inner.released() {
            return; // Somebody is still on one of them, or something points into one: keep the mappings.
        }
        for class in &mut inner.classes {
            for slab in class.slabs.drain(..) {
                // SAFETY: no stack is in use or was abandoned.
                unsafe { slab.unmap(class.size) };
            }
        }
    }
}

impl Inner {
    #[inline]
    fn allocate(&mut self, owner: usize) -> io::Result<Stack> {
        let mut wanted = self.present;
        for &(in_use, class) in &self.crowds {
            if self.statistics.in_use < in_use || self.classes[wanted].has_free() {
                break;
            }
            wanted = class;
        }
        let class = &mut self.classes[wanted];
        let stack = match class.warm.pop().or_else(|| class.cold.pop()) {
            Some(stack) => {
                self.statistics.reuses += 1;
                stack
            }
            None => class.fresh(wanted as u32, &self.guards)?,
        };
        class.owners[stack.place as usize] = owner;
        self.statistics.allocations += 1;
        self.statistics.in_use += 1;
        self.statistics.peak_in_use = self.statistics.peak_in_use.max(self.statistics.in_use);
        Ok(stack)
    }

    #[inline]
    fn release(&mut self, stack: Stack) {
        self.forget_owner(&stack);
        let class = &mut self.classes[stack.class as usize];
        if class.warm.len() < self.warm_limit {
            class.warm.push(stack);
        } else {
            self.statistics.emptied += 1;
            class.put_cold(stack);
        }
    }

    /// The stack is about to be free, or lost.
    #[inline]
    fn forget_owner(&mut self, stack: &Stack) {
        self.statistics.in_use -= 1;
        self.classes[stack.class as usize].owners[stack.place as usize] = 0;
    }

    fn owners(&self, from: Place, owners: &mut [usize]) -> (usize, Option<Place>) {
        let Some(class) = self.classes.get(from.class) else {
            return (0, None);
        };
        let end = class.owners.len().min(from.place + owners.len());
        let mut found = 0;
        for &owner in class.owners.get(from.place..end).unwrap_or_default() {
            if owner != 0 {
                owners[found] = owner;
                found += 1;
            }
        }
        let next = if end < class.owners.len() {
            Place { place: end, ..from }
        } else {
            Place {
                class: from.class + 1,
                place: 0,
            }
        };
        (found, (next.class < self.classes.len()).then_some(next))
    }

    fn begin_period(&mut self, keep: usize) -> usize {
        let statistics = &mut self.statistics;
        let needed = statistics.peak_in_use - statistics.in_use;
        self.former_peak = self.former_peak.max(statistics.peak_in_use);
        statistics.peak_in_use = statistics.in_use;
        let warm: usize = self.classes.iter().map(|class| class.warm.len()).sum();
        self.spare = warm.saturating_sub(needed.max(keep));
        self.spare
    }

    fn empty_spare(&mut self, most: usize) -> usize {
        let mut left = self.spare.min(most);
        let mut emptied = 0;
        // The classes of larger crowds are needed less often.
        for class in self.classes.iter_mut().rev() {
            let here = class.empty(left);
            left -= here;
            emptied += here;
        }
        self.spare = if left == 0 { self.spare - emptied } else { 0 };
        self.statistics.emptied += emptied as u64;
        emptied
    }

    fn empty_warm(&mut self, keep: usize) -> usize {
        let empty = |class: &mut Class| class.empty(class.warm.len().saturating_sub(keep));
        let emptied: usize = self.classes.iter_mut().map(empty).sum();
        self.statistics.emptied += emptied as u64;
        emptied
    }

    fn class_of(&mut self, size: StackSize) -> usize {
        let size = size.rounded();
        self.classes
            .iter()
            .position(|class| class.size == size)
            .unwrap_or_else(|| {
                self.classes.push(Class::new(size));
                self.classes.len() - 1
            })
    }

    fn released(&self) -> u64 {
        let fresh: u64 = self
            .classes
            .iter()
            .map(|class| (class.warm.len() + class.cold.len()) as u64)
            .sum();
        fresh + self.statistics.reuses
    }
}

impl Class {
    fn new(size: StackSize) -> Class {
        Class {
            size: size.rounded(),
            slabs: Vec::new(),
            owners: Vec::new(),
            warm: Vec::new(),
            cold: Vec::new(),
        }
    }

    fn has_free(&self) -> bool {
        !self.warm.is_empty() || !self.cold.is_empty()
    }

    #[cold]
    fn fresh(&mut self, class: u32, guards: &Guards) -> io::Result<Stack> {
        let place = u32::try_from(self.owners.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let stack = self.carve(class, place, guards)?;
        self.owners.push(0);
        Ok(stack)
    }

    fn carve(&mut self, class: u32, place: u32, guards: &Guards) -> io::Result<Stack> {
        if guards.exhausted() {
            // A slab of its own per stack, whose guard is a gap as large as the stack.
            let wide = StackSize {
                guard: self.size.guard + self.size.stack,
                ..self.size
            };
            let mut slab = Slab::reserve_one(wide)?;
            return slab.next(wide, class, place, guards);
        }
        if self.slabs.last().is_none_or(Slab::is_full) {
            let slots = self.slabs.last().map_or(0, |slab| slab.slots() * 2);
            self.slabs.push(Slab::reserve(self.size, slots)?);
        }
        let slab = self.slabs.last_mut().expect("a slab was just made");
        slab.next(self.size, class, place, guards)
    }

    /// Empties up to `most` of the free stacks, those that have been free for longest first. Returns how many.
    fn empty(&mut self, most: usize) -> usize {
        let count = self.warm.len().min(most);
        let stacks: Vec<Stack> = self.warm.drain(..count).collect();
        stacks.into_iter().for_each(|stack| self.put_cold(stack));
        count
    }

    fn put_cold(&mut self, stack: Stack) {
        // Advice that fails leaves the pages where they are: more memory, nothing worse.
        let _ = stack.discard_all();
        self.cold.push(stack);
    }

    fn reserved_bytes(&self) -> usize {
        self.slabs.iter().map(|slab| slab.slots() * self.size.stride()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: StackSize = StackSize {
        stack: 64 << 10,
        annex: 4 << 10,
        guard: 64 << 10,
    };

    #[test]
    fn without_guard_advice_guards_are_bounded_and_the_rest_gets_gaps() {
        let pool = StackPool::with_guards(SMALL, Guards::by_protection(20));
        let stacks: Vec<Stack> = (0..30).map(|_| pool.allocate().unwrap()).collect();
        for stack in &stacks {
            // SAFETY: the stack is ours and nobody is on it.
            unsafe { stack.lowest().write_volatile(1) };
        }
        for stack in &stacks[20..] {
            // SAFETY: the gap below an unguarded stack is mapped and unused.
            unsafe { stack.lowest().sub(SMALL.stack).write_volatile(1) };
        }
        stacks.into_iter().for_each(|stack| pool.release(stack));
        assert_eq!(pool.statistics().warm, 30);
        let again: Vec<Stack> = (0..30).map(|_| pool.allocate().unwrap()).collect();
        assert_eq!(pool.statistics().reuses, 30);
        again.into_iter().for_each(|stack| pool.release(stack));
    }
}
