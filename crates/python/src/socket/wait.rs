//! Waiting: the only file of the socket that knows how a greenlet waits for a descriptor.
//!
//! The loop of the thread that waits first adopts the descriptor: it stays registered with the kernel
//! until it is closed, and the loop remembers what it is ready for. From then on waiting makes no
//! system call, and a call that is known to fail is not tried. Another thread that uses the same
//! socket has a loop of its own, which registers it for the length of one wait.

use std::cell::UnsafeCell;
use std::ffi::c_int;

use pyo3::prelude::*;
use verdigris_loop::{Events, Key};

use super::object::Socket;
use super::patience::Patience;
use crate::hub::{LoopObject, Ticket, Token, arm, concurrent_use, error_from_loop, park_until_woken};
use crate::names;

/// What a greenlet may wait for. At most one greenlet waits for each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

impl Direction {
    fn events(self) -> Events {
        match self {
            Direction::Read => Events::READ,
            Direction::Write => Events::WRITE,
        }
    }

    fn opposite(self) -> Self {
        match self {
            Direction::Read => Direction::Write,
            Direction::Write => Direction::Read,
        }
    }
}

/// One wait of a greenlet, under way.
struct SocketWait {
    ticket: Ticket,
    key: Key,
    descriptor: c_int,
    direction: Direction,
    /// The loop is not the descriptor's own.
    borrowed: bool,
}

/// Who waits for a socket, and which loop has adopted its descriptor.
#[derive(Default)]
pub(super) struct Waits {
    reader: UnsafeCell<Option<Ticket>>,
    writer: UnsafeCell<Option<Ticket>>,
    home: UnsafeCell<Option<Py<LoopObject>>>,
}

impl Waits {
    /// Exchanges who waits in a direction. The old ticket is the caller's, to be dropped when no
    /// cell is being touched: that may run any code.
    fn replace(&self, direction: Direction, ticket: Option<Ticket>) -> Option<Ticket> {
        let cell = match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        };
        // SAFETY: one step, with the GIL held; nothing else holds a reference into the cell.
        unsafe { std::mem::replace(&mut *cell.get(), ticket) }
    }

    fn replace_home(&self, home: Option<Py<LoopObject>>) -> Option<Py<LoopObject>> {
        // SAFETY: as in `replace`.
        unsafe { std::mem::replace(&mut *self.home.get(), home) }
    }

    /// The loop that has adopted the descriptor, if it is this thread's.
    fn home_here(&self) -> Option<&LoopObject> {
        // SAFETY: the reference is used for one short step by the callers, none of which runs Python
        // code or replaces the home meanwhile.
        let home = unsafe { (*self.home.get()).as_ref() }?.get();
        home.is_home().then_some(home)
    }
}

impl Socket {
    /// Whether a call in this direction may succeed, as far as is known without asking the kernel.
    #[inline]
    pub(super) fn may_be_ready(&self, direction: Direction) -> bool {
        match self.waits().home_here().map(LoopObject::engine) {
            Some(Ok(engine)) => engine.readiness(self.descriptor()).intersects(direction.events()),
            _ => true,
        }
    }

    /// The kernel just said "not now" in this direction.
    pub(super) fn mark_unready(&self, direction: Direction) {
        if let Some(Ok(engine)) = self.waits().home_here().map(LoopObject::engine) {
            engine.mark_unready(self.descriptor(), direction.events());
        }
    }

    /// A read of a TCP stream brought less than it asked for, so that there is nothing left.
    #[inline]
    pub(super) fn mark_drained(&self) {
        if let Some(Ok(engine)) = self.waits().home_here().map(LoopObject::engine) {
            engine.mark_drained(self.descriptor());
        }
    }

    /// Parks the greenlet until the descriptor may be ready, after the kernel said "not now".
    /// TimeoutError when the patience is over, `cancel_wait_ex` when the socket is closed meanwhile.
    ///
    /// While it is parked, this frame is on its stack, and a stack in one page is half the memory of one in two: what comes
    /// before and after is therefore in functions of its own.
    pub(super) fn wait(&self, py: Python<'_>, direction: Direction, patience: &mut Patience) -> PyResult<()> {
        let wait = self.begin_wait(py, direction, patience)?;
        let result = park_until_woken(py);
        self.end_wait(py, wait, result, patience)
    }

    #[inline(never)]
    fn begin_wait(&self, py: Python<'_>, direction: Direction, patience: &mut Patience) -> PyResult<SocketWait> {
        let timeout_ns = patience
            .remaining()?
            .map(|left| i64::try_from(left.as_nanos()).unwrap_or(i64::MAX));
        let descriptor = self.open_descriptor(py)?;
        self.refuse_second(py, direction)?;
        let ticket = arm(py)?;
        ticket.will_need(self);
        let borrowed = self.enter_loop(py, &ticket, descriptor)?;
        let token = ticket.token(py);
        let engine = ticket.home().get().engine()?;
        engine.mark_unready(descriptor, direction.events());
        let begun = match timeout_ns {
            None => engine.wait_io(descriptor, direction.events(), token),
            Some(timeout_ns) => {
                // The loop's time may be as old as the longest stretch without a poll.
                engine.update_now();
                engine.wait_io_for(descriptor, direction.events(), timeout_ns, token)
            }
        };
        let key = match begun {
            Ok(key) => key,
            Err(error) => {
                // SAFETY: the loop did not take the token, which is therefore still ours.
                unsafe { token.release() };
                return Err(error_from_loop(error));
            }
        };
        if !self.keeps_loop_alive() {
            let _ = engine.set_ref(key, false);
        }
        drop(self.waits().replace(direction, Some(ticket.clone_ref(py))));
        Ok(SocketWait {
            ticket,
            key,
            descriptor,
            direction,
            borrowed,
        })
    }

    #[inline(never)]
    fn end_wait(
        &self,
        py: Python<'_>,
        wait: SocketWait,
        result: PyResult<()>,
        patience: &mut Patience,
    ) -> PyResult<()> {
        let SocketWait {
            ticket,
            key,
            descriptor,
            direction,
            borrowed,
        } = wait;
        // If it is another's or nobody's, somebody took ours out to cancel this wait.
        let mine = match self.waits().replace(direction, None) {
            Some(found) if found.same(&ticket) => true,
            other => {
                drop(self.waits().replace(direction, other));
                false
            }
        };
        let engine = ticket.home().get().engine();
        let (ready, left_over) = match engine {
            Ok(engine) => (
                engine.readiness(descriptor).intersects(direction.events()),
                engine.cancel(key),
            ),
            Err(_) => (true, None),
        };
        let left = if borrowed {
            self.leave_borrowed_loop(&ticket, direction, descriptor)
        } else {
            Ok(())
        };
        if let Some(token) = left_over {
            // SAFETY: just taken out of the loop, with the GIL held.
            unsafe { token.release() };
        }
        result?;
        left?;
        if !mine {
            return Err(cancelled(py));
        }
        // Woken by the time, perhaps: what is ready by then wins.
        if ready { Ok(()) } else { patience.remaining().map(drop) }
    }

    fn refuse_second(&self, py: Python<'_>, direction: Direction) -> PyResult<()> {
        let Some(first) = self.waits().replace(direction, None) else {
            return Ok(());
        };
        let holder = first.greenlet(py).clone();
        drop(self.waits().replace(direction, Some(first)));
        let name = holder.repr().map(|text| text.to_string()).unwrap_or_default();
        Err(concurrent_use(
            py,
            format!("This socket is already used by another greenlet: {name}"),
        ))
    }

    /// Has the loop of this wait adopt the descriptor. True if it is only borrowed: it has been
    /// adopted by the loop of another thread.
    fn enter_loop(&self, py: Python<'_>, ticket: &Ticket, descriptor: c_int) -> PyResult<bool> {
        let waits = self.waits();
        let home = waits.replace_home(None);
        let (known, elsewhere) = match &home {
            Some(home) if home.is(ticket.home()) => (true, false),
            // The loop of a hub that was destroyed does not count.
            Some(home) => (false, !home.get().is_destroyed()),
            None => (false, false),
        };
        let stale = if known || elsewhere {
            waits.replace_home(home)
        } else {
            drop(waits.replace_home(Some(ticket.home().clone_ref(py))));
            home
        };
        drop(stale);
        if !known {
            ticket
                .home()
                .get()
                .engine()?
                .adopt(descriptor)
                .map_err(error_from_loop)?;
        }
        Ok(elsewhere)
    }

    /// The end of a wait in a loop that is not the descriptor's own.
    fn leave_borrowed_loop(&self, ticket: &Ticket, direction: Direction, descriptor: c_int) -> PyResult<()> {
        let opposite = self.waits().replace(direction.opposite(), None);
        let in_use = opposite.as_ref().is_some_and(Ticket::is_home);
        drop(self.waits().replace(direction.opposite(), opposite));
        // Once the socket is closed, the number may be another's.
        if in_use || self.descriptor() != descriptor {
            return Ok(());
        }
        let home = ticket.home().get();
        let tokens = home.engine()?.forget(descriptor);
        wake_all(home, tokens)
    }

    /// Wakes whoever waits, with an error that says the socket has gone.
    pub(super) fn cancel_waits(&self, py: Python<'_>, directions: &[Direction]) -> PyResult<()> {
        for direction in directions {
            if let Some(ticket) = self.waits().replace(*direction, None) {
                ticket.wake(py)?;
            }
        }
        Ok(())
    }

    /// The descriptor is about to be closed or given away: nobody waits for it any longer.
    pub(super) fn leave_loop(&self, py: Python<'_>) -> PyResult<()> {
        let cancelled = self.cancel_waits(py, &[Direction::Read, Direction::Write]);
        if let Some(home) = self.waits().replace_home(None)
            && home.get().is_home()
            && let Ok(engine) = home.get().engine()
        {
            let tokens = engine.forget(self.descriptor());
            engine.closing_fd(self.descriptor());
            wake_all(home.get(), tokens)?;
        } else if let Some(hub) = crate::hub::current_if_exists(py)
            && let Ok(home) = hub.get().native_loop(py)
            && let Ok(engine) = home.get().engine()
        {
            // Never waited for here, but perhaps watched (`select`).
            engine.closing_fd(self.descriptor());
        }
        cancelled
    }
}

/// A peer has come: the loop of this thread, if it has one, is told.
pub(super) fn note_peer(py: Python<'_>) {
    if let Some(hub) = crate::hub::current_if_exists(py)
        && let Some(home) = hub.get().native_loop_for_a_step()
    {
        home.get().note_peer();
    }
}

/// Wakes everybody whose wait ended with the registration: another socket object may have been made
/// of the same descriptor.
fn wake_all(home: &LoopObject, tokens: Vec<Token>) -> PyResult<()> {
    for token in tokens {
        home.call_soon(token)?;
    }
    Ok(())
}

/// The error of a wait that was cancelled because the socket is being closed.
fn cancelled(py: Python<'_>) -> PyErr {
    names::socket_common(py, "cancel_wait_ex")
        .and_then(|class| class.call0())
        .map_or_else(|error| error, PyErr::from_value)
}
