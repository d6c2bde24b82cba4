//! The class `Socket`: what a socket is, how it comes to its descriptor and how it lets go of it.
//!
//! A socket owns its descriptor in one of two ways. Made by a program, it has a standard
//! `_socket.socket` inside (`_sock`), which made the descriptor, checks arguments the standard way
//! and does what is rare. Accepted from a listener, it has only the descriptor, and the standard
//! object is made the first time something rare is asked for: a busy server never pays for it.
//! Whichever of the two exists closes the descriptor.

use std::cell::Cell;
use std::ffi::c_int;
use std::os::fd::RawFd;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::descriptor::{close, warn_unclosed};
use super::errors::bad_descriptor;
use super::patience::Patience;
use super::wait::Waits;
use crate::names;
use crate::prefetch::{prefetch, prefetch_range};

/// A socket whose calls let other greenlets run instead of blocking the thread.
///
/// `verdigris.socket.socket` is this class with the rarely used methods added.
#[pyclass(module = "verdigris._core", subclass, frozen, weakref)]
pub(crate) struct Socket {
    pub(super) descriptor: Cell<RawFd>,
    pub(super) family: Cell<c_int>,
    pub(super) kind: Cell<c_int>,
    pub(super) protocol: Cell<c_int>,
    /// Seconds; None waits for ever, zero never waits.
    pub(super) timeout: Cell<Option<f64>>,
    /// The standard socket, once there is one.
    pub(super) raw: Cell<Option<Py<PyAny>>>,
    /// Files made by `makefile` and still open: they keep a closed socket's descriptor open.
    pub(super) files: Cell<isize>,
    pub(super) closed: Cell<bool>,
    /// Whether the last read was a large one.
    gets_much: Cell<bool>,
    /// Where the last bytes object that was read into lies, and how long it is: to be brought near, nothing else.
    last_read: Cell<(usize, usize)>,
    /// Whether a greenlet that waits here keeps the loop from ending.
    pub(super) keeps_loop_alive: Cell<bool>,
    waits: Waits,
}

/// A read of so many bytes is worth a buffer of its own.
const MUCH_BYTES: usize = 16 * 1024;
/// Of what was read last, so much is brought near, beside its end: more would push out what is needed sooner.
const NEAR_BYTES: usize = 2 * 1024;

// SAFETY: every access is made with the GIL held, and none of them holds a reference into a cell
// over a call into Python.
unsafe impl Sync for Socket {}

impl Socket {
    pub(super) fn empty() -> Self {
        Socket {
            descriptor: Cell::new(-1),
            family: Cell::new(-1),
            kind: Cell::new(-1),
            protocol: Cell::new(-1),
            timeout: Cell::new(None),
            raw: Cell::new(None),
            files: Cell::new(0),
            closed: Cell::new(false),
            gets_much: Cell::new(false),
            last_read: Cell::new((0, 0)),
            keeps_loop_alive: Cell::new(true),
            waits: Waits::default(),
        }
    }

    /// Makes this one the owner of a descriptor that does not block.
    pub(super) fn own(&self, descriptor: RawFd, like: &Socket, timeout: Option<f64>) {
        self.descriptor.set(descriptor);
        self.family.set(like.family.get());
        self.kind.set(like.kind.get());
        self.protocol.set(like.protocol.get());
        self.timeout.set(timeout);
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor.get()
    }

    /// The descriptor, or EBADF if the socket is closed.
    pub(super) fn open_descriptor(&self, py: Python<'_>) -> PyResult<RawFd> {
        match self.descriptor.get() {
            -1 => Err(bad_descriptor(py)),
            descriptor => Ok(descriptor),
        }
    }

    pub(super) fn family(&self) -> c_int {
        self.family.get()
    }

    /// Whether it is a plain TCP stream, of which a short read says that there is nothing left.
    #[inline]
    fn is_tcp(&self) -> bool {
        matches!(self.family.get(), libc::AF_INET | libc::AF_INET6)
            && self.kind.get() == libc::SOCK_STREAM
            && matches!(self.protocol.get(), 0 | libc::IPPROTO_TCP)
    }

    /// Whether the last read brought so much that the next one is likely to.
    #[inline]
    pub(super) fn gets_much(&self) -> bool {
        self.gets_much.get()
    }

    /// What was read last is likely to be freed when the next is there: whoever is about to ask the kernel, which takes a while,
    /// brings near what freeing it touches, its two ends, and what the next message of somebody will be written to in its place.
    #[inline]
    pub(super) fn approach_last_read(&self) {
        let (start, length) = self.last_read.get();
        prefetch_range(std::ptr::without_provenance(start), length.min(NEAR_BYTES));
        prefetch(std::ptr::without_provenance(start + length));
    }

    /// `data` was made for what was read.
    #[inline]
    pub(super) fn note_data(&self, data: &Bound<'_, PyBytes>) {
        let length = data.as_bytes().len() + size_of::<ffi::PyBytesObject>();
        self.last_read.set((data.as_ptr().addr(), length));
    }

    /// `received` of `asked` bytes were read with these flags.
    #[inline]
    pub(super) fn note_received(&self, received: usize, asked: usize, flags: c_int) {
        self.gets_much.set(received >= MUCH_BYTES);
        if received < asked && flags == 0 && self.is_tcp() {
            self.mark_drained();
        }
    }

    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.timeout.get())
    }

    pub(super) fn keeps_loop_alive(&self) -> bool {
        self.keeps_loop_alive.get()
    }

    pub(super) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// The standard socket, if it exists.
    fn existing_raw<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let raw = self.raw.take();
        let result = raw.as_ref().map(|raw| raw.bind(py).clone());
        self.raw.set(raw);
        result
    }

    /// The standard socket, made if need be. Of a closed socket, one that is closed.
    pub(super) fn raw<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(raw) = self.existing_raw(py) {
            return Ok(raw);
        }
        let class = names::socket_common(py, "_NativeSocket")?;
        if self.descriptor.get() < 0 {
            return class.call_method1("__new__", (&class,));
        }
        let keywords = PyDict::new(py);
        keywords.set_item("fileno", self.descriptor.get())?;
        let raw = class.call(
            (self.family.get(), self.kind.get(), self.protocol.get()),
            Some(&keywords),
        )?;
        self.raw.set(Some(raw.clone().unbind()));
        Ok(raw)
    }

    /// Calls a method of the standard socket that does not wait; EBADF if the socket is closed.
    pub(super) fn ask_raw<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        arguments: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.open_descriptor(py)?;
        self.raw(py)?.call_method1(method, arguments)
    }

    /// Closes the descriptor, or leaves that to the standard socket that owns it.
    pub(super) fn close_descriptor(&self, py: Python<'_>) -> PyResult<()> {
        if self.descriptor.get() < 0 {
            return Ok(());
        }
        let left = self.leave_loop(py);
        let descriptor = self.descriptor.replace(-1);
        let closed = match self.raw.take() {
            Some(raw) => raw.call_method0(py, "close").map(drop),
            None => close(py, descriptor),
        };
        left.and(closed)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let descriptor = self.descriptor.replace(-1);
        if descriptor < 0 {
            return;
        }
        // SAFETY: an object is freed with the GIL held only.
        let py = unsafe { Python::assume_attached() };
        self.descriptor.set(descriptor);
        let _ = self.leave_loop(py);
        self.descriptor.set(-1);
        // The standard socket, where there is one, warns and closes by itself.
        match self.raw.take() {
            Some(raw) => drop(raw),
            None => {
                warn_unclosed(
                    py,
                    descriptor,
                    (self.family.get(), self.kind.get(), self.protocol.get()),
                );
                let _ = close(py, descriptor);
            }
        }
    }
}
