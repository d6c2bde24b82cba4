//! The invariants, said as a check (LV-R20): for tests and for whoever suspects us.

use crate::Loop;
use crate::kinds::{Group, Kind};
use crate::pending::level;
use crate::slab::{ACTIVE, ONE_SHOT, UNCOUNTED};

impl<T: Copy> Loop<T> {
    /// Checks everything that must always hold; says what does not.
    pub fn verify(&self) -> Result<(), String> {
        self.timers.verify()?;
        self.periodics.verify()?;
        self.verify_fds()?;
        let (mut pending, mut timers) = (0, 0);
        for (index, entry) in self.slab.iter() {
            if entry.pending != 0 {
                pending += 1;
                if self.pending.at(level(entry.priority), entry.pending) != Some(index) {
                    return Err(format!("entry {index} is not where it is pending"));
                }
            }
            if entry.has(ONE_SHOT) && entry.has(ACTIVE) == (entry.pending != 0) {
                return Err(format!("wait {index} must be either active or pending"));
            }
            match &entry.kind {
                Kind::Timer { .. } => {
                    timers += usize::from(entry.has(ACTIVE));
                    if self.timers.at(index).is_some() != entry.has(ACTIVE) {
                        return Err(format!("timer {index}: active, and in the heap, do not agree"));
                    }
                }
                Kind::Io { .. } | Kind::Stat(_) => timers += usize::from(self.timers.at(index).is_some()),
                Kind::Periodic(_) if self.periodics.at(index).is_some() != entry.has(ACTIVE) => {
                    return Err(format!("periodic {index}: active, and in the heap, do not agree"));
                }
                Kind::Grouped { group, position } if entry.has(ACTIVE) => {
                    let list = match group {
                        Group::Prepare => &self.groups.prepare,
                        Group::Check => &self.groups.check,
                        Group::Fork => &self.groups.fork,
                        Group::Cleanup => &self.groups.cleanup,
                        Group::Async => &self.groups.asyncs,
                        Group::Idle => &self.groups.idle[level(entry.priority)],
                    };
                    if list.get(*position as usize) != Some(&index) {
                        return Err(format!("watcher {index} is not in its group"));
                    }
                }
                _ => {}
            }
        }
        if pending != self.pending.count() || timers != self.timers.len() {
            return Err(format!(
                "{pending} entries pending and {timers} timers, but the tables differ"
            ));
        }
        Ok(())
    }

    /// What the counted, active entries come to; `active_count` differs from it by `ref_` and `unref` alone.
    pub fn counted(&self) -> i64 {
        let counts = |entry: &crate::slab::Entry<T>| entry.has(ACTIVE) && !entry.has(UNCOUNTED);
        self.slab.iter().filter(|(_, entry)| counts(entry)).count() as i64 + self.soon.len() as i64
    }
}
