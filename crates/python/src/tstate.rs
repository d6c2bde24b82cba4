//! CPython's thread state, as far as a greenlet owns it. What and why is in `tstate.c`, which knows the layouts.

use pyo3::ffi;
use pyo3::prelude::*;

/// What the thread state held when a greenlet was left; a block of words that only C looks into.
#[repr(C, align(8))]
pub(crate) struct Saved([usize; 18]);

impl Saved {
    pub(crate) const fn empty() -> Saved {
        Saved([0; 18])
    }
}

unsafe extern "C" {
    #[link_name = "verdigris_tstate_supported"]
    fn supported() -> std::ffi::c_int;
    #[link_name = "verdigris_tstate_begin"]
    pub(crate) fn begin(
        tstate: *mut ffi::PyThreadState,
        saved: *mut Saved,
        annex: *mut u8,
        annex_bytes: usize,
        stack_lowest: *mut u8,
        stack_bytes: usize,
    );
    #[link_name = "verdigris_tstate_exchange"]
    pub(crate) fn exchange(tstate: *mut ffi::PyThreadState, from: *mut Saved, to: *mut Saved);
    #[link_name = "verdigris_tstate_observed"]
    fn observed(tstate: *mut ffi::PyThreadState) -> std::ffi::c_int;
    #[link_name = "verdigris_tstate_traced"]
    fn traced(tstate: *mut ffi::PyThreadState) -> std::ffi::c_int;
    #[link_name = "verdigris_tstate_context"]
    pub(crate) fn context(tstate: *mut ffi::PyThreadState) -> *mut ffi::PyObject;
    #[link_name = "verdigris_tstate_swap_context"]
    pub(crate) fn swap_context(tstate: *mut ffi::PyThreadState, context: *mut ffi::PyObject) -> *mut ffi::PyObject;
    #[link_name = "verdigris_saved_context"]
    pub(crate) fn saved_context(saved: *mut Saved) -> *mut *mut ffi::PyObject;
    #[link_name = "verdigris_saved_frame"]
    pub(crate) fn saved_frame(tstate: *mut ffi::PyThreadState, saved: *mut Saved) -> *mut ffi::PyObject;
    #[link_name = "verdigris_saved_annex_used"]
    pub(crate) fn annex_used(saved: *mut Saved) -> *mut u8;
    #[link_name = "verdigris_saved_place"]
    pub(crate) fn place(saved: *mut Saved) -> usize;
    #[link_name = "verdigris_saved_visit"]
    pub(crate) fn visit(saved: *mut Saved, visit: ffi::visitproc, argument: *mut std::ffi::c_void) -> std::ffi::c_int;
    #[link_name = "verdigris_saved_forget"]
    pub(crate) fn forget(saved: *mut Saved, clear: std::ffi::c_int) -> std::ffi::c_int;
    /// Prints where the thread is in Python. Async-signal-safe.
    #[link_name = "verdigris_tstate_print_frames"]
    pub(crate) fn print_frames(tstate: *mut ffi::PyThreadState, descriptor: std::ffi::c_int);
    #[link_name = "verdigris_tstate_trash_nesting"]
    pub(crate) fn trash_nesting(tstate: *mut ffi::PyThreadState) -> std::ffi::c_int;
}

/// Whether this Python can run greenlets on stacks of their own.
pub(crate) fn is_supported() -> bool {
    // SAFETY: asks for the address of a function.
    unsafe { supported() != 0 }
}

/// Runs something without the GIL, which is taken again however that ends. (PyO3's `detach` wants what can be sent to
/// another thread; here it is this thread that waits.)
pub(crate) fn detached<T>(_py: Python<'_>, run: impl FnOnce() -> T) -> T {
    struct Left(*mut ffi::PyThreadState);
    impl Drop for Left {
        fn drop(&mut self) {
            // SAFETY: the thread state that has given the GIL up below, in this thread.
            unsafe { ffi::PyEval_RestoreThread(self.0) }
        }
    }
    // SAFETY: the GIL is held, and is taken again before anything else is done. `run` has no Python objects to touch.
    let _left = Left(unsafe { ffi::PyEval_SaveThread() });
    run()
}

/// Whether this thread has a profile or a trace function.
pub(crate) fn is_observed(_py: Python<'_>) -> bool {
    // SAFETY: the GIL is held.
    unsafe { observed(ffi::PyThreadState_Get()) != 0 }
}

/// Whether this thread has a trace function (`sys.settrace`).
#[inline]
pub(crate) fn is_traced(_py: Python<'_>) -> bool {
    // SAFETY: the GIL is held.
    unsafe { traced(ffi::PyThreadState_Get()) != 0 }
}
