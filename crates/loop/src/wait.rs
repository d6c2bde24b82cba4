//! A wait of the loop as a thing of its own: it can be carried to where the operating system blocks (without the
//! interpreter's lock, say) while nothing of the loop is borrowed.

use crate::backend::{SignalMask, Sleeper};

/// What the operating system is to wait for. Owned and `Send`.
pub struct Wait {
    /// True in the second stage of a guarded wait (`Loop::set_guard_signals`): call `mask_signals`, then run the check
    /// for signals, then `block`.
    pub masked: bool,
    /// It goes on with a wait of which a part has brought nothing.
    pub again: bool,
    pub(crate) shortened: bool,
    pub(crate) sleeper: Sleeper,
    pub(crate) timeout_ns: Option<i64>,
    /// Sleep this long before looking at all (LV-R18).
    pub(crate) pause_ns: i64,
    /// The monotonic time until which the loop has nothing to do by itself.
    pub(crate) until_ns: i64,
    /// What `look` has brought.
    pub(crate) found: Option<std::result::Result<(), i32>>,
    /// Boxed because it is large and rare.
    pub(crate) mask: Option<Box<SignalMask>>,
}

impl Wait {
    /// Blocks every signal in the calling thread, until `block` returns or this is dropped. While `block` waits, the
    /// thread's former mask holds: a signal that came since ends the wait at once.
    pub fn mask_signals(&mut self) {
        if self.mask.is_none() {
            self.mask = Some(Box::new(SignalMask::block_all()));
        }
    }

    /// How long it will wait at most, in nanoseconds; None: for ever.
    pub fn timeout_ns(&self) -> Option<i64> {
        self.timeout_ns
    }

    /// Makes it a part of itself that is no longer than this: when nothing has happened by then, the loop hands out the rest, as if nobody
    /// had looked. For a caller who wants to do something of its own meanwhile.
    pub fn shorten(&mut self, limit_ns: i64) {
        if self.timeout_ns.is_none_or(|timeout_ns| timeout_ns > limit_ns) {
            self.timeout_ns = Some(limit_ns.max(0));
            self.shortened = true;
        }
    }

    /// Asks the system once, without waiting: whether something has come, so that `block` will return at once with it.
    pub fn look(&mut self) -> bool {
        if self.pause_ns == 0 && self.mask.is_none() && self.found.is_none() {
            let outcome = self.sleeper.wait(Some(0), None);
            if outcome.is_err() || self.sleeper.len() > 0 {
                self.found = Some(outcome);
            }
        }
        self.found.is_some()
    }

    /// So much of its time has gone by with looking.
    pub fn spend(&mut self, spent_ns: i64) {
        if let Some(timeout_ns) = &mut self.timeout_ns {
            *timeout_ns = timeout_ns.saturating_sub(spent_ns).max(0);
        }
    }

    /// Waits. To be called in the thread of the loop (the mask is the thread's).
    pub fn block(mut self) -> Woken {
        if self.pause_ns > 0 {
            std::thread::sleep(std::time::Duration::from_nanos(self.pause_ns as u64));
        }
        let outcome = match self.found {
            Some(found) => found,
            None => self.sleeper.wait(self.timeout_ns, self.mask.as_deref()),
        };
        Woken {
            sleeper: self.sleeper,
            errno: outcome.err(),
            shortened: self.shortened,
        }
    }
}

/// What a `Wait` brought back; for `Loop::absorb`.
#[must_use = "what the system told is lost unless Loop::absorb takes it in"]
pub struct Woken {
    pub(crate) sleeper: Sleeper,
    pub(crate) errno: Option<i32>,
    pub(crate) shortened: bool,
}

impl Woken {
    /// How many reports there are.
    pub fn count(&self) -> usize {
        self.sleeper.len()
    }

    /// Whether a signal handler ran in this thread and ended the wait.
    pub fn interrupted(&self) -> bool {
        self.errno == Some(libc::EINTR)
    }
}
