//! The event loop and the scheduler: what runs next, pulled by the hub or by a greenlet that parks.
//!
//! ```text
//!   a greenlet parks ──► next_runnable() ──► another greenlet is ready: switch to it directly
//!                              │
//!                              └─ nothing, or something that must run Python code: switch to the hub
//!   the hub ──► drive(): next() ──► dispatch()   (also polls, with the GIL released)
//! ```
//!
//! The state of an iteration lives in the loop crate, not on the hub's stack, which is what lets a
//! parking greenlet take the next entry itself. An entry that it cannot run (`Place::Passing` must
//! not call Python code) is left in `handed`, at the front, for the hub.

mod ahead;
mod python;
mod switch_interval;

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pyo3::exceptions::PyException;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use verdigris_loop as engine;

use super::callback::CallbackObject;
use super::token::{NativeEntry, Outcome, Place, Token};
use super::{error, watcher};
use crate::greenlet::{self, PyGreenlet};
use crate::spin::{Pace, Spin};
use crate::tstate;

/// How often an error that interrupts the report of an error is reported in its turn.
const MOST_REPORTS: usize = 10;

/// An entry taken from the loop.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    Event { token: Token, revents: u32 },
    Soon(Token),
}

impl Entry {
    fn token(self) -> Token {
        match self {
            Entry::Event { token, .. } | Entry::Soon(token) => token,
        }
    }
}

/// An event loop: one per hub, bound to the thread that made it.
#[pyclass(name = "loop", module = "verdigris.core", subclass, frozen)]
pub(crate) struct LoopObject {
    engine: UnsafeCell<Option<engine::Loop<Token>>>,
    /// The way in for other threads; gone with the engine, because it holds a descriptor.
    remote: UnsafeCell<Option<engine::Remote<Token>>>,
    /// The thread that may touch `engine`.
    home: Cell<ThreadMark>,
    /// The entry that is next before all others: one that a parking greenlet had to leave to the hub.
    handed: Cell<Option<Entry>>,
    /// A reference that whoever runs next gives back: that of the greenlet that was resumed.
    deferred: Cell<Option<NonNull<ffi::PyObject>>>,
    /// Whom the hub has resumed last, as long as it has not ended in another way than through the hub.
    resumed: Cell<Option<Py<PyAny>>>,
    /// The greenlet that runs the loop, while it waits for the greenlet it has resumed and has nothing else under way.
    at_rest: Cell<*const PyGreenlet>,
    /// Whether the home thread is in the system's wait for events, with the GIL released.
    blocked: Cell<bool>,
    /// Whether it has released the GIL for that: for threads that do not hold it to see.
    gave_way: Arc<AtomicBool>,
    /// How many calls are under way in other threads that will be answered through this loop, and where it waits a moment for one.
    answers: Cell<usize>,
    answer: Spin,
    /// Where it waits a moment for what comes from outside.
    pace: Pace,
    is_default: bool,
    error_handler: UnsafeCell<Option<Py<PyAny>>>,
}

// SAFETY: everything but `remote` is touched with the GIL held and on the home thread alone;
// every method that another thread may call checks `is_home` first.
unsafe impl Send for LoopObject {}
// SAFETY: as above.
unsafe impl Sync for LoopObject {}

/// Tells threads apart by where the system keeps what is theirs: the thread pointer, in one instruction, where we know how to read it;
/// else the address of a thread-local, which takes a call in a shared library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadMark(usize);

impl ThreadMark {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[inline(always)]
    pub(crate) fn here() -> Self {
        let pointer;
        // SAFETY: the ABI has the thread pointer in the first word of the segment; it is read.
        unsafe {
            std::arch::asm!("mov {}, qword ptr fs:[0]", out(reg) pointer, options(nostack, preserves_flags, readonly));
        }
        ThreadMark(pointer)
    }

    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    #[inline(always)]
    pub(crate) fn here() -> Self {
        let pointer;
        // SAFETY: reads the register of the thread pointer.
        unsafe { std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem)) };
        ThreadMark(pointer)
    }

    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    #[inline]
    pub(crate) fn here() -> Self {
        thread_local!(static MARK: u8 = const { 0 });
        MARK.with(|mark| ThreadMark(std::ptr::from_ref(mark).addr()))
    }
}

impl LoopObject {
    pub(crate) fn create(py: Python<'_>, flags: engine::Flags, is_default: bool) -> PyResult<Self> {
        switch_interval::find(py)?;
        let mut engine = engine::Loop::new(flags).map_err(error::from_loop)?;
        // Only the main thread runs Python's signal handlers, so only its loop must not sleep through one.
        engine.set_guard_signals(is_default);
        engine.set_switch_interval(switch_interval::nanoseconds);
        Ok(Self {
            remote: UnsafeCell::new(Some(engine.remote())),
            engine: UnsafeCell::new(Some(engine)),
            home: Cell::new(ThreadMark::here()),
            handed: Cell::new(None),
            deferred: Cell::new(None),
            resumed: Cell::new(None),
            at_rest: Cell::new(std::ptr::null()),
            blocked: Cell::new(false),
            gave_way: Arc::default(),
            answers: Cell::new(0),
            answer: Spin::default(),
            pace: Pace::default(),
            is_default,
            error_handler: UnsafeCell::new(None),
        })
    }

    /// Whether the calling thread is the one that may touch this loop.
    #[inline]
    pub(crate) fn is_home(&self) -> bool {
        self.home.get() == ThreadMark::here()
    }

    /// The loop itself, for one short step. Never hold it over anything that may run Python code.
    #[inline]
    #[expect(
        clippy::mut_from_ref,
        reason = "single-threaded, and no caller keeps it over a switch"
    )]
    pub(crate) fn engine(&self) -> PyResult<&mut engine::Loop<Token>> {
        // SAFETY: the home thread is the only one that comes here, with the GIL held, and every
        // caller uses the reference for one step that calls no Python code, so no two are alive at once.
        unsafe { (*self.engine.get()).as_mut() }.ok_or_else(error::destroyed_loop)
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        // SAFETY: as in `engine`.
        unsafe { (*self.engine.get()).is_none() }
    }

    /// Puts an entry at the end of the run-soon queue, from any thread. The reference that the
    /// token owns goes with it.
    pub(crate) fn call_soon(&self, token: Token) -> PyResult<Option<engine::SoonKey>> {
        if self.is_home()
            && let Ok(engine) = self.engine()
        {
            return Ok(Some(engine.call_soon(token)));
        }
        // SAFETY: the GIL is held, and nothing is called that could destroy the loop.
        if let Some(remote) = unsafe { &*self.remote.get() } {
            remote.call_soon_threadsafe(token);
            return Ok(None);
        }
        // SAFETY: nobody has taken the token, which came with its reference.
        unsafe { token.release() };
        Err(error::destroyed_loop())
    }

    /// The way in for threads that do not hold the GIL; None when the loop has been destroyed.
    pub(crate) fn remote(&self) -> Option<engine::Remote<Token>> {
        // SAFETY: cloned in one step, with the GIL held.
        unsafe { (*self.remote.get()).clone() }
    }

    /// Another thread has been asked for something (`asked`), or has answered (or never will).
    pub(crate) fn count_answers(&self, asked: bool, count: usize) {
        let answers = self.answers.get();
        self.answers.set(if asked {
            answers + count
        } else {
            answers.saturating_sub(count)
        });
    }

    /// A listener, or a socket for datagrams, has brought a peer (see [`Pace`]).
    pub(crate) fn note_peer(&self) {
        self.pace.note_peer();
    }

    /// Whether the home thread has released the GIL to sleep, as a thread without the GIL may look at it.
    pub(crate) fn gave_way(&self) -> Arc<AtomicBool> {
        self.gave_way.clone()
    }

    /// Puts a native entry at the end of the run-soon queue, from any thread.
    pub(crate) fn call_native_soon(
        &self,
        run: NativeEntry,
        object: &Bound<'_, PyAny>,
    ) -> PyResult<Option<engine::SoonKey>> {
        let owned = NonNull::new(object.clone().into_ptr()).expect("a Bound is never null");
        self.call_soon(Token::Native { run, object: owned })
    }

    /// The next greenlet that can be resumed from here without the hub; the caller owns the reference.
    ///
    /// # Safety
    /// On the home thread, with the GIL held.
    #[inline]
    pub(crate) unsafe fn next_runnable(&self) -> Option<NonNull<PyGreenlet>> {
        loop {
            let entry = match self.handed.take() {
                Some(entry) => entry,
                None => self.try_next()?,
            };
            // SAFETY: the entry has just been taken out of the loop, so its reference is ours.
            match unsafe { self.resolve(entry, Place::Passing) } {
                Resolved::Resume(target) => return Some(target),
                Resolved::Nothing => {}
                Resolved::ForHub => return None,
            }
        }
    }

    #[inline]
    fn try_next(&self) -> Option<Entry> {
        let engine = self.engine().ok()?;
        match engine.try_next()? {
            engine::Ready::Event { data, revents, .. } => {
                ahead::look_ahead(engine);
                Some(Entry::Event {
                    token: data,
                    revents: revents.bits(),
                })
            }
            engine::Ready::Soon(data) => Some(Entry::Soon(data)),
        }
    }

    /// Finds out what an entry means, as far as that can be done at `place`.
    ///
    /// # Safety
    /// The entry's reference is the caller's to give, and the GIL is held.
    #[inline]
    unsafe fn resolve(&self, entry: Entry, place: Place) -> Resolved {
        match entry.token() {
            Token::Wake { greenlet, wait } => {
                // SAFETY: the token's reference keeps the greenlet alive.
                if unsafe { greenlet::slot(greenlet.as_ptr()) }.claim(wait) {
                    return Resolved::Resume(greenlet);
                }
                // SAFETY: the token was taken out of the loop.
                unsafe { entry.token().release() };
                Resolved::Nothing
            }
            Token::Native { run, object } => {
                // SAFETY: the entry's contract is the type's; the reference goes along.
                match unsafe { run(object, place) } {
                    Outcome::Done => Resolved::Nothing,
                    Outcome::Wake { greenlet, again } => {
                        if again {
                            self.hand(entry);
                        }
                        Resolved::Resume(greenlet)
                    }
                    Outcome::NeedsHub => {
                        self.hand(entry);
                        Resolved::ForHub
                    }
                }
            }
            Token::Callback(_) | Token::Watcher(_) => {
                self.hand(entry);
                Resolved::ForHub
            }
        }
    }

    /// Makes an entry the next one, before all that the loop has.
    #[inline]
    fn hand(&self, entry: Entry) {
        let before = self.handed.replace(Some(entry));
        debug_assert!(before.is_none(), "an entry that was handed over would be lost");
    }

    /// Switches to a greenlet that is due, and gives its reference back when somebody has landed.
    /// Returns what the switch returns: owned, or null with an exception set.
    ///
    /// # Safety
    /// `target`'s reference is the caller's; the GIL is held, on the home thread.
    #[inline]
    pub(crate) unsafe fn resume(&self, target: NonNull<PyGreenlet>) -> *mut ffi::PyObject {
        // SAFETY: the reference is the caller's.
        unsafe { self.defer_release(target) };
        // SAFETY: the target is alive: its reference is in `deferred`.
        let result = unsafe { greenlet::switch(target.as_ptr(), super::park::woken()) };
        // SAFETY: as above.
        unsafe { self.release_deferred() };
        result
    }

    /// Leaves the reference to a greenlet that is about to be switched to with whoever lands.
    ///
    /// # Safety
    /// As [`resume`](Self::resume).
    #[inline]
    pub(crate) unsafe fn defer_release(&self, target: NonNull<PyGreenlet>) {
        // SAFETY: at most one reference waits here: it is given back by whoever lands, in `resume` and in
        // the first step of a new greenlet.
        unsafe { self.release_deferred() };
        self.deferred.set(Some(target.cast()));
    }

    /// Gives back the reference of the greenlet that was resumed last.
    ///
    /// # Safety
    /// On the home thread, with the GIL held. May run any Python code, an exception that is set survives it.
    #[inline]
    pub(crate) unsafe fn release_deferred(&self) {
        if let Some(object) = self.deferred.take() {
            // SAFETY: the reference is owned by the cell it was taken from. When it is the last one,
            // the object's destruction saves and restores the exception that is set.
            unsafe { ffi::Py_DECREF(object.as_ptr()) }
        }
    }

    /// The running greenlet ends and does not come back through the hub, which may not run again for long: what it
    /// remembers is not to keep a greenlet that nobody else knows. The running one is kept until it is left.
    pub(crate) fn forget_resumed(&self, py: Python<'_>, ending: *mut PyGreenlet) {
        match self.resumed.take() {
            Some(resumed) if resumed.as_ptr() == ending.cast() => drop(resumed.into_bound(py)),
            other => self.resumed.set(other),
        }
    }

    /// Runs one entry in the hub (or in whichever greenlet runs the loop).
    fn dispatch(&self, py: Python<'_>, entry: Entry) {
        if let Token::Callback(_) | Token::Watcher(_) = entry.token() {
            self.check_signals(py);
            return match entry {
                Entry::Event {
                    token: Token::Watcher(object),
                    revents,
                } => watcher::fire(self, py, object, revents),
                Entry::Event { token, .. } | Entry::Soon(token) => super::callback::fire(self, py, token.object()),
            };
        }
        // SAFETY: the entry was just taken out of the loop.
        if let Resolved::Resume(target) = unsafe { self.resolve(entry, Place::Hub) } {
            // Kept for the error report: the one that was resumed may be gone by then.
            // SAFETY: `target` is alive, its reference is ours.
            let name = unsafe { Bound::from_borrowed_ptr(py, target.as_ptr().cast()) };
            let outer = self.resumed.replace(Some(name.unbind()));
            // SAFETY: the GIL is held; the running greenlet outlives the switch.
            let before = self.at_rest.replace(unsafe { greenlet::current() });
            // SAFETY: on the home thread with the GIL held.
            let result = unsafe { self.resume(target) };
            self.at_rest.set(before);
            let name = self.resumed.replace(outer).map(|name| name.into_bound(py));
            if result.is_null() {
                self.handle_error(py, name.as_ref(), PyErr::fetch(py));
            } else {
                // SAFETY: an owned reference that nobody wants.
                unsafe { ffi::Py_DECREF(result) };
            }
        }
    }

    /// Runs Python's signal handlers, which only the main thread's loop may do.
    fn check_signals(&self, py: Python<'_>) {
        if self.is_default
            && let Err(error) = py.check_signals()
        {
            self.handle_error(py, None, error);
        }
    }

    /// Reports an error of a callback to the hub, or prints it when the loop has none.
    pub(crate) fn handle_error(&self, py: Python<'_>, context: Option<&Bound<'_, PyAny>>, error: PyErr) {
        // SAFETY: only read here, and cloned before Python code runs.
        let handler = unsafe {
            (*self.error_handler.get())
                .as_ref()
                .map(|handler| handler.clone_ref(py))
        };
        let Some(handler) = handler else {
            error.display(py);
            if let Ok(engine) = self.engine() {
                engine.break_(engine::Break::One);
            }
            return;
        };
        let mut context = context.map_or_else(|| py.None(), |context| context.clone().unbind());
        let mut error = error;
        for _ in 0..MOST_REPORTS {
            let arguments = (context, error.get_type(py), error.value(py), error.traceback(py));
            let reported = handler
                .bind(py)
                .getattr("handle_error")
                .and_then(|report| report.call1(arguments));
            let Err(second) = reported else {
                return;
            };
            error = second;
            if error.is_instance_of::<PyException>(py) {
                break;
            }
            // A signal came while the handler ran: its KeyboardInterrupt has yet to reach the main greenlet.
            context = py.None();
        }
        error.write_unraisable(py, Some(handler.bind(py)));
    }

    /// Pulls and runs entries until the loop says it is done.
    ///
    /// `depth` is that of the `run` this is the body of. A greenlet may leave a `run` of its own half done and never come back to
    /// it; then whoever drives the one outside of it ends it, and it must not go on if it does come back.
    fn drive(&self, py: Python<'_>, depth: usize) -> PyResult<()> {
        while self.engine().is_ok_and(|engine| engine.depth() >= depth) {
            if let Some(entry) = self.handed.take() {
                self.dispatch(py, entry);
                continue;
            }
            match self.engine()?.next() {
                engine::Step::Event { data, revents, .. } => self.dispatch(
                    py,
                    Entry::Event {
                        token: data,
                        revents: revents.bits(),
                    },
                ),
                engine::Step::Soon(data) => self.dispatch(py, Entry::Soon(data)),
                engine::Step::Block(wait) => self.block(py, wait)?,
                engine::Step::Done => {
                    let engine = self.engine()?;
                    let inner = engine.depth() > depth;
                    engine.leave();
                    if !inner {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits for the operating system, with the GIL released.
    fn block(&self, py: Python<'_>, mut wait: engine::Wait) -> PyResult<()> {
        // SAFETY: the GIL is held.
        if let Some(limit_ns) = unsafe { greenlet::before_sleep(wait.again) } {
            wait.shorten(limit_ns);
        }
        if wait.masked {
            // What has come by now is handled with the signals as they were: a process that a handler starts inherits them.
            if let Err(error) = py.check_signals() {
                drop(wait);
                self.handle_error(py, None, error);
                return Ok(());
            }
            // From here to the system call no signal can arrive unseen (see the loop crate's `Wait`).
            wait.mask_signals();
            if let Err(error) = py.check_signals() {
                // The error may go to another greenlet: not with its signals blocked.
                drop(wait);
                self.handle_error(py, None, error);
                return Ok(());
            }
            if self.engine()?.is_stale(&wait) {
                return Ok(());
            }
        }
        let answers = if self.answers.get() > 0 && !wait.masked {
            self.remote()
        } else {
            None
        };
        self.blocked.set(true);
        let began = Instant::now();
        let woken = tstate::detached(py, || {
            self.gave_way.store(true, Ordering::Release);
            let woken = match answers {
                Some(answers) => {
                    self.answer.until(|| answers.has_queued());
                    wait.block()
                }
                None => self.pace.block(wait, began),
            };
            self.gave_way.store(false, Ordering::Release);
            woken
        });
        self.blocked.set(false);
        self.pace.note(began, woken.count());
        self.engine()?.absorb(woken);
        self.check_signals(py);
        Ok(())
    }
}

/// What an entry came to.
enum Resolved {
    Resume(NonNull<PyGreenlet>),
    Nothing,
    ForHub,
}

impl LoopObject {
    /// Whether `hub` would do nothing but take the next entry if it were switched to: then a parking greenlet
    /// may take it itself. Not so while it is in the middle of a callback, of telling links, or outside `run`.
    #[inline]
    pub(crate) fn is_at_rest(&self, hub: *const PyGreenlet) -> bool {
        std::ptr::eq(self.at_rest.get(), hub)
    }

    pub(super) fn is_default_loop(&self) -> bool {
        self.is_default
    }

    /// Refuses the calling thread if the loop is another's.
    fn at_home(&self, py: Python<'_>) -> PyResult<&mut engine::Loop<Token>> {
        if !self.is_home() {
            return Err(error::wrong_thread(py, "this event loop"));
        }
        self.engine()
    }

    fn make_callback(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        arguments: &Bound<'_, PyTuple>,
    ) -> PyResult<Py<CallbackObject>> {
        Py::new(
            slf.py(),
            CallbackObject::create(
                callback.clone().unbind(),
                arguments.clone().unbind(),
                slf.clone().unbind(),
            ),
        )
    }
}
