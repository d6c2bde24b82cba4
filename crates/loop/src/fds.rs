//! File descriptors: an array indexed by fd, what is wanted for each, and what the kernel was told (LV-D3, LV-D4).
//!
//! An fd is in one of two ways of being watched:
//!
//! * **level**: ordinary watchers and waits. The union of what they want is told to the kernel before the next poll,
//!   once however often it changed in between (LV-IO4), and wanting nothing any more is not told at all (LV-IO5).
//! * **edge**: a socket that was adopted. Registered at its first wait for both directions, for its life; what it is
//!   ready for is remembered here, so a wait makes no system call. While a level watcher is active on it, it is
//!   watched by level too; going back to edge re-arms it, so that no change is lost between.

use crate::backend::{Applied, Change, EDGE, READ, WRITE, is_open};
use crate::kinds::Kind;
use crate::slab::{ACTIVE, NONE, ONE_SHOT};
use crate::{Error, Loop, Result};

/// Something changed since the kernel was last told; the fd is in the list of changes.
pub(crate) const CHANGED: u8 = 1;
/// The number may mean a new file: nothing known holds.
pub(crate) const FRESH: u8 = 2;
/// A socket, see the top.
pub(crate) const ADOPTED: u8 = 4;
/// Cannot be watched because it never blocks (LV-IO9).
pub(crate) const ALWAYS: u8 = 8;

/// One of the loop's own (`internal`).
pub(crate) const INTERNAL: u8 = 16;

/// In `Slot::ready`: reading never blocks again.
pub(crate) const ENDED: u8 = 4;

/// In `Slot::ready`: a read may end early and leave something behind, because urgent data or an error came.
pub(crate) const UNSURE: u8 = 8;

/// In the events of an io entry: it watches the backend of another loop, and is told EMBED instead of READ (LV-E1).
pub(crate) const EMBED_BIT: u8 = 0x80;

#[derive(Copy, Clone)]
pub(crate) struct Slot {
    /// The latest of what watches this fd.
    pub(crate) head: u32,
    pub(crate) generation: u32,
    /// What the loop last asked for, and what the kernel has: interests of the backend's contract.
    pub(crate) wanted: u8,
    pub(crate) kernel: u8,
    pub(crate) flags: u8,
    /// READ, WRITE, ENDED and UNSURE, for adopted sockets.
    pub(crate) ready: u8,
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
    pub(crate) slots: Vec<Slot>,
    /// fds with CHANGED, each once.
    pub(crate) changes: Vec<i32>,
    /// Some fd is, or has been, watched by edge.
    pub(crate) has_edges: bool,
    /// fds with ALWAYS that are wanted.
    pub(crate) always: Vec<i32>,
    /// The backend is not to be trusted any more: begin anew (LV-L15).
    pub(crate) suspicious: bool,
}

impl Fds {
    #[inline]
    pub(crate) fn slot(&mut self, fd: i32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(fd).ok()?)
    }

    #[inline]
    pub(crate) fn get(&self, fd: i32) -> Option<&Slot> {
        self.slots.get(usize::try_from(fd).ok()?)
    }

    #[inline]
    pub(crate) fn slot_or_new(&mut self, fd: i32) -> Result<&mut Slot> {
        let place = usize::try_from(fd).map_err(|_| Error::NegativeFd(fd))?;
        if place >= self.slots.len() {
            self.grow(fd, place)?;
        }
        Ok(&mut self.slots[place])
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, fd: i32, place: usize) -> Result<()> {
        if place >= UNCHECKED && !is_open(fd) {
            return Err(Error::System(libc::EBADF));
        }
        self.slots.resize((place + 1).next_power_of_two().max(64), EMPTY);
        Ok(())
    }

    #[inline]
    pub(crate) fn mark_changed(&mut self, fd: i32, also: u8) {
        if let Ok(place) = usize::try_from(fd)
            && let Some(slot) = self.slots.get_mut(place)
        {
            Fds::mark(&mut self.changes, slot, fd, also);
        }
    }

    /// As `mark_changed`, for who has the slot at hand.
    #[inline]
    pub(crate) fn mark(changes: &mut Vec<i32>, slot: &mut Slot, fd: i32, also: u8) {
        let flags = slot.flags;
        slot.flags = flags | CHANGED | also;
        if flags & CHANGED == 0 {
            changes.push(fd);
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
    // ---- the list of what watches an fd

    #[inline]
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

    #[inline]
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
    #[inline]
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
    #[inline]
    pub(crate) fn stop_io(&mut self, index: u32) {
        let Kind::Io { fd, .. } = self.slab[index].kind else {
            return;
        };
        self.unlink_io(index);
        self.note_less(fd);
    }

    /// Somebody wants less of this fd: the kernel may have to know, unless it is a socket watched by edge.
    #[inline]
    pub(crate) fn note_less(&mut self, fd: i32) {
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
                // The usual case, in which the kernel need not be told: what was stopped was started again.
                let wanted = slot.wanted;
                if slot.flags & (FRESH | ADOPTED | INTERNAL) == 0
                    && slot.head != NONE
                    && let Kind::Io { events, next: NONE, .. } = self.slab[slot.head].kind
                    && events & (READ | WRITE) == wanted
                {
                    continue;
                }
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
    pub(crate) fn sync_fd(&mut self, fd: i32) -> std::result::Result<(), i32> {
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
        self.fds.has_edges |= wanted & EDGE != 0;
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
