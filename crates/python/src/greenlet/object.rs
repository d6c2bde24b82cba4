//! The greenlet object: its C layout, the state behind it, its birth and its death.
//!
//! ```text
//!   PyGreenlet (genuine greenlet's layout)        State (ours, one allocation)
//!   +----------------------------+                +-----------------------------------------+
//!   | PyObject_HEAD              |                | context: where it was left, NULL unless  |
//!   | weakreflist                |                |          it is suspended                |
//!   | dict                       |                | thread:  which thread's, once started    |
//!   | pimpl  ------------------- | -------------> | saved:   its part of CPython's state     |
//!   +----------------------------+                | stack, parent, run, phase, ...          |
//!   | fields of a subclass in C  |                | slot:    the hub's                       |
//!   +----------------------------+                +-----------------------------------------+
//! ```
//!
//! A greenlet is in one of three phases:
//!
//! ```text
//!   Unstarted --first switch--> Active --run ends--> Dead
//!   no thread,                  running (its thread's     no stack; the thread stays
//!   no stack                    `current`) or suspended    known for the checks
//! ```
//!
//! An active greenlet whose thread has ended counts as dead: nobody can ever switch to it.
//!
//! Death of the object: a greenlet that is suspended when its last reference goes has frames which hold things, so GreenletExit is
//! raised in it before the memory is freed (`kill`). That may run any Python code, and the greenlet may survive it. A subclass
//! in C therefore calls [`begin_dealloc`] first, drops its own fields only if that says so, and ends with [`finish_dealloc`].

use std::cell::{Cell, UnsafeCell};
use std::ptr::{self, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use verdigris_fiber::{Context, Stack};

use super::thread::{self, Thread};
use super::{kill, python};
use crate::hub::GreenletSlot;
use crate::tstate::{self, Saved};

/// Genuine greenlet's public struct (`greenlet.h`): extensions compiled against it see this.
#[repr(C)]
pub(crate) struct PyGreenlet {
    pub(crate) ob_base: ffi::PyObject,
    pub(super) weakreflist: *mut ffi::PyObject,
    pub(super) dict: *mut ffi::PyObject,
    pub(super) pimpl: *mut State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Unstarted,
    Active,
    Dead,
}

/// What `run` is for a subclass written in Rust: gets the greenlet and what came with the first switch (owned: a value, or the tuple of
/// a call from Python), returns an owned object, or NULL with an exception set. Called with no destructors below it.
pub(crate) type NativeRun = unsafe extern "C-unwind" fn(*mut PyGreenlet, *mut ffi::PyObject) -> *mut ffi::PyObject;

pub(crate) struct State {
    /// Where it was left; not NULL means that it can be switched to directly.
    pub(super) context: Cell<Context>,
    /// The thread it runs in, counted; NULL before it has started.
    pub(super) thread: Cell<*const Thread>,
    pub(super) saved: UnsafeCell<Saved>,
    pub(super) stack: UnsafeCell<Option<Stack>>,
    /// Owned; NULL for a thread's main greenlet, and after the garbage collector cleared it.
    pub(super) parent: Cell<*mut PyGreenlet>,
    /// Owned; what was given as `run`, and from the start to the end what is being called.
    pub(super) run: Cell<*mut ffi::PyObject>,
    /// Owned; what `run` was called with, from the start to the end. Kept here and not on the stack: what is lost with that is lost.
    pub(super) arguments: Cell<*mut ffi::PyObject>,
    pub(super) keywords: Cell<*mut ffi::PyObject>,
    pub(super) phase: Cell<Phase>,
    pub(super) is_main: Cell<bool>,
    /// Another thread's collector found it unreachable: its own thread is to kill it, whatever else refers to it.
    pub(super) is_garbage: Cell<bool>,
    /// Where the sweeper saw it last, and how often in succession.
    pub(super) seen: Cell<u32>,
    pub(super) looks: Cell<u8>,
    /// Called in place of the attribute `run`.
    pub(crate) native_run: Cell<Option<NativeRun>>,
    /// The hub's own.
    pub(crate) slot: GreenletSlot,
}

/// The state behind a greenlet.
///
/// # Safety
///
/// `greenlet` is a greenlet (checked by type), and is kept alive while the result is used.
#[inline(always)]
pub(crate) unsafe fn state<'a>(greenlet: *mut PyGreenlet) -> &'a State {
    // SAFETY: `tp_new` gives every greenlet a state before anybody sees it, and only `finish_dealloc` takes it away.
    unsafe { &*(*greenlet).pimpl }
}

impl State {
    pub(super) fn is_started(&self) -> bool {
        self.phase.get() != Phase::Unstarted
    }

    /// Started and not finished, in a thread that lives.
    pub(super) fn is_active(&self) -> bool {
        // SAFETY: a greenlet that is not unstarted has a thread, which it keeps alive.
        self.phase.get() == Phase::Active && unsafe { (*self.thread.get()).is_alive() }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_started() && !self.is_active()
    }

    /// Drops `run` and what it was called with.
    ///
    /// # Safety
    ///
    /// The GIL is held; `run` is not being called, or never returns.
    pub(super) unsafe fn drop_call(&self) {
        for cell in [&self.run, &self.arguments, &self.keywords] {
            // SAFETY: the references are the state's own.
            unsafe { ffi::Py_XDECREF(cell.replace(null_mut())) };
        }
    }

    /// Whether it runs right now, in whichever thread.
    pub(super) fn is_running(&self, greenlet: *mut PyGreenlet) -> bool {
        // SAFETY: as above.
        self.is_active() && unsafe { (*self.thread.get()).current.get() == greenlet }
    }
}

/// Makes an unstarted greenlet of the type, whose parent is the current one. The fields of a subclass are zero.
///
/// # Safety
///
/// The GIL is held; `kind` is the greenlet type or a subtype.
pub(crate) unsafe fn allocate(kind: *mut ffi::PyTypeObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise; the current greenlet is alive.
    unsafe {
        let parent = thread::current();
        if parent.is_null() {
            return null_mut();
        }
        allocate_child(kind, parent)
    }
}

/// The same with another parent.
///
/// # Safety
///
/// As [`allocate`]; `parent` is alive, and of this thread.
#[inline]
pub(crate) unsafe fn allocate_child(kind: *mut ffi::PyTypeObject, parent: *mut PyGreenlet) -> *mut ffi::PyObject {
    // SAFETY: the object is written before anybody sees it: tp_alloc tracks it, but nothing in between runs Python code.
    unsafe {
        let object = if (*kind).tp_flags & ffi::Py_TPFLAGS_IS_ABSTRACT == 0 {
            ((*kind).tp_alloc.unwrap_unchecked())(kind, 0)
        } else {
            refuse_abstract(kind)
        };
        if object.is_null() {
            return null_mut();
        }
        ffi::Py_INCREF(parent.cast());
        install_state(object.cast(), parent, ptr::null());
        object
    }
}

/// `object.__new__` knows how to say which abstract methods are missing.
#[cold]
unsafe fn refuse_abstract(kind: *mut ffi::PyTypeObject) -> *mut ffi::PyObject {
    // SAFETY: as in `allocate`.
    unsafe {
        let arguments = ffi::PyTuple_New(0);
        let make = ffi::PyBaseObject_Type.tp_new.unwrap_unchecked();
        let object = make(kind, arguments, null_mut());
        ffi::Py_XDECREF(arguments);
        object
    }
}

/// Makes a thread's main greenlet: it runs, and has always run.
///
/// # Safety
///
/// The GIL is held, in the thread that `thread` stands for.
pub(super) unsafe fn allocate_main(thread: *const Thread) -> *mut PyGreenlet {
    let kind = super::greenlet_type();
    // SAFETY: as in `allocate`.
    unsafe {
        let object: *mut PyGreenlet = ((*kind).tp_alloc.unwrap_unchecked())(kind, 0).cast();
        if !object.is_null() {
            install_state(object, null_mut(), thread);
            // CPython 3.11 remembers where a method is for objects that have a `__dict__` and for classes without one; where there could be
            // one, but is none, it looks for `main.switch` at every call.
            #[cfg(not(Py_3_12))]
            {
                (*object).dict = ffi::PyDict_New();
                if (*object).dict.is_null() {
                    ffi::PyErr_Clear();
                }
            }
            let state = state(object);
            state.phase.set(Phase::Active);
            state.is_main.set(true);
        }
        object
    }
}

unsafe fn install_state(greenlet: *mut PyGreenlet, parent: *mut PyGreenlet, thread: *const Thread) {
    // Python's allocator, as for all that is small and lives as long as an object: it is the faster one for a crowd.
    // SAFETY: the GIL is held, and the result is checked.
    let place: *mut State = unsafe { ffi::PyObject_Malloc(size_of::<State>()) }.cast();
    if place.is_null() {
        std::alloc::handle_alloc_error(std::alloc::Layout::new::<State>());
    }
    let state = State {
        context: Cell::new(Context::NULL),
        thread: Cell::new(thread),
        saved: UnsafeCell::new(Saved::empty()),
        stack: UnsafeCell::new(None),
        parent: Cell::new(parent),
        run: Cell::new(null_mut()),
        arguments: Cell::new(null_mut()),
        keywords: Cell::new(null_mut()),
        phase: Cell::new(Phase::Unstarted),
        is_main: Cell::new(false),
        is_garbage: Cell::new(false),
        seen: Cell::new(0),
        looks: Cell::new(0),
        native_run: Cell::new(None),
        slot: GreenletSlot::default(),
    };
    // SAFETY: the object is new and ours; the place is large enough, and aligned as all that Python's allocator gives (16 bytes).
    unsafe {
        place.write(state);
        (*greenlet).pimpl = place;
    }
}

/// The first half of `tp_dealloc`: a suspended greenlet is killed. False means that it lives on: return at once.
///
/// # Safety
///
/// To be called first in `tp_dealloc`, on an object whose reference count is zero.
pub(crate) unsafe fn begin_dealloc(greenlet: *mut PyGreenlet) -> bool {
    // SAFETY: the caller is the deallocator: the object is whole and nobody else has it.
    unsafe {
        ffi::PyObject_GC_UnTrack(greenlet.cast());
        let own = state(greenlet);
        if own.phase.get() != Phase::Active || own.is_main.get() {
            return true;
        }
        python::resurrect(greenlet.cast());
        if matches!(kill::kill(greenlet), kill::Outcome::Survived) && python::reference_count(greenlet.cast()) == 1 {
            keep_for_ever(greenlet);
        }
        if python::release_resurrected(greenlet.cast()) {
            return true;
        }
        ffi::PyObject_GC_Track(greenlet.cast());
        false
    }
}

/// It would not die, and its frames may hold anything: says so, and lets it stay suspended for ever.
pub(super) unsafe fn keep_for_ever(greenlet: *mut PyGreenlet) {
    // SAFETY: the caller holds a reference.
    unsafe {
        kill::complain(greenlet);
        ffi::Py_INCREF(greenlet.cast());
    }
}

/// The second half of `tp_dealloc`: frees the object. The fields of a subclass have been dropped.
///
/// # Safety
///
/// `begin_dealloc` has just returned true for it.
pub(crate) unsafe fn finish_dealloc(greenlet: *mut PyGreenlet) {
    // SAFETY: nobody else has the object; each reference is taken out before it is dropped, because dropping runs code.
    unsafe {
        let kind = ffi::Py_TYPE(greenlet.cast());
        if !(*greenlet).weakreflist.is_null() {
            ffi::PyObject_ClearWeakRefs(greenlet.cast());
        }
        let dict = ptr::replace(&raw mut (*greenlet).dict, null_mut());
        ffi::Py_XDECREF(dict);
        let state = ptr::replace(&raw mut (*greenlet).pimpl, null_mut());
        (*state).slot.locals().clear(greenlet.addr());
        drop_state(&*state);
        ptr::drop_in_place(state);
        ffi::PyObject_Free(state.cast());
        ((*kind).tp_free.unwrap_unchecked())(greenlet.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

const _: () = assert!(align_of::<State>() <= 16);

/// # Safety
///
/// The greenlet that the state belonged to is gone.
unsafe fn drop_state(state: &State) {
    // SAFETY: each reference is the state's own.
    unsafe {
        state.drop_call();
        drop_chain(state.parent.replace(null_mut()));
        ffi::Py_XDECREF(ptr::replace(tstate::saved_context(state.saved.get()), null_mut()));
        if let Some(stack) = (*state.stack.get()).take() {
            give_up(state, stack);
        }
        Thread::release(state.thread.replace(ptr::null()));
    }
}

/// Drops a reference to a parent. A chain of parents that goes with it is taken apart here link by link: each would otherwise be
/// deallocated inside the deallocation of the one before, down to the end of the stack.
unsafe fn drop_chain(mut parent: *mut PyGreenlet) {
    // SAFETY: the reference is the caller's; that of each further link is taken out of it first.
    unsafe {
        while !parent.is_null() {
            let plain = (*ffi::Py_TYPE(parent.cast()))
                .tp_dealloc
                .is_some_and(|own| own as *const () == dealloc as *const ());
            let last = python::reference_count(parent.cast()) == 1;
            let mut next = null_mut();
            // Nobody can see the parent of one that is dead or unstarted any more, as it has no Python code of its own.
            if plain && last && state(parent).phase.get() != Phase::Active {
                next = state(parent).parent.replace(null_mut());
            }
            ffi::Py_DECREF(parent.cast());
            parent = next;
        }
    }
}

/// Whether what calls in an ended thread's greenlets were about is dropped, where that is possible (CPython 3.14 and later). Genuine greenlet's
/// `enable_optional_cleanup` sets it.
pub(super) static OPTIONAL_CLEANUP: AtomicBool = AtomicBool::new(true);

/// The stack of a greenlet that cannot be killed: its thread is gone, or the interpreter is going.
unsafe fn give_up(state: &State, stack: Stack) {
    state.context.set(Context::NULL);
    // SAFETY: nobody will run on the stack again; whether something points at its frames is asked.
    unsafe {
        let clear = OPTIONAL_CLEANUP.load(Ordering::Relaxed);
        if !python::is_finalizing() && tstate::forget(state.saved.get(), clear.into()) != 0 {
            super::pool().release(stack);
        } else {
            super::pool().abandon(stack);
        }
    }
}

/// `tp_dealloc` of the greenlet type itself.
pub(super) unsafe extern "C-unwind" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: called by CPython for an object of our type whose last reference is gone.
    unsafe {
        if begin_dealloc(object.cast()) {
            finish_dealloc(object.cast());
        }
    }
}

/// `tp_traverse`. Before 3.15 the frames of a suspended greenlet are not visited: what they hold counts as reachable from outside, so
/// a cycle through them is kept, and one that is collected has nothing on its stack that the collector did not see.
///
/// The collector may only take what belongs to a suspended greenlet when `finalize` has ended it: code that ran on with its
/// context or its globals cleared would crash the process. So one whose `finalize` will not be called is shown without what it refers to.
pub(crate) unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> std::ffi::c_int {
    // SAFETY: called by the collector on a whole object; nothing here runs Python code.
    unsafe {
        let greenlet: *mut PyGreenlet = object.cast();
        let kind: *mut ffi::PyObject = ffi::Py_TYPE(object).cast();
        if !(*greenlet).pimpl.is_null() && is_suspended(state(greenlet)) && !will_be_finalized(object) {
            return visit(kind, argument);
        }
        let mut visited = [null_mut(); 7];
        visited[0] = kind;
        visited[1] = (*greenlet).dict;
        if !(*greenlet).pimpl.is_null() {
            let state = state(greenlet);
            visited[2] = state.parent.get().cast();
            visited[3] = state.run.get();
            visited[4] = *tstate::saved_context(state.saved.get());
            visited[5] = state.arguments.get();
            visited[6] = state.keywords.get();
        }
        for child in visited {
            if !child.is_null() {
                let result = visit(child, argument);
                if result != 0 {
                    return result;
                }
            }
        }
        if !(*greenlet).pimpl.is_null() && is_suspended(state(greenlet)) {
            return tstate::visit(state(greenlet).saved.get(), visit, argument);
        }
    }
    0
}

/// Suspended in a thread that lives. (A main greenlet that is dead had its frames in a thread state which is gone.)
fn is_suspended(state: &State) -> bool {
    !state.context.get().is_null() && !state.is_dead()
}

/// Whether the collector would call `finalize`: not when a subclass has a `__del__` in its place, nor for the second time.
unsafe fn will_be_finalized(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the object is whole.
    unsafe {
        let own = (*ffi::Py_TYPE(object)).tp_finalize;
        own.is_some_and(|own| own as *const () == finalize as *const ()) && ffi::PyObject_GC_IsFinalized(object) == 0
    }
}

/// `tp_clear`: a greenlet in an unreachable cycle. One that is still suspended is not part of any (see `traverse`), but what refers to
/// it may be: its end comes with its last reference.
pub(crate) unsafe extern "C-unwind" fn clear(object: *mut ffi::PyObject) -> std::ffi::c_int {
    // SAFETY: called by the collector, which holds a reference; references are taken out before they are dropped.
    unsafe {
        let greenlet: *mut PyGreenlet = object.cast();
        let state = state(greenlet);
        if state.is_active() {
            return 0;
        }
        if let Some(stack) = (*state.stack.get()).take() {
            give_up(state, stack);
        }
        let dict = ptr::replace(&raw mut (*greenlet).dict, null_mut());
        let parent = state.parent.replace(null_mut());
        state.drop_call();
        ffi::Py_XDECREF(parent.cast());
        ffi::Py_XDECREF(dict);
    }
    0
}

/// `tp_finalize`: the collector found the greenlet unreachable. If it is suspended, its `finally` blocks run now, while
/// everything it refers to is still whole.
pub(super) unsafe extern "C-unwind" fn finalize(object: *mut ffi::PyObject) {
    // SAFETY: called by CPython with a reference held.
    unsafe {
        let own = state(object.cast());
        if own.phase.get() != Phase::Active || own.is_main.get() {
            return;
        }
        match kill::kill(object.cast()) {
            kill::Outcome::Finished => {}
            kill::Outcome::Handed => own.is_garbage.set(true),
            kill::Outcome::Survived => keep_for_ever(object.cast()),
        }
    }
}

/// Ends a greenlet that a collector in another thread handed to this one, its own. The cycle that it is in is collected later.
///
/// # Safety
///
/// The GIL is held; the caller holds a reference.
pub(super) unsafe fn finish(greenlet: *mut PyGreenlet) {
    // SAFETY: the caller's promise; only a suspended greenlet is handed over, and its thread is the running one.
    unsafe {
        let own = state(greenlet);
        if own.is_garbage.replace(false)
            && own.phase.get() == Phase::Active
            && matches!(kill::kill(greenlet), kill::Outcome::Survived)
        {
            keep_for_ever(greenlet);
        }
    }
}
