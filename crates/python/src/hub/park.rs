//! Parking: how a greenlet sleeps until somebody wakes it.
//!
//! ```text
//!   let ticket = arm(py)?;            // this greenlet's next wait, numbered
//!   links.push(ticket.clone());       // give it to whoever shall wake it (as many as wanted)
//!   let woken = park(py, timeout)?;   // Woken::Ready, Woken::TimedOut, or an exception thrown in
//!   links.remove(&ticket);            // and take it back
//! ```
//!
//! A wait has a number; the first wake-up that carries the number wins, later ones are stale and do
//! nothing. So a greenlet may wait for several things at once, and no wake-up is lost or doubled.
//! A ticket may be used from any thread.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::error;
use super::event_loop::LoopObject;
use super::object::HubObject;
use super::token::Token;
use crate::greenlet::{self, PyGreenlet};
use crate::primitives::LocalStores;

/// What a wake-up delivers to the greenlet that parked: an object that nobody else has, so that a
/// greenlet can tell a wake-up from somebody's explicit `switch`.
static WOKEN: AtomicPtr<ffi::PyObject> = AtomicPtr::new(std::ptr::null_mut());

/// Makes the wake-up object. Called once, when the module is imported.
pub(super) fn prepare(py: Python<'_>) -> PyResult<()> {
    let object = py.get_type::<PyAny>().call0()?;
    WOKEN.store(object.into_ptr(), Ordering::Relaxed);
    Ok(())
}

/// A new reference to the wake-up object.
#[inline]
pub(super) fn woken() -> *mut ffi::PyObject {
    let object = WOKEN.load(Ordering::Relaxed);
    // SAFETY: made at import and never freed; the callers hold the GIL.
    unsafe { ffi::Py_INCREF(object) };
    object
}

/// What the hub keeps inside every greenlet, so that parking one allocates nothing.
pub(crate) struct GreenletSlot {
    /// The number of the present (or last) wait.
    wait: std::cell::Cell<u32>,
    /// Whether the present wait is still open: armed, and not yet claimed by a wake-up.
    open: std::cell::Cell<bool>,
    /// Where it has attributes of its own (`local`).
    locals: LocalStores,
    /// Where that lies which it will need first when it goes on: an address to be brought near, nothing else.
    near: std::cell::Cell<*const u8>,
}

impl Default for GreenletSlot {
    fn default() -> Self {
        Self {
            wait: std::cell::Cell::default(),
            open: std::cell::Cell::default(),
            locals: LocalStores::default(),
            near: std::cell::Cell::new(std::ptr::null()),
        }
    }
}

impl GreenletSlot {
    /// The local objects that have something of this greenlet.
    pub(crate) fn locals(&self) -> &LocalStores {
        &self.locals
    }

    /// The number of the present (or last) wait.
    pub(crate) fn wait_number(&self) -> u32 {
        self.wait.get()
    }

    /// Whether it is in a wait that nobody has ended yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.open.get()
    }

    #[inline]
    pub(crate) fn near(&self) -> *const u8 {
        self.near.get()
    }

    /// Opens the next wait.
    #[inline]
    fn open_next(&self) -> u32 {
        let wait = self.wait.get().wrapping_add(1);
        self.wait.set(wait);
        self.open.set(true);
        wait
    }

    /// Takes the wake-up of wait number `wait`: true for the first to ask while it is open.
    #[inline]
    pub(crate) fn claim(&self, wait: u32) -> bool {
        let mine = self.open.get() && self.wait.get() == wait;
        if mine {
            self.open.set(false);
        }
        mine
    }

    #[inline]
    fn close(&self) {
        self.open.set(false);
    }
}

/// The right to wake one greenlet from one wait, once.
pub(crate) struct Ticket {
    greenlet: Py<PyAny>,
    wait: u32,
    home: Py<LoopObject>,
}

impl Ticket {
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            greenlet: self.greenlet.clone_ref(py),
            wait: self.wait,
            home: self.home.clone_ref(py),
        }
    }

    /// Whether two tickets are for the same wait of the same greenlet.
    pub(crate) fn same(&self, other: &Ticket) -> bool {
        self.wait == other.wait && self.greenlet.is(&other.greenlet)
    }

    /// The greenlet that waits.
    pub(crate) fn greenlet<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.greenlet.bind(py)
    }

    /// Whether the wake-up can be claimed here and now: the wait is this thread's.
    #[inline]
    pub(crate) fn is_home(&self) -> bool {
        self.home.get().is_home()
    }

    /// Says what the greenlet will need first when it goes on.
    #[inline]
    pub(crate) fn will_need<T>(&self, object: &T) {
        self.slot().near.set(std::ptr::from_ref(object).cast());
    }

    fn slot(&self) -> &GreenletSlot {
        // SAFETY: the ticket's reference keeps the greenlet alive, and only greenlets get tickets.
        unsafe { greenlet::slot(self.greenlet.as_ptr().cast()) }
    }

    /// Claims the wake-up for a native entry that will answer `Outcome::Wake`: the owned greenlet, or
    /// nothing when the wait is over. Only on the home thread.
    #[inline]
    pub(crate) fn claim(self, py: Python<'_>) -> Option<NonNull<PyGreenlet>> {
        debug_assert!(self.is_home());
        let claimed = self.slot().claim(self.wait);
        // As bound references, which are dropped without asking whether the GIL is held.
        let (greenlet, home) = (self.greenlet.into_bound(py), self.home.into_bound(py));
        drop(home);
        if claimed {
            NonNull::new(greenlet.into_ptr().cast())
        } else {
            None
        }
    }

    /// Wakes the greenlet, from any thread: it runs when the loop comes to it.
    pub(crate) fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let greenlet = NonNull::new(self.greenlet.clone_ref(py).into_ptr().cast()).expect("a Py is never null");
        self.home
            .get()
            .call_soon(Token::Wake {
                greenlet,
                wait: self.wait,
            })
            .map(drop)
    }

    /// The token that wakes this ticket's greenlet, for the loop to keep (a timer, a descriptor).
    pub(crate) fn token(&self, py: Python<'_>) -> Token {
        let greenlet = NonNull::new(self.greenlet.clone_ref(py).into_ptr().cast()).expect("a Py is never null");
        Token::Wake {
            greenlet,
            wait: self.wait,
        }
    }

    pub(crate) fn home(&self) -> &Py<LoopObject> {
        &self.home
    }

    /// Whether nobody will ever run the greenlet again: its loop was destroyed or its thread has ended.
    pub(crate) fn is_abandoned(&self) -> bool {
        // SAFETY: the ticket's reference keeps the greenlet alive.
        self.home.get().is_destroyed() || unsafe { greenlet::is_dead(self.greenlet.as_ptr().cast()) }
    }
}

/// How a wait ended, when nothing was thrown in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    Ready,
    TimedOut,
}

/// Opens a wait of the current greenlet and gives the ticket for it. Makes the thread's hub if there is none.
pub(crate) fn arm(py: Python<'_>) -> PyResult<Ticket> {
    let hub = super::object::current(py)?;
    let current = greenlet::current_bound(py)?;
    if current.is(&hub) {
        return Err(error::blocking_switch_out(py));
    }
    let home = hub.get().native_loop(py)?;
    // SAFETY: the running greenlet is alive.
    let wait = unsafe { greenlet::slot(current.as_ptr().cast()) }.open_next();
    Ok(Ticket {
        greenlet: current.unbind(),
        wait,
        home,
    })
}

/// Parks the current greenlet until its ticket is used, or `timeout_ns` has passed.
pub(crate) fn park(py: Python<'_>, ticket: &Ticket, timeout_ns: Option<i64>) -> PyResult<Woken> {
    let Some(timeout_ns) = timeout_ns else {
        park_until_woken(py)?;
        return Ok(Woken::Ready);
    };
    let home = ticket.home.get();
    let engine = home.engine()?;
    // The loop's time may be as old as the longest stretch without a poll.
    engine.update_now();
    let key = engine.wait_timer(timeout_ns, TIMEOUT_PRIORITY, ticket.token(py));
    let result = park_until_woken(py);
    // The timer has fired if it cannot be cancelled any more.
    let cancelled = home.engine().ok().and_then(|engine| engine.cancel(key));
    if let Some(token) = cancelled {
        // SAFETY: the token has just been taken out of the loop, the GIL is held.
        unsafe { token.release() };
    }
    result?;
    Ok(if cancelled.is_some() {
        Woken::Ready
    } else {
        Woken::TimedOut
    })
}

/// gevent starts the timers of waits at this priority: what is ready wins over its own time-out.
const TIMEOUT_PRIORITY: i8 = -1;

/// Gives the thread to whoever is next, until the present wait's ticket is used.
pub(crate) fn park_until_woken(py: Python<'_>) -> PyResult<()> {
    let value = park_until_switched(py)?;
    if is_wake_up(&value) {
        Ok(())
    } else {
        Err(error::invalid_switch(py, &value))
    }
}

/// The same, and content with a `switch` from anybody: what was switched with. gevent's `sleep(0)` and
/// `kill` are waits of this kind.
pub(super) fn park_until_switched(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let hub = super::object::current(py)?;
    let current = greenlet::current_bound(py)?;
    let pointer: *mut PyGreenlet = current.as_ptr().cast();
    if let Err(refused) = super::object::announce_switch_out(&current) {
        // SAFETY: the running greenlet is alive.
        unsafe { greenlet::slot(pointer) }.close();
        return Err(refused);
    }
    // SAFETY: as above; it is the one that runs this.
    let value = unsafe { HubObject::switch_away(&hub, pointer) };
    // SAFETY: as above. Whatever ended the wait, no ticket of it may wake a later one.
    unsafe { greenlet::slot(pointer) }.close();
    // SAFETY: an owned reference, or an exception is set.
    super::object::gone_on(py, unsafe { Bound::from_owned_ptr_or_err(py, value) })
}

/// Packs what `switch` received the way greenlet hands it over: used by the explicit `hub.switch()`.
pub(super) fn is_wake_up(value: &Bound<'_, PyAny>) -> bool {
    std::ptr::eq(value.as_ptr(), WOKEN.load(Ordering::Relaxed))
}

impl Ticket {
    pub(crate) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.greenlet)?;
        visit.call(&self.home)
    }
}
