//! Greenlets: fibers that run Python, each with a parent. This is the greenlet that `greenlet.greenlet` names.
//!
//! ```text
//!   object      the object and its state, birth and death          attributes  what Python sees of it
//!   thread      what belongs to a thread                           methods     switch and throw, called from Python
//!   switch      from one greenlet to another                       trace       settrace
//!   kill        the end of one that nobody refers to               module      the functions and types of the module
//!   python, names   small things about CPython                     capsule     the C interface
//!   stacks      how large stacks are                               sweeper     memory of those that are idle
//!   approach    bringing near what is resumed soon                 layer       what the hub needs
//!   collector   a collection whose thread ended in its middle
//! ```
//!
//! The rules that everything here keeps, because any Python code may switch, and so may any decref:
//!
//! * a reference is taken out of a cell before it is dropped, and a cell is whole before anything is called;
//! * no lock, no borrow and nothing with a destructor is held over a call into Python or over a switch;
//! * the pending exception is put aside before Python code runs, unless it is what is being delivered.
//!
//! The type is made by hand and not by PyO3: it has genuine greenlet's C layout, and functions on a greenlet's stack must
//! let `pthread_exit` unwind through them.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;

pub(crate) mod approach;
mod attributes;
mod capsule;
mod collector;
mod kill;
mod layer;
mod methods;
mod module;
mod names;
mod object;
mod overflow;
mod python;
mod stacks;
mod sweeper;
mod switch;
mod thread;
mod trace;
mod way_back;

pub(crate) use layer::{
    current_bound, exit_class, has_no_attributes, is_traced, main_bound, set_initial_parent, set_successor, slot,
};
pub(crate) use module::register;
pub(crate) use object::{PyGreenlet, allocate_child, begin_dealloc, finish_dealloc, state};
pub(crate) use stacks::pool;
pub(crate) use sweeper::before_sleep;
pub(crate) use switch::switch;
pub(crate) use thread::current;

static GREENLET: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());
static EXIT: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());
static ERROR: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());

/// `greenlet.greenlet`, borrowed; made when the module is loaded, and then for ever.
#[inline]
pub(crate) fn greenlet_type() -> *mut ffi::PyTypeObject {
    GREENLET.load(Ordering::Relaxed)
}

/// `greenlet.GreenletExit`.
pub(crate) fn exit_type() -> *mut ffi::PyTypeObject {
    EXIT.load(Ordering::Relaxed)
}

/// `greenlet.error`.
pub(crate) fn error_type() -> *mut ffi::PyTypeObject {
    ERROR.load(Ordering::Relaxed)
}

/// Whether the object is a greenlet of any type.
///
/// # Safety
///
/// The object is alive.
pub(crate) unsafe fn is_greenlet(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's promise.
    unsafe { ffi::PyObject_TypeCheck(object, greenlet_type()) != 0 }
}

/// Started and finished, or left behind by a thread that has ended.
///
/// # Safety
///
/// `greenlet` is a greenlet that is alive; so for the next two.
pub(crate) unsafe fn is_dead(greenlet: *mut PyGreenlet) -> bool {
    // SAFETY: the caller's promise.
    unsafe { state(greenlet).is_dead() }
}

/// Whether it was ever switched to (a main greenlet always was).
///
/// # Safety
///
/// See [`is_dead`].
pub(crate) unsafe fn is_started(greenlet: *mut PyGreenlet) -> bool {
    // SAFETY: the caller's promise.
    unsafe { state(greenlet).is_started() }
}

/// Borrowed; NULL for a main greenlet.
///
/// # Safety
///
/// See [`is_dead`].
pub(crate) unsafe fn parent(greenlet: *mut PyGreenlet) -> *mut PyGreenlet {
    // SAFETY: the caller's promise.
    unsafe { state(greenlet).parent.get() }
}
