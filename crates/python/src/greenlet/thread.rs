//! What belongs to a thread: which greenlet runs in it, its main greenlet, its trace function, and the greenlets
//! that others dropped and only it can finish.
//!
//! A thread is known by its Python thread state, and the record dies with that: a capsule in the thread state's dict owns it,
//! so that the address of a dead thread state is never taken for a new one at the same place. (A record that is made while the
//! thread state is being cleared has no such owner; the end of the system's thread is its end.) Greenlets that were started
//! keep the record itself (not the thread) alive by a count.

use std::cell::{Cell, UnsafeCell};
use std::ffi::CStr;
use std::ptr::{self, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use pyo3::ffi;
use verdigris_fiber::{Context, Stack};

use super::object::{self, Phase, PyGreenlet};
use super::python::{self, Pending};
use super::switch::Start;
use super::{collector, overflow};

pub(crate) struct Thread {
    /// The greenlet that runs; owned.
    pub(super) current: Cell<*mut PyGreenlet>,
    /// Owned until the thread ends.
    pub(super) main: Cell<*mut PyGreenlet>,
    /// NULL when the thread has ended.
    tstate: AtomicPtr<ffi::PyThreadState>,
    /// Who switched last; owned, from the switch until the one that was switched to has taken it.
    pub(super) origin: Cell<*mut PyGreenlet>,
    /// What a greenlet that is being started will look at first.
    pub(super) starting: Cell<Start>,
    /// The stack of a greenlet that has ended, until the next one is on its own.
    pub(super) retired: UnsafeCell<Option<Stack>>,
    /// The parent that a greenlet which has ended switched to; owned by whoever lands next.
    pub(super) farewell: Cell<*mut PyGreenlet>,
    /// To whom a greenlet that is just ending hands over in place of its parent; kept by who named it. NULL: to its parent.
    pub(super) successor: Cell<*mut PyGreenlet>,
    /// The trace function; owned, or NULL.
    pub(super) tracer: Cell<*mut ffi::PyObject>,
    /// Whether landing from a switch has more to do than usual: `retired`, `tracer` or `condemned` is not empty.
    pub(super) attention: AtomicBool,
    /// Greenlets of this thread whose last reference went in another thread; owned.
    condemned: Mutex<Vec<*mut PyGreenlet>>,
    has_condemned: AtomicBool,
    references: AtomicUsize,
}

thread_local! {
    static THREAD: Cell<*const Thread> = const { Cell::new(ptr::null()) };
    static GUARD: Guard = const { Guard(Cell::new(ptr::null())) };
}

/// Says that a record's thread has ended when the system's thread ends, should nobody have said so before. Owns a count.
struct Guard(Cell<*const Thread>);

impl Drop for Guard {
    fn drop(&mut self) {
        let thread = self.0.replace(ptr::null());
        if !thread.is_null() {
            // SAFETY: the guard's count keeps the record. Nothing of Python is touched.
            unsafe {
                (*thread).tstate.store(null_mut(), Ordering::Relaxed);
                Thread::release(thread);
            }
        }
    }
}

/// Threads that have a main greenlet.
static MAIN_GREENLETS: AtomicUsize = AtomicUsize::new(0);

const CAPSULE: &CStr = c"verdigris.greenlet.thread";

pub(super) fn total_main_greenlets() -> usize {
    MAIN_GREENLETS.load(Ordering::Relaxed)
}

/// The running greenlet, borrowed. NULL with an exception when there can be none (the interpreter is being finalized).
///
/// # Safety
///
/// The GIL is held.
#[inline]
pub(crate) unsafe fn current() -> *mut PyGreenlet {
    // SAFETY: the thread's record lives as long as its thread state; see `present`.
    unsafe {
        let thread = present();
        if thread.is_null() {
            null_mut()
        } else {
            (*thread).current.get()
        }
    }
}

/// The record of the running thread, made on demand. NULL with an exception when that is not possible.
///
/// # Safety
///
/// The GIL is held.
#[inline]
pub(super) unsafe fn present() -> *const Thread {
    let thread = THREAD.get();
    // SAFETY: a record that THREAD names exists: `ended` takes it away from there first.
    unsafe {
        if !thread.is_null() && (*thread).tstate() == ffi::PyThreadState_Get() {
            if (*thread).has_condemned() {
                (*thread).finish_condemned();
            }
            return thread;
        }
        begin()
    }
}

/// The record of the running thread, if it has one.
pub(super) fn present_if_any() -> *const Thread {
    let thread = THREAD.get();
    // SAFETY: as in `present`.
    if !thread.is_null() && unsafe { (*thread).is_alive() } {
        thread
    } else {
        ptr::null()
    }
}

#[cold]
unsafe fn begin() -> *const Thread {
    // SAFETY: the GIL is held; the record is complete before it is published.
    unsafe {
        if python::is_finalizing() {
            python::set_error(ffi::PyExc_RuntimeError, c"greenlet is being finalized");
            return ptr::null();
        }
        let pending = Pending::take();
        let thread = Box::into_raw(Box::new(Thread {
            current: Cell::new(null_mut()),
            main: Cell::new(null_mut()),
            tstate: AtomicPtr::new(ffi::PyThreadState_Get()),
            origin: Cell::new(null_mut()),
            starting: Cell::new(Start::NONE),
            retired: UnsafeCell::new(None),
            farewell: Cell::new(null_mut()),
            successor: Cell::new(null_mut()),
            tracer: Cell::new(null_mut()),
            attention: AtomicBool::new(false),
            condemned: Mutex::new(Vec::new()),
            has_condemned: AtomicBool::new(false),
            references: AtomicUsize::new(3), // the capsule, the main greenlet and the guard
        }));
        // Not the collector: what it finalizes might ask for the record, and a thread has one.
        let (main, capsule, dict) = python::uncollected(|| {
            let main = object::allocate_main(thread);
            let capsule = ffi::PyCapsule_New(thread.cast(), CAPSULE.as_ptr(), Some(ended));
            (main, capsule, ffi::PyThreadState_GetDict())
        });
        if main.is_null() || capsule.is_null() || dict.is_null() {
            // Out of memory while a thread meets its first greenlet; the few bytes are lost.
            return ptr::null();
        }
        ffi::Py_INCREF(main.cast());
        (*thread).main.set(main);
        (*thread).current.set(main);
        MAIN_GREENLETS.fetch_add(1, Ordering::Relaxed);
        let stored = ffi::PyDict_SetItemString(dict, CAPSULE.as_ptr(), capsule);
        THREAD.set(thread);
        GUARD.with(|guard| Thread::release(guard.0.replace(thread)));
        ffi::Py_DECREF(capsule);
        if stored != 0 {
            return ptr::null();
        }
        overflow::watch_thread();
        pending.restore();
        thread
    }
}

/// The thread state is being cleared: by its own thread when that ends, by another one after a fork or at exit.
unsafe extern "C" fn ended(capsule: *mut ffi::PyObject) {
    // SAFETY: the capsule owns the record it was made with.
    unsafe {
        let thread: *const Thread = ffi::PyCapsule_GetPointer(capsule, CAPSULE.as_ptr()).cast();
        if thread.is_null() {
            ffi::PyErr_Clear();
            return;
        }
        let pending = Pending::take();
        (*thread).tstate.store(null_mut(), Ordering::Relaxed);
        if THREAD.get() == thread {
            THREAD.set(ptr::null());
        }
        MAIN_GREENLETS.fetch_sub(1, Ordering::Relaxed);
        collector::give_up(&*thread);
        let main = (*thread).main.replace(null_mut());
        object::state(main).phase.set(Phase::Dead);
        // Where it was left, if it was (in the child of a fork): on the stack of a thread that does not exist.
        object::state(main).context.set(Context::NULL);
        let current = (*thread).current.replace(null_mut());
        // In the child of a fork, the other threads are gone in the middle of what they did. Nobody noted where the greenlet that ran
        // was in Python, so nobody can tell who points at its frames: its stack is lost.
        if let Some(stack) = (*object::state(current).stack.get()).take() {
            super::pool().abandon(stack);
        }
        let tracer = (*thread).tracer.replace(null_mut());
        ffi::Py_XDECREF(tracer);
        for greenlet in (*thread).take_condemned() {
            ffi::Py_DECREF(greenlet.cast());
        }
        ffi::Py_DECREF(current.cast());
        ffi::Py_DECREF(main.cast());
        Thread::release(thread);
        pending.restore();
    }
}

impl Thread {
    pub(super) fn is_alive(&self) -> bool {
        !self.tstate().is_null()
    }

    /// The thread state by which the thread is known; NULL when the thread has ended.
    #[inline(always)]
    pub(super) fn tstate(&self) -> *mut ffi::PyThreadState {
        self.tstate.load(Ordering::Relaxed)
    }

    pub(super) fn retain(&self) {
        self.references.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops a count; NULL has none.
    ///
    /// # Safety
    ///
    /// The caller owns the count.
    pub(super) unsafe fn release(thread: *const Thread) {
        // SAFETY: the caller's count keeps the record until here.
        unsafe {
            if !thread.is_null() && (*thread).references.fetch_sub(1, Ordering::AcqRel) == 1 {
                drop(Box::from_raw(thread.cast_mut()));
            }
        }
    }

    /// Hands a greenlet of this thread over, to be killed when the thread next deals with greenlets. Takes a reference.
    pub(super) fn condemn(&self, greenlet: *mut PyGreenlet) {
        self.lock_condemned().push(greenlet);
        self.has_condemned.store(true, Ordering::Release);
        self.attention.store(true, Ordering::Release);
    }

    /// Whether other threads have handed something over.
    #[inline(always)]
    pub(super) fn has_condemned(&self) -> bool {
        self.has_condemned.load(Ordering::Relaxed)
    }

    /// Kills what other threads handed over. This runs Python code and switches.
    ///
    /// # Safety
    ///
    /// The GIL is held, in this thread, whose current greenlet may be left.
    #[cold]
    pub(super) unsafe fn finish_condemned(&self) {
        for greenlet in self.take_condemned() {
            // SAFETY: the list owned the reference. Its end kills the greenlet, here in its own thread.
            unsafe {
                let pending = Pending::take();
                object::finish(greenlet);
                ffi::Py_DECREF(greenlet.cast());
                pending.restore();
            }
        }
    }

    fn take_condemned(&self) -> Vec<*mut PyGreenlet> {
        let mut list = self.lock_condemned();
        self.has_condemned.store(false, Ordering::Relaxed);
        std::mem::take(&mut *list)
    }

    fn lock_condemned(&self) -> std::sync::MutexGuard<'_, Vec<*mut PyGreenlet>> {
        self.condemned.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether landing has extra work, kept in one flag for the hot path.
    pub(super) fn update_attention(&self) {
        // SAFETY: only this thread looks into `retired`, and nobody keeps a borrow of it.
        let retired = unsafe { (*self.retired.get()).is_some() };
        let condemned = self.has_condemned.load(Ordering::Relaxed);
        self.attention
            .store(retired || condemned || !self.tracer.get().is_null(), Ordering::Relaxed);
    }
}
