//! One-shot waits for file descriptors, and sockets that are registered once for their life (the ways of being watched
//! are explained in `fds`).

use crate::backend::{EDGE, READ, WRITE};
use crate::fds::{ADOPTED, ALWAYS, ENDED, FRESH, Slot, UNSURE};
use crate::kinds::Kind;
use crate::slab::{ACTIVE, NONE, ONE_SHOT, mask};
use crate::{Error, Events, Key, Loop, Result};

impl<T: Copy> Loop<T> {
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

    /// As `wait_io`, and if nothing comes within `after_ns` of the cached time, the event is TIMER instead (LV-R28). What
    /// comes in the same iteration as the time runs out wins over the time.
    pub fn wait_io_for(&mut self, fd: i32, events: Events, after_ns: i64, data: T) -> Result<Key> {
        let key = self.wait_io(fd, events, data)?;
        if self.is_active(key) {
            self.timers
                .push(key.index(), self.now.monotonic_ns.saturating_add(after_ns));
        }
        Ok(key)
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

    /// What a socket is ready for as far as is known; both directions for an fd that was not adopted. A direction that is
    /// not ready need not be tried: `wait_io` for it.
    pub fn readiness(&self, fd: i32) -> Events {
        let ready = match self.fds.get(fd) {
            Some(slot) if slot.flags & ADOPTED != 0 => slot.ready & (READ | WRITE),
            _ => READ | WRITE,
        };
        Events::from_bits(ready.into())
    }

    /// The system said EAGAIN. What changed before and was not told yet makes it ready again when it is told, and a stream
    /// whose peer has ended stays readable: its end is still to be read.
    pub fn mark_unready(&mut self, fd: i32, events: Events) {
        if let Some(slot) = self.fds.slot(fd)
            && slot.flags & (ADOPTED | ALWAYS) == ADOPTED
        {
            let kept = if slot.ready & ENDED != 0 { READ } else { 0 };
            slot.ready &= !(mask(events) & !kept);
        }
    }
    /// A TCP stream gave less than it was asked for: nothing is left, which saves asking once more. Not so once urgent
    /// data or an error came, because a read stops there: then only EAGAIN counts, and this does nothing.
    ///
    /// Nor is a short read a sign on a Unix socket (a message that carries descriptors ends a read early), or with
    /// MSG_PEEK (the data stays): this is not to be called there.
    pub fn mark_drained(&mut self, fd: i32) {
        if self.fds.get(fd).is_some_and(|slot| slot.ready & UNSURE == 0) {
            self.mark_unready(fd, Events::READ);
        }
    }
}
