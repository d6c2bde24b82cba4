//! What the backend reports about file descriptors, and how it gets to those who wait for it.

use crate::backend::{EDGE, READ, Report, WRITE};
use crate::fds::{ADOPTED, ALWAYS, CHANGED, EMBED_BIT, ENDED, FRESH, INTERNAL, UNSURE};
use crate::kinds::Kind;
use crate::slab::{NONE, ONE_SHOT, mask};
use crate::{Events, Loop};

impl<T: Copy> Loop<T> {
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

    /// One report of the backend.
    #[inline]
    pub(crate) fn absorb_report(&mut self, report: Report) {
        let Report {
            fd,
            generation,
            events,
            plain,
            ended,
            unsure,
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
        slot.ready |= events | if ended { ENDED } else { 0 } | if unsure { UNSURE } else { 0 };
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

    /// The fd cannot be watched: everything on it stops and is told so (LV-IO10, LV-W09).
    pub(crate) fn kill_fd(&mut self, fd: i32) {
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
}
