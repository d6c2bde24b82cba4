//! Children: by a pidfd each, so that children nobody watches stay waitable (DD-07), and by SIGCHLD where that cannot
//! be: for pid 0 (any child: libev's way, which reaps all), for stops and continuations, and when there is no pidfd.
//!
//! One child at a time: its watchers run before the next is asked for (LV-CH4), which a mark in the queue sees to.

use std::collections::BTreeMap;

use rustix::process::{Pid, WaitOptions};

use crate::backend::system::{Process, watch_process};
use crate::internal::Internal;
use crate::kinds::Kind;
use crate::pending::{CHILD_MARK, level};
use crate::slab::ACTIVE;
use crate::{Error, Events, Key, Loop, MAX_PRIORITY, Result};

/// How the end of a child comes to be known.
#[derive(Copy, Clone, Default, PartialEq, Eq)]
enum Via {
    /// Not at all: inactive, or there is no such process, or it is a child of the process that forked us.
    #[default]
    Nothing,
    Pidfd(i32),
    Sigchld,
}

/// The active child watchers by pid, in the order they were started.
pub(crate) type Children = BTreeMap<i32, Vec<u32>>;

/// What a child watcher remembers.
#[derive(Default)]
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) trace: bool,
    via: Via,
    reported_pid: i32,
    status: i32,
}

impl Child {
    pub(crate) fn new(pid: i32, trace: bool) -> Child {
        Child {
            pid,
            trace,
            ..Child::default()
        }
    }
}

impl<T: Copy> Loop<T> {
    /// Which child a watcher was told of last, and its wait status as waitpid gives it; (0, 0) before.
    pub fn child_status(&self, key: Key) -> Result<(i32, i32)> {
        match &self.slab[self.watcher(key)?].kind {
            Kind::Child(child) => Ok((child.reported_pid, child.status)),
            _ => Err(Error::WrongKind),
        }
    }

    pub(crate) fn start_child(&mut self, index: u32) -> Result<()> {
        let Kind::Child(child) = &self.slab[index].kind else {
            return Err(Error::WrongKind);
        };
        let (pid, trace) = (child.pid, child.trace);
        let via = match usable(pid) {
            // Groups are not watched: no child will ever have this number.
            None if pid < 0 => Via::Nothing,
            Some(pid) if !trace => match watch_process(pid) {
                Process::Watched(pidfd) => Via::Pidfd(self.add_internal(Internal::Child(pidfd, index))),
                Process::Missing => Via::Nothing,
                Process::Unwatchable => Via::Sigchld,
            },
            _ => Via::Sigchld,
        };
        if via == Via::Sigchld {
            self.claim_sigchld()?;
            // It may have ended already, and the signal have come before we listened (LV-CH6).
            self.pending.push_mark(level(MAX_PRIORITY), CHILD_MARK);
        }
        if let Kind::Child(child) = &mut self.slab[index].kind {
            child.via = via;
        }
        self.children.entry(pid).or_default().push(index);
        Ok(())
    }

    pub(crate) fn stop_child(&mut self, index: u32) {
        let Kind::Child(child) = &mut self.slab[index].kind else {
            return;
        };
        let (pid, via) = (child.pid, std::mem::take(&mut child.via));
        if let Some(same) = self.children.get_mut(&pid) {
            same.retain(|&other| other != index);
            if same.is_empty() {
                self.children.remove(&pid);
            }
        }
        match via {
            Via::Pidfd(fd) => self.remove_internal(fd),
            Via::Sigchld => self.release_sigchld(),
            Via::Nothing => {}
        }
    }

    /// In a forked child: the parent's children are not ours.
    pub(crate) fn abandon_children(&mut self) {
        let all: Vec<u32> = self.children.values().flatten().copied().collect();
        for index in all {
            if let Kind::Child(child) = &mut self.slab[index].kind
                && let Via::Pidfd(fd) = child.via
            {
                child.via = Via::Nothing;
                self.remove_internal(fd);
            }
        }
    }

    /// A pidfd is readable.
    pub(crate) fn child_ended(&mut self, index: u32) {
        let Kind::Child(child) = &mut self.slab[index].kind else {
            return;
        };
        let pid = child.pid;
        let status = match usable(pid).map(|pid| rustix::process::waitpid(Some(pid), WaitOptions::NOHANG)) {
            Some(Ok(Some((_, status)))) => Some(status.as_raw()),
            Some(Ok(None)) => return,
            _ => None,
        };
        // It stays readable for ever: not to be watched any more, though the watcher stays active (LV-CH5).
        if let Kind::Child(child) = &mut self.slab[index].kind
            && let Via::Pidfd(fd) = child.via
        {
            self.watch_internal(fd, false);
        }
        match status {
            Some(status) => self.feed_children(pid, status, Events::CHILD),
            // Somebody else has waited for it: its status is lost, and that it ended is all we can say. Another of our
            // watchers of this child may have been told already, and this one with it.
            None => {
                if let Kind::Child(child) = &mut self.slab[index].kind
                    && child.reported_pid != pid
                {
                    (child.reported_pid, child.status) = (pid, 0);
                    self.feed_child(index, Events::CHILD | Events::ERROR);
                }
            }
        }
    }

    /// The mark was reached: one child, then the mark again (LV-CH3, LV-CH4).
    pub(crate) fn reap_one(&mut self) {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        let found = if self.children.contains_key(&0) {
            rustix::process::waitpid(None, options).ok().flatten()
        } else {
            let by_signal =
                |index: u32| matches!(&self.slab[index].kind, Kind::Child(child) if child.via == Via::Sigchld);
            let watched = self
                .children
                .iter()
                .filter(|(_, same)| same.iter().any(|&index| by_signal(index)));
            watched
                .filter_map(|(&pid, _)| usable(pid))
                .find_map(|pid| rustix::process::waitpid(Some(pid), options).ok().flatten())
        };
        if let Some((pid, status)) = found {
            self.pending.push_mark(level(MAX_PRIORITY), CHILD_MARK);
            self.feed_children(pid.as_raw_nonzero().get(), status.as_raw(), Events::CHILD);
        }
    }

    /// Tells the watchers of a child, those of any child last fed and so run first (LV-CH4).
    fn feed_children(&mut self, pid: i32, status: i32, events: Events) {
        // As the macros of waitpid have it: neither exited nor killed.
        let lives = status & 0xff == 0x7f || status == 0xffff;
        for wanted in [pid, 0] {
            let Some(same) = self.children.get(&wanted) else {
                continue;
            };
            for index in same.clone().into_iter().rev() {
                let Kind::Child(child) = &mut self.slab[index].kind else {
                    continue;
                };
                if child.trace || !lives {
                    (child.reported_pid, child.status) = (pid, status);
                    self.feed_child(index, events);
                }
            }
        }
    }

    /// At the highest priority: it is to be dealt with before the next child.
    fn feed_child(&mut self, index: u32, events: Events) {
        let entry = &mut self.slab[index];
        if entry.pending == 0 && entry.has(ACTIVE) {
            entry.priority = MAX_PRIORITY;
        }
        self.feed_index(index, events);
    }
}

/// The number of one process.
fn usable(pid: i32) -> Option<Pid> {
    if pid > 0 { Pid::from_raw(pid) } else { None }
}
