//! File descriptors: an array indexed by fd, what is wanted for each, and what the kernel was told (LV-D3, LV-D4).
//!
//! An fd is in one of two ways of being watched:
//!
//! * **level**: ordinary watchers and waits. The union of what they want is told to the kernel before the next poll,
//!   once however often it changed in between (LV-IO4), and wanting nothing any more is not told at all (LV-IO5).
//! * **edge**: a socket that was adopted. Registered at its first wait for both directions, for its life; what it is
//!   ready for is remembered here, so a wait makes no system call. While a level watcher is active on it, it is
//!   watched by level too; going back to edge re-arms it, so that no change is lost between.

use crate::backend::{Applied, Change, EDGE, READ, Report, WRITE, is_open};
use crate::kinds::Kind;
use crate::slab::{ACTIVE, NONE, ONE_SHOT, mask};
use crate::{Error, Events, Key, Loop, Result};

/// Something changed since the kernel was last told; the fd is in the list of changes.
const CHANGED: u8 = 1;
/// The number may mean a new file: nothing known holds.
const FRESH: u8 = 2;
/// A socket, see the top.
const ADOPTED: u8 = 4;
/// Cannot be watched because it never blocks (LV-IO9).
const ALWAYS: u8 = 8;

/// One of the loop's own (`internal`).
const INTERNAL: u8 = 16;

/// In the events of an io entry: it watches the backend of another loop, and is told EMBED instead of READ (LV-E1).
pub(crate) const EMBED_BIT: u8 = 0x80;

#[derive(Copy, Clone)]
pub(crate) struct Slot {
    /// The latest of what watches this fd.
    pub(crate) head: u32,
    generation: u32,
    /// What the loop last asked for, and what the kernel has: interests of the backend's contract.
    wanted: u8,
    kernel: u8,
    flags: u8,
    /// READ and WRITE, for adopted sockets.
    ready: u8,
}

/// The array grows up to this without a question; a larger number must be that of an open file first.
const UNCHECKED: usize = 1 << 16;

const EMPTY: Slot = Slot {
    head: NONE,
    generation: 0,
    wanted: 0,
    kernel: 0,
    flags: 0,
    ready: READ | WRITE,
};

#[derive(Default)]
pub(crate) struct Fds {
    slots: Vec<Slot>,
    /// fds with CHANGED, each once.
    changes: Vec<i32>,
    /// fds with ALWAYS that are wanted.
    always: Vec<i32>,
    /// The backend is not to be trusted any more: begin anew (LV-L15).
    pub(crate) suspicious: bool,
}

impl Fds {
    fn slot(&mut self, fd: i32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(fd).ok()?)
    }

    fn get(&self, fd: i32) -> Option<&Slot> {
        self.slots.get(usize::try_from(fd).ok()?)
    }

    fn slot_or_new(&mut self, fd: i32) -> Result<&mut Slot> {
        let place = usize::try_from(fd).map_err(|_| Error::NegativeFd(fd))?;
        if place >= self.slots.len() {
            if place >= UNCHECKED && !is_open(fd) {
                return Err(Error::System(libc::EBADF));
            }
            self.slots.resize((place + 1).next_power_of_two().max(64), EMPTY);
        }
        Ok(&mut self.slots[place])
    }

    fn mark_changed(&mut self, fd: i32, also: u8) {
        let Some(slot) = self.slot(fd) else { return };
        let known = slot.flags & CHANGED != 0;
        slot.flags |= CHANGED | also;
        if !known {
            self.changes.push(fd);
        }
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(crate) fn has_always(&self) -> bool {
        !self.always.is_empty()
    }
}

impl<T: Copy> Loop<T> {
    // ---- one-shot waits and sockets: public

    /// Waits once for an fd, with priority 0. If it is a socket that is ready as far as is known, the event is pending
    /// at once. Fails with the system's error if the fd cannot be watched.
    pub fn wait_io(&mut self, fd: i32, events: Events, data: T) -> Result<Key> {
        let wanted = mask(events);
        if wanted == 0 || events.bits() > 3 {
            return Err(Error::IllegalEvents(events.bits()));
        }
        let slot = self.fds.slot_or_new(fd)?;
        let adopted = slot.flags & ADOPTED != 0;
        let ready = if adopted { slot.ready & wanted } else { 0 };
        let kind = Kind::Io {
            fd,
            events: wanted,
            fresh: false,
            next: NONE,
            previous: NONE,
        };
        if ready != 0 {
            let index = self.slab.insert(kind, ONE_SHOT, 0, data);
            self.feed_index(index, Events::from_bits(ready.into()));
            return Ok(self.slab.key(index));
        }
        let registered = adopted && slot.kernel & EDGE != 0 && slot.flags & FRESH == 0;
        let index = self.slab.insert(kind, ONE_SHOT | ACTIVE, 0, data);
        self.active += 1;
        self.link_io(index);
        if !registered {
            if !adopted {
                self.fds.slot_or_new(fd)?.flags |= FRESH;
            }
            if let Err(errno) = self.sync_fd(fd) {
                self.unlink_io(index);
                self.active -= 1;
                self.slab.remove(index);
                self.note_less(fd);
                return Err(Error::System(errno));
            }
        }
        Ok(self.slab.key(index))
    }

    /// Makes an fd a socket of this loop (see the module's text): to be called once after it was opened.
    pub fn adopt(&mut self, fd: i32) -> Result<()> {
        let slot = self.fds.slot_or_new(fd)?;
        slot.flags = slot.flags & !ALWAYS | ADOPTED | FRESH;
        slot.ready = READ | WRITE;
        Ok(())
    }

    /// The fd is about to be closed: the kernel's registration ends here, and so do the one-shot waits that have not
    /// come due; their payloads are returned. Watchers stay (`closing_fd` feeds them).
    pub fn forget(&mut self, fd: i32) -> Vec<T> {
        let mut waited = Vec::new();
        let Some(&slot) = self.fds.get(fd) else { return waited };
        let mut next = slot.head;
        while next != NONE {
            let index = next;
            let entry = &self.slab[index];
            next = if let Kind::Io { next, .. } = entry.kind {
                next
            } else {
                NONE
            };
            if entry.has(ONE_SHOT) {
                waited.extend(self.cancel_index(index));
            }
        }
        self.notice_fork();
        if slot.kernel != 0 && !self.forked {
            // A failure means that it was closed already. Should a duplicate keep the registration alive, its reports
            // will carry an old generation.
            self.backend.narrow(fd, 0, slot.generation);
        }
        if let Some(slot) = self.fds.slot(fd) {
            *slot = Slot {
                kernel: 0,
                wanted: 0,
                ready: READ | WRITE,
                ..*slot
            };
            slot.flags &= !(ADOPTED | ALWAYS);
            slot.generation = slot.generation.wrapping_add(1);
            if slot.head != NONE {
                self.fds.mark_changed(fd, FRESH);
            }
        }
        waited
    }

    /// What a socket is ready for as far as is known; both directions for an fd that was not adopted.
    pub fn readiness(&self, fd: i32) -> Events {
        let ready = match self.fds.get(fd) {
            Some(slot) if slot.flags & ADOPTED != 0 => slot.ready,
            _ => READ | WRITE,
        };
        Events::from_bits(ready.into())
    }

    /// The system said EAGAIN. What changed before and was not told yet makes it ready again when it is told.
    pub fn mark_unready(&mut self, fd: i32, events: Events) {
        if let Some(slot) = self.fds.slot(fd)
            && slot.flags & (ADOPTED | ALWAYS) == ADOPTED
        {
            slot.ready &= !mask(events);
        }
    }

    /// Feeds every started watcher and wait on an fd that wants any of `events` (LV-R25).
    pub fn feed_fd(&mut self, fd: i32, events: Events) {
        self.deliver_fd(fd, mask(events), events);
    }

    /// The fd is about to be closed: feeds every event to whoever watches it (GV-20); whether there was anybody.
    pub fn closing_fd(&mut self, fd: i32) -> bool {
        let before = self.pending.count();
        self.deliver_fd(fd, READ | WRITE, Events::from_bits(0xffff));
        self.pending.count() > before
    }

    // ---- the list of what watches an fd

    pub(crate) fn link_io(&mut self, index: u32) {
        let Kind::Io { fd, .. } = self.slab[index].kind else {
            return;
        };
        let Some(slot) = self.fds.slot(fd) else { return };
        let head = std::mem::replace(&mut slot.head, index);
        if let Kind::Io { next, previous, .. } = &mut self.slab[index].kind {
            (*next, *previous) = (head, NONE);
        }
        if head != NONE
            && let Kind::Io { previous, .. } = &mut self.slab[head].kind
        {
            *previous = index;
        }
    }

    pub(crate) fn unlink_io(&mut self, index: u32) {
        let Kind::Io { fd, next, previous, .. } = self.slab[index].kind else {
            return;
        };
        if previous == NONE {
            if let Some(slot) = self.fds.slot(fd) {
                slot.head = next;
            }
        } else if let Kind::Io { next: after, .. } = &mut self.slab[previous].kind {
            *after = next;
        }
        if next != NONE
            && let Kind::Io { previous: before, .. } = &mut self.slab[next].kind
        {
            *before = previous;
        }
    }

    /// Starts an io watcher (not a wait).
    pub(crate) fn start_io(&mut self, index: u32) -> Result<()> {
        let Kind::Io { fd, ref mut fresh, .. } = self.slab[index].kind else {
            return Err(Error::WrongKind);
        };
        let also = if std::mem::replace(fresh, false) { FRESH } else { 0 };
        self.fds.slot_or_new(fd)?;
        self.link_io(index);
        self.fds.mark_changed(fd, also);
        Ok(())
    }

    /// Takes a watcher or wait off its fd.
    pub(crate) fn stop_io(&mut self, index: u32) {
        let Kind::Io { fd, .. } = self.slab[index].kind else {
            return;
        };
        self.unlink_io(index);
        self.note_less(fd);
    }

    /// Somebody wants less of this fd: the kernel may have to know, unless it is a socket watched by edge.
    fn note_less(&mut self, fd: i32) {
        if self.fds.get(fd).is_some_and(|slot| slot.kernel & EDGE == 0) {
            self.fds.mark_changed(fd, 0);
        }
    }

    /// What an active io watcher wants changes (libev's ev_io_modify): no new file is supposed.
    pub(crate) fn note_change(&mut self, fd: i32) {
        self.fds.mark_changed(fd, 0);
    }

    /// Starts or stops watching one of the loop's own.
    pub(crate) fn watch_internal(&mut self, fd: i32, on: bool) {
        if let Ok(slot) = self.fds.slot_or_new(fd) {
            slot.flags = if on {
                slot.flags | INTERNAL
            } else {
                slot.flags & !INTERNAL
            };
            self.fds.mark_changed(fd, if on { FRESH } else { 0 });
        }
    }

    // ---- telling the kernel

    /// Tells the backend all that changed (LV-D4).
    pub(crate) fn sync_changes(&mut self) {
        if self.fds.changes.is_empty() {
            return;
        }
        let mut changes = std::mem::take(&mut self.fds.changes);
        for &fd in &changes {
            if let Some(slot) = self.fds.slot(fd) {
                slot.flags &= !CHANGED;
            }
            if self.sync_fd(fd).is_err() {
                self.kill_fd(fd);
            }
        }
        changes.clear();
        if self.fds.changes.is_empty() {
            self.fds.changes = changes;
        }
    }

    /// Makes the kernel's interest in one fd what is wanted now.
    fn sync_fd(&mut self, fd: i32) -> std::result::Result<(), i32> {
        self.notice_fork();
        if self.forked {
            // The backend is still the parent's; what is to be watched is told to the one to come.
            self.fds.mark_changed(fd, FRESH);
            return Ok(());
        }
        let wanted = self.wanted_interest(fd);
        let Some(slot) = self.fds.slot(fd) else { return Ok(()) };
        let before = std::mem::replace(&mut slot.wanted, wanted);
        let fresh = slot.flags & FRESH != 0;
        if wanted == before && !fresh {
            return Ok(());
        }
        let kernel = if fresh && slot.flags & ADOPTED != 0 {
            0
        } else {
            slot.kernel
        };
        let change = Change {
            before,
            kernel,
            wanted,
            generation: slot.generation,
        };
        let applied = self.backend.change(fd, change);
        let Some(slot) = self.fds.slot(fd) else { return Ok(()) };
        if wanted != 0 {
            slot.flags &= !FRESH;
        }
        match applied {
            Ok(Applied {
                kernel,
                generation,
                always_ready,
            }) => {
                slot.kernel = kernel;
                slot.generation = generation;
                if wanted != 0 {
                    slot.flags = slot.flags & !ALWAYS | if always_ready { ALWAYS } else { 0 };
                    if always_ready && !self.fds.always.contains(&fd) {
                        self.fds.always.push(fd);
                    }
                }
                Ok(())
            }
            Err(errno) => {
                (slot.kernel, slot.wanted) = (0, 0);
                slot.flags |= FRESH;
                Err(errno)
            }
        }
    }

    /// The interest that the fd's watchers and waits come to.
    fn wanted_interest(&self, fd: i32) -> u8 {
        let Some(slot) = self.fds.get(fd) else { return 0 };
        let adopted = slot.flags & ADOPTED != 0 && self.backend.has_edges();
        let (mut level, mut waits) = (0, 0);
        let mut next = slot.head;
        while next != NONE {
            let entry = &self.slab[next];
            let Kind::Io {
                events, next: after, ..
            } = entry.kind
            else {
                break;
            };
            *(if adopted && entry.has(ONE_SHOT) {
                &mut waits
            } else {
                &mut level
            }) |= events;
            next = after;
        }
        if slot.flags & INTERNAL != 0 {
            level |= READ;
        }
        if !adopted || level != 0 {
            return (level | waits) & (READ | WRITE);
        }
        if waits != 0 || slot.kernel != 0 && slot.flags & FRESH == 0 {
            EDGE | READ | WRITE
        } else {
            0
        }
    }

    /// The fd cannot be watched: everything on it stops and is told so (LV-IO10, LV-W09).
    fn kill_fd(&mut self, fd: i32) {
        if self.fds.get(fd).is_some_and(|slot| slot.flags & INTERNAL != 0) {
            return self.internal_event(fd);
        }
        while let Some(slot) = self.fds.get(fd)
            && slot.head != NONE
        {
            let index = slot.head;
            if self.slab[index].has(ONE_SHOT) {
                self.finish_wait_io(index);
            } else {
                self.stop_index(index);
            }
            self.feed_index(index, Events::ERROR | Events::READ_WRITE);
        }
    }

    // ---- what the kernel tells

    /// One report of the backend.
    pub(crate) fn absorb_report(&mut self, report: Report) {
        let Report {
            fd,
            generation,
            events,
            plain,
            invalid,
        } = report;
        let Some(slot) = self.fds.slot(fd) else { return };
        if slot.generation != generation {
            self.fds.suspicious = true;
            return;
        }
        if invalid {
            return self.kill_fd(fd);
        }
        slot.ready |= events;
        let (wanted, flags, kernel) = (slot.wanted, slot.flags, slot.kernel);
        if kernel & EDGE != 0 {
            return self.deliver_fd(fd, events, Events::from_bits(events.into()));
        }
        if flags & CHANGED != 0 {
            return;
        }
        if wanted == 0 || plain & !wanted != 0 {
            slot.kernel = wanted;
            if !self.backend.narrow(fd, wanted, generation) {
                self.fds.suspicious = true;
                return;
            }
        }
        if flags & INTERNAL != 0 {
            return self.internal_event(fd);
        }
        self.deliver_fd(fd, events & wanted, Events::from_bits(events.into()));
    }

    /// Feeds whoever is on the fd and wants any of `selected` with as much of `revents`. The latest is fed first, so
    /// that the earliest runs first (LV-Q07).
    fn deliver_fd(&mut self, fd: i32, selected: u8, revents: Events) {
        let Some(slot) = self.fds.get(fd) else { return };
        let mut next = slot.head;
        let mut ended = false;
        while next != NONE {
            let index = next;
            let entry = &self.slab[index];
            let Kind::Io {
                events, next: after, ..
            } = entry.kind
            else {
                break;
            };
            let one_shot = entry.has(ONE_SHOT);
            next = after;
            if events & selected == 0 {
                continue;
            }
            if one_shot {
                self.unlink_io(index);
                self.end_wait(index);
                ended = true;
            }
            let told = if events & EMBED_BIT != 0 {
                Events::EMBED
            } else {
                Events::from_bits(revents.bits() & !3 | revents.bits() & u32::from(events))
            };
            self.feed_index(index, told);
        }
        if ended {
            self.note_less(fd);
        }
    }

    /// Takes a wait off its fd because it comes due.
    fn finish_wait_io(&mut self, index: u32) {
        self.stop_io(index);
        self.end_wait(index);
    }

    /// Feeds the fds that are always ready.
    pub(crate) fn feed_always(&mut self) {
        if self.fds.always.is_empty() {
            return;
        }
        let mut always = std::mem::take(&mut self.fds.always);
        always.retain(|&fd| {
            let wanted = match self.fds.get(fd) {
                Some(slot) if slot.flags & ALWAYS != 0 => slot.wanted & (READ | WRITE),
                _ => 0,
            };
            if wanted != 0 {
                self.deliver_fd(fd, wanted, Events::from_bits(wanted.into()));
            }
            wanted != 0
        });
        self.fds.always = always;
    }

    /// The kernel knows nothing any more (a fork, or a suspicion): everything is told again (LV-B13).
    pub(crate) fn rearm_all(&mut self) {
        for place in 0..self.fds.slots.len() {
            let slot = &mut self.fds.slots[place];
            if slot.kernel == 0 && slot.head == NONE && slot.flags == 0 {
                continue;
            }
            (slot.kernel, slot.wanted) = (0, 0);
            let watched = slot.head != NONE || slot.flags & INTERNAL != 0;
            if watched || slot.flags & ADOPTED != 0 {
                slot.flags |= FRESH;
            }
            if watched {
                self.fds.mark_changed(place as i32, FRESH);
            }
        }
        self.fds.suspicious = false;
    }

    /// Checks what must always hold of the fds (LV-R20).
    pub(crate) fn verify_fds(&self) -> std::result::Result<(), String> {
        for (fd, slot) in self.fds.slots.iter().enumerate() {
            let listed = self.fds.changes.iter().filter(|&&change| change as usize == fd).count();
            if listed != usize::from(slot.flags & CHANGED != 0) {
                return Err(format!(
                    "fd {fd}: listed {listed} times as changed, flags {:#x}",
                    slot.flags
                ));
            }
            let (mut next, mut before) = (slot.head, NONE);
            while next != NONE {
                let entry = &self.slab[next];
                let Kind::Io {
                    fd: named,
                    next: after,
                    previous,
                    ..
                } = entry.kind
                else {
                    return Err(format!("fd {fd}: entry {next} in its list is not io"));
                };
                if named as usize != fd || previous != before || !entry.has(ACTIVE) {
                    return Err(format!(
                        "fd {fd}: entry {next} in its list is for {named}, after {previous}"
                    ));
                }
                (before, next) = (next, after);
            }
        }
        Ok(())
    }
}
