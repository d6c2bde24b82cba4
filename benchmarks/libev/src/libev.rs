//! As much of libev as the cases need: its structures (layout.c compares them with `ev.h`), what its macros do, and its
//! functions.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::null_mut;

pub(crate) const READ: c_int = 1;
/// EV__IOFDSET, which ev_io_set sets: the fd may be a new file.
const NEW_FILE: c_int = 0x80;
pub(crate) const RUN_NOWAIT: c_int = 1;
pub(crate) const BREAK_ONE: c_int = 1;
/// EVFLAG_NOENV | EVBACKEND_EPOLL
const EPOLL: c_uint = 0x0100_0000 | 4;

/// `struct ev_loop`.
#[repr(C)]
pub(crate) struct EvLoop([u8; 0]);

pub(crate) type Callback = unsafe extern "C" fn(*mut EvLoop, *mut c_void, c_int);

/// What every watcher begins with.
#[repr(C)]
pub(crate) struct Common {
    active: c_int,
    pending: c_int,
    priority: c_int,
    pub(crate) data: *mut c_void,
    callback: Callback,
}

impl Common {
    fn new(callback: Callback, number: usize) -> Common {
        Common {
            active: 0,
            pending: 0,
            priority: 0,
            data: number as *mut c_void,
            callback,
        }
    }
}

/// `ev_io`.
#[repr(C)]
pub(crate) struct Io {
    common: Common,
    next: *mut c_void,
    fd: c_int,
    events: c_int,
}

impl Io {
    pub(crate) fn new(callback: Callback, number: usize) -> Io {
        Io {
            common: Common::new(callback, number),
            next: null_mut(),
            fd: 0,
            events: 0,
        }
    }

    /// Of a stopped one.
    pub(crate) fn set(&mut self, fd: c_int, events: c_int) {
        (self.fd, self.events) = (fd, events | NEW_FILE);
    }
}

/// `ev_timer`.
#[repr(C)]
pub(crate) struct Timer {
    common: Common,
    at: f64,
    repeat: f64,
}

impl Timer {
    pub(crate) fn new(callback: Callback, number: usize) -> Timer {
        Timer {
            common: Common::new(callback, number),
            at: 0.0,
            repeat: 0.0,
        }
    }

    /// Of a stopped one.
    pub(crate) fn set(&mut self, after: f64, repeat: f64) {
        (self.at, self.repeat) = (after, repeat);
    }
}

/// `ev_async`.
#[repr(C)]
pub(crate) struct Async {
    common: Common,
    sent: c_int,
}

impl Async {
    pub(crate) fn new(callback: Callback, number: usize) -> Async {
        Async {
            common: Common::new(callback, number),
            sent: 0,
        }
    }
}

unsafe extern "C" {
    fn ev_loop_new(flags: c_uint) -> *mut EvLoop;
    fn ev_loop_destroy(event_loop: *mut EvLoop);
    pub(crate) fn ev_run(event_loop: *mut EvLoop, flags: c_int) -> c_int;
    pub(crate) fn ev_break(event_loop: *mut EvLoop, how: c_int);
    pub(crate) fn ev_ref(event_loop: *mut EvLoop);
    pub(crate) fn ev_io_start(event_loop: *mut EvLoop, watcher: *mut Io);
    pub(crate) fn ev_io_stop(event_loop: *mut EvLoop, watcher: *mut Io);
    pub(crate) fn ev_timer_start(event_loop: *mut EvLoop, watcher: *mut Timer);
    pub(crate) fn ev_timer_stop(event_loop: *mut EvLoop, watcher: *mut Timer);
    pub(crate) fn ev_timer_again(event_loop: *mut EvLoop, watcher: *mut Timer);
    pub(crate) fn ev_async_start(event_loop: *mut EvLoop, watcher: *mut Async);
    pub(crate) fn ev_async_send(event_loop: *mut EvLoop, watcher: *mut Async);
}

/// A libev loop on epoll. Watchers that are active in it must outlive it.
pub(crate) struct Owned(pub(crate) *mut EvLoop);

impl Owned {
    pub(crate) fn new() -> Owned {
        // SAFETY: no argument can be wrong; null is checked.
        let event_loop = unsafe { ev_loop_new(EPOLL) };
        assert!(!event_loop.is_null(), "libev has epoll");
        Owned(event_loop)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        unsafe { ev_loop_destroy(self.0) };
    }
}
