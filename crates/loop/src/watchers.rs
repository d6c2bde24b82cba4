//! Watchers: made, changed, started, stopped, fed (LV-W01..LV-W10).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::backend::{EDGE, READ};
use crate::child::Child;
use crate::fds::{EMBED_BIT, FRESH, Fds};
use crate::kinds::{Group, Kind};
use crate::pending::level;
use crate::periodic::Periodic;
use crate::remote::AsyncSender;
use crate::slab::{ACTIVE, NONE, ONE_SHOT, UNCOUNTED, mask};
use crate::stat::Stat;
use crate::{Error, Events, Key, Loop, MAX_PRIORITY, MIN_PRIORITY, Result, Spec};

/// The watchers of the plain groups, in the order they were started.
#[derive(Default)]
pub(crate) struct Groups {
    pub(crate) prepare: Vec<u32>,
    pub(crate) check: Vec<u32>,
    pub(crate) fork: Vec<u32>,
    pub(crate) cleanup: Vec<u32>,
    pub(crate) asyncs: Vec<u32>,
    /// By priority, for the lock-out (LV-I2).
    pub(crate) idle: [Vec<u32>; 5],
    pub(crate) idle_count: usize,
}

impl Groups {
    fn list(&mut self, group: Group, priority: i8) -> &mut Vec<u32> {
        match group {
            Group::Prepare => &mut self.prepare,
            Group::Check => &mut self.check,
            Group::Fork => &mut self.fork,
            Group::Cleanup => &mut self.cleanup,
            Group::Async => &mut self.asyncs,
            Group::Idle => &mut self.idle[level(priority)],
        }
    }
}

impl<T: Copy> Loop<T> {
    /// Makes a watcher; it does nothing until it is started.
    pub fn insert(&mut self, spec: Spec, data: T) -> Result<Key> {
        let kind = self.kind_of(spec)?;
        // A cleanup watcher waits for the end and must not put it off (LV-R13).
        let flags = if matches!(
            kind,
            Kind::Grouped {
                group: Group::Cleanup,
                ..
            }
        ) {
            UNCOUNTED
        } else {
            0
        };
        let index = self.slab.insert(kind, flags, 0, data);
        Ok(self.slab.key(index))
    }

    /// Stops a watcher (or cancels a wait) and frees it; its payload, or None when the key is of nothing.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let index = self.slab.find(key)?;
        if self.slab[index].has(ONE_SHOT) {
            return self.cancel_index(index);
        }
        self.stop_index(index);
        self.slab.remove(index).map(|(_, data)| data)
    }

    /// Gives an inactive watcher new arguments, of its own kind (LV-W03).
    #[inline]
    pub fn set(&mut self, key: Key, spec: Spec) -> Result<()> {
        // The usual cases.
        if let Some(entry) = self.slab.get_mut(key)
            && entry.flags & (ACTIVE | ONE_SHOT) == 0
        {
            match (&mut entry.kind, &spec) {
                (
                    Kind::Timer {
                        remaining_ns,
                        repeat_ns,
                    },
                    Spec::Timer {
                        after_ns,
                        repeat_ns: new,
                    },
                ) if *new >= 0 => {
                    (*remaining_ns, *repeat_ns) = (*after_ns, *new);
                    return Ok(());
                }
                (
                    Kind::Io { fd, events, fresh, .. },
                    Spec::Io {
                        fd: new,
                        events: wanted,
                    },
                ) if *new >= 0 && wanted.bits() <= 3 => {
                    (*fd, *events, *fresh) = (*new, mask(*wanted), true);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.set_any(key, spec)
    }

    #[inline(never)]
    fn set_any(&mut self, key: Key, spec: Spec) -> Result<()> {
        let index = self.watcher(key)?;
        if self.slab[index].has(ACTIVE) {
            return Err(Error::Active);
        }
        let kind = self.kind_of(spec)?;
        let entry = &mut self.slab[index];
        match (&entry.kind, &kind) {
            (Kind::Grouped { group: old, .. }, Kind::Grouped { group: new, .. }) if old == new => Ok(()),
            (Kind::Grouped { .. }, _) => Err(Error::WrongKind),
            // Its senders keep their hold on it.
            (Kind::Async { .. }, Kind::Async { .. }) => Ok(()),
            (old, new) if std::mem::discriminant(old) == std::mem::discriminant(new) => {
                entry.kind = kind;
                Ok(())
            }
            _ => Err(Error::WrongKind),
        }
    }

    /// Changes what an io watcher waits for, active or not, supposing that the fd still means the same file (LV-IO3).
    pub fn set_events(&mut self, key: Key, events: Events) -> Result<()> {
        let index = self.watcher(key)?;
        if events.bits() > 3 {
            return Err(Error::IllegalEvents(events.bits()));
        }
        let active = self.slab[index].has(ACTIVE);
        let Kind::Io { fd, events: wanted, .. } = &mut self.slab[index].kind else {
            return Err(Error::WrongKind);
        };
        *wanted = mask(events);
        let fd = *fd;
        if active {
            self.note_change(fd);
        }
        Ok(())
    }

    /// Starts a watcher; nothing happens if it is active already (LV-W04).
    #[inline]
    pub fn start(&mut self, key: Key) -> Result<()> {
        // The usual case: an io watcher, alone on its fd.
        if let Some(entry) = self.slab.get_mut(key)
            && entry.flags & (ACTIVE | ONE_SHOT) == 0
            && (MIN_PRIORITY..=MAX_PRIORITY).contains(&entry.priority)
            && let Kind::Io {
                fd,
                fresh,
                next,
                previous,
                ..
            } = &mut entry.kind
            && let Some(slot) = self.fds.slots.get_mut(*fd as usize)
            && slot.head == NONE
        {
            let also = if std::mem::replace(fresh, false) { FRESH } else { 0 };
            (*next, *previous) = (NONE, NONE);
            slot.head = key.index();
            entry.flags |= ACTIVE;
            self.active += i64::from(entry.flags & UNCOUNTED == 0);
            Fds::mark(&mut self.fds.changes, slot, *fd, also);
            return Ok(());
        }
        let index = self.watcher(key)?;
        self.start_index(index)
    }

    /// Stops a watcher; in any case it is not pending any more (LV-Q11, LV-W05).
    #[inline]
    pub fn stop(&mut self, key: Key) -> Result<()> {
        // The usual case, as above.
        if let Some(entry) = self.slab.get_mut(key)
            && entry.flags & (ACTIVE | ONE_SHOT) == ACTIVE
            && entry.pending == 0
            && let Kind::Io {
                fd,
                next: NONE,
                previous: NONE,
                ..
            } = entry.kind
            && let Some(slot) = self.fds.slots.get_mut(fd as usize)
            && slot.kernel & EDGE == 0
        {
            slot.head = NONE;
            entry.flags &= !ACTIVE;
            self.active -= i64::from(entry.flags & UNCOUNTED == 0);
            Fds::mark(&mut self.fds.changes, slot, fd, 0);
            return Ok(());
        }
        let index = self.watcher(key)?;
        self.stop_index(index);
        Ok(())
    }

    /// Whether it is started, or a wait that has not come due.
    pub fn is_active(&self, key: Key) -> bool {
        self.slab.find(key).is_some_and(|index| self.slab[index].has(ACTIVE))
    }

    /// Whether it is due and not handed out yet.
    pub fn is_pending(&self, key: Key) -> bool {
        self.slab.find(key).is_some_and(|index| self.slab[index].pending != 0)
    }

    /// Sets the priority of a watcher that is neither active nor pending; clamped to -2..2 when it starts (LV-C06).
    pub fn set_priority(&mut self, key: Key, priority: i8) -> Result<()> {
        let index = self.slab.find(key).ok_or(Error::NoSuchKey)?;
        let entry = &mut self.slab[index];
        if entry.has(ACTIVE) || entry.pending != 0 {
            return Err(Error::Active);
        }
        entry.priority = priority;
        Ok(())
    }

    /// The priority as it is: as set, or clamped since it was started.
    pub fn priority(&self, key: Key) -> Result<i8> {
        self.slab
            .find(key)
            .map(|index| self.slab[index].priority)
            .ok_or(Error::NoSuchKey)
    }

    /// Whether it keeps the loop running while it is active (true at first); may be changed at any time.
    pub fn set_ref(&mut self, key: Key, counts: bool) -> Result<()> {
        let index = self.slab.find(key).ok_or(Error::NoSuchKey)?;
        let entry = &mut self.slab[index];
        if counts != entry.has(UNCOUNTED) {
            return Ok(());
        }
        entry.flags ^= UNCOUNTED;
        if entry.has(ACTIVE) {
            self.active += if counts { 1 } else { -1 };
        }
        Ok(())
    }

    /// What `set_ref` set.
    pub fn get_ref(&self, key: Key) -> Result<bool> {
        self.slab
            .find(key)
            .map(|index| !self.slab[index].has(UNCOUNTED))
            .ok_or(Error::NoSuchKey)
    }

    /// Makes a watcher due, active or not; more bits if it is due already (LV-R24).
    pub fn feed(&mut self, key: Key, revents: Events) -> Result<()> {
        let index = self.watcher(key)?;
        self.feed_index(index, revents);
        Ok(())
    }

    /// Takes a watcher out of the queue of what is due; what it was due for (LV-R34).
    pub fn clear_pending(&mut self, key: Key) -> Events {
        match self.watcher(key) {
            Ok(index) => self.clear_index(index),
            Err(_) => Events::NONE,
        }
    }

    /// The payload.
    pub fn data(&self, key: Key) -> Option<T> {
        self.slab.find(key).map(|index| self.slab[index].data)
    }

    /// Another payload; it holds from the next event on (LV-W07).
    pub fn set_data(&mut self, key: Key, data: T) -> Result<()> {
        let index = self.slab.find(key).ok_or(Error::NoSuchKey)?;
        self.slab[index].data = data;
        Ok(())
    }

    /// The sending end of an async watcher.
    pub fn async_sender(&self, key: Key) -> Result<AsyncSender> {
        match &self.slab[self.watcher(key)?].kind {
            Kind::Async { sent, .. } => Ok(AsyncSender::new(self.shared.wakeup.clone(), sent.clone())),
            _ => Err(Error::WrongKind),
        }
    }

    /// Cancels a one-shot wait; None when it was delivered or cancelled before.
    #[inline]
    pub fn cancel(&mut self, key: Key) -> Option<T> {
        let index = self.slab.find(key)?;
        if self.slab[index].has(ONE_SHOT) {
            self.cancel_index(index)
        } else {
            None
        }
    }

    // ---- by index

    /// The index of a watcher (one-shot waits have only `cancel`).
    #[inline]
    pub(crate) fn watcher(&self, key: Key) -> Result<u32> {
        match self.slab.find(key) {
            Some(index) if !self.slab[index].has(ONE_SHOT) => Ok(index),
            Some(_) => Err(Error::WrongKind),
            None => Err(Error::NoSuchKey),
        }
    }

    #[inline]
    pub(crate) fn feed_index(&mut self, index: u32, revents: Events) {
        let entry = &mut self.slab[index];
        let level = level(entry.priority);
        if entry.pending == 0 {
            entry.pending = self.pending.push(level, index, revents);
        } else {
            self.pending.add(level, entry.pending, revents);
        }
    }

    #[inline(never)]
    pub(crate) fn clear_index(&mut self, index: u32) -> Events {
        let entry = &mut self.slab[index];
        match std::mem::take(&mut entry.pending) {
            0 => Events::NONE,
            pending => self.pending.clear(level(entry.priority), pending),
        }
    }

    /// A one-shot wait comes due: it does not count any more, and its time limit, if it has one, ends.
    pub(crate) fn end_wait(&mut self, index: u32) {
        self.timers.remove(index);
        let entry = &mut self.slab[index];
        entry.flags &= !ACTIVE;
        if !entry.has(UNCOUNTED) {
            self.active -= 1;
        }
    }

    #[inline]
    pub(crate) fn cancel_index(&mut self, index: u32) -> Option<T> {
        if let Some((flags, data)) = self.slab.remove_timer(index) {
            if flags & ACTIVE != 0 {
                self.timers.remove(index);
                self.active -= i64::from(flags & UNCOUNTED == 0);
            }
            return Some(data);
        }
        self.stop_index(index);
        self.slab.remove(index).map(|(_, data)| data)
    }

    #[inline(never)]
    pub(crate) fn start_index(&mut self, index: u32) -> Result<()> {
        let entry = &mut self.slab[index];
        if entry.has(ACTIVE) {
            return Ok(());
        }
        if entry.pending == 0 {
            entry.priority = entry.priority.clamp(MIN_PRIORITY, MAX_PRIORITY);
        }
        match entry.kind {
            Kind::Io { .. } => self.start_io(index)?,
            Kind::Timer { remaining_ns, .. } => {
                self.timers
                    .push(index, self.now.monotonic_ns.saturating_add(remaining_ns));
            }
            _ => self.start_other(index)?,
        }
        let entry = &mut self.slab[index];
        entry.flags |= ACTIVE;
        if !entry.has(UNCOUNTED) {
            self.active += 1;
        }
        Ok(())
    }

    #[inline(never)]
    fn start_other(&mut self, index: u32) -> Result<()> {
        let entry = &self.slab[index];
        let priority = entry.priority;
        match entry.kind {
            Kind::Vacant | Kind::Io { .. } | Kind::Timer { .. } => return Err(Error::NoSuchKey),
            Kind::Periodic(_) => self.start_periodic(index)?,
            Kind::Child(_) => self.start_child(index)?,
            Kind::Stat(_) => self.start_stat(index)?,
            Kind::Signal { signum, .. } => self.start_signal(index, signum)?,
            Kind::Grouped { .. } | Kind::Async { .. } => self.join_group(index, priority),
        }
        Ok(())
    }

    #[inline(never)]
    pub(crate) fn stop_index(&mut self, index: u32) {
        if self.slab[index].pending != 0 {
            self.clear_index(index);
        }
        let entry = &mut self.slab[index];
        if !entry.has(ACTIVE) {
            return;
        }
        entry.flags &= !ACTIVE;
        if !entry.has(UNCOUNTED) {
            self.active -= 1;
        }
        match &mut entry.kind {
            Kind::Io { .. } => {
                if entry.flags & ONE_SHOT != 0 {
                    self.timers.remove(index);
                }
                self.stop_io(index);
            }
            Kind::Timer { remaining_ns, .. } => {
                if let Some(at) = self.timers.remove(index) {
                    *remaining_ns = at.saturating_sub(self.now.monotonic_ns);
                }
            }
            _ => self.stop_other(index),
        }
    }

    #[inline(never)]
    fn stop_other(&mut self, index: u32) {
        match &self.slab[index].kind {
            Kind::Vacant | Kind::Io { .. } | Kind::Timer { .. } => {}
            Kind::Periodic(_) => {
                self.periodics.remove(index);
            }
            Kind::Child(_) => self.stop_child(index),
            Kind::Stat(_) => self.stop_stat(index),
            Kind::Signal { signum, .. } => {
                let signum = *signum;
                self.stop_signal(index, signum);
            }
            Kind::Grouped { .. } | Kind::Async { .. } => self.leave_group(index),
        }
    }

    fn join_group(&mut self, index: u32, priority: i8) {
        let Some((group, position)) = self.slab[index].kind.group_mut() else {
            return;
        };
        let list = self.groups.list(group, priority);
        *position = list.len() as u32;
        list.push(index);
        if group == Group::Idle {
            self.groups.idle_count += 1;
        }
    }

    /// The last takes the place of the one that leaves (LV-Q09).
    fn leave_group(&mut self, index: u32) {
        let priority = self.slab[index].priority;
        let Some((group, position)) = self.slab[index].kind.group_mut() else {
            return;
        };
        let place = *position;
        let list = self.groups.list(group, priority);
        if list.get(place as usize) != Some(&index) {
            return;
        }
        list.swap_remove(place as usize);
        let moved = list.get(place as usize).copied();
        if group == Group::Idle {
            self.groups.idle_count -= 1;
        }
        if let Some(moved) = moved
            && let Some((_, position)) = self.slab[moved].kind.group_mut()
        {
            *position = place;
        }
    }

    fn kind_of(&mut self, spec: Spec) -> Result<Kind> {
        let grouped = |group| Ok(Kind::Grouped { group, position: 0 });
        match spec {
            Spec::Io { fd, .. } if fd < 0 => Err(Error::NegativeFd(fd)),
            Spec::Io { events, .. } if events.bits() > 3 => Err(Error::IllegalEvents(events.bits())),
            Spec::Io { fd, events } => Ok(Kind::Io {
                fd,
                events: mask(events),
                fresh: true,
                next: NONE,
                previous: NONE,
            }),
            Spec::Timer { repeat_ns, .. } if repeat_ns < 0 => Err(Error::NegativeRepeat(repeat_ns)),
            Spec::Timer { after_ns, repeat_ns } => Ok(Kind::Timer {
                remaining_ns: after_ns,
                repeat_ns,
            }),
            Spec::Signal { signum } if !(1..=64).contains(&signum) => Err(Error::IllegalSignal(signum)),
            Spec::Signal { signum } => Ok(Kind::Signal {
                signum,
                next: NONE,
                previous: NONE,
            }),
            Spec::Idle => grouped(Group::Idle),
            Spec::Prepare => grouped(Group::Prepare),
            Spec::Check => grouped(Group::Check),
            Spec::Fork => grouped(Group::Fork),
            Spec::Cleanup => grouped(Group::Cleanup),
            Spec::Async => Ok(Kind::Async {
                sent: Arc::new(AtomicBool::new(false)),
                position: 0,
            }),
            Spec::Periodic { interval_ns, .. } if interval_ns < 0 => Err(Error::NegativeRepeat(interval_ns)),
            Spec::Periodic { offset_ns, interval_ns } => Ok(Kind::Periodic(Box::new(Periodic {
                offset_ns,
                interval_ns,
                reschedule: None,
            }))),
            Spec::Child { pid, trace } => Ok(Kind::Child(Box::new(Child::new(pid, trace)))),
            Spec::Stat { path, interval_ns } => Ok(Kind::Stat(Box::new(Stat::new(path, interval_ns)))),
            Spec::Embed { fd } if fd < 0 => Err(Error::NegativeFd(fd)),
            Spec::Embed { fd } => Ok(Kind::Io {
                fd,
                events: READ | EMBED_BIT,
                fresh: true,
                next: NONE,
                previous: NONE,
            }),
        }
    }
}
