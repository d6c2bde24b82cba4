//! As much of libev as the cases need: declarations, and a loop that is destroyed when it is dropped.

use std::ffi::{c_int, c_uint, c_void};

pub(crate) const READ: c_int = 1;
pub(crate) const RUN_NOWAIT: c_int = 1;
/// EVFLAG_NOENV | EVBACKEND_EPOLL
const EPOLL: c_uint = 0x0100_0000 | 4;

/// `struct ev_loop`.
#[repr(C)]
pub(crate) struct EvLoop([u8; 0]);

/// What a callback is given is the watcher, which is the first field of whatever the case keeps for it.
pub(crate) type Callback = unsafe extern "C" fn(*mut EvLoop, *mut c_void, c_int);

macro_rules! watcher {
    ($name:ident, $words:literal) => {
        #[repr(C, align(8))]
        #[derive(Clone, Copy)]
        pub(crate) struct $name([u64; $words]);

        impl $name {
            pub(crate) const NEW: $name = $name([0; $words]);
        }
    };
}
watcher!(Io, 6);
watcher!(Timer, 6);
watcher!(Async, 5);

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
    pub(crate) fn shim_io_init(watcher: *mut Io, function: Callback, fd: c_int, events: c_int);
    pub(crate) fn shim_timer_init(watcher: *mut Timer, function: Callback, after: f64, repeat: f64);
    pub(crate) fn shim_async_init(watcher: *mut Async, function: Callback);
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

    pub(crate) fn run(&self, flags: c_int) {
        // SAFETY: the loop lives, and so do its watchers.
        unsafe { ev_run(self.0, flags) };
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        unsafe { ev_loop_destroy(self.0) };
    }
}
