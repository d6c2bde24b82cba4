//! The capsule `greenlet._C_API`: genuine greenlet's C interface, for extensions compiled against its `greenlet.h`.
//!
//! It holds an array of twelve pointers whose order is part of that header: three types and nine functions.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{PyGreenlet, state};
use super::python::set_error;
use super::{attributes, error_type, exit_type, greenlet_type, is_greenlet, methods, object, switch, thread};

type Object = *mut ffi::PyObject;

/// The array; the pointers in it are not changed after it is made.
struct Table(#[allow(dead_code)] [*mut c_void; 12]);

/// # Safety
///
/// The GIL is held, and the types have been made.
pub(super) unsafe fn make(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let table = Box::leak(Box::new(Table([
        greenlet_type().cast(),
        error_type().cast(),
        exit_type().cast(),
        new as *mut c_void,
        get_current as *mut c_void,
        throw as *mut c_void,
        switch_to as *mut c_void,
        set_parent as *mut c_void,
        is_main as *mut c_void,
        is_started as *mut c_void,
        is_active as *mut c_void,
        get_parent as *mut c_void,
    ])));
    // SAFETY: the table lives for ever; the name is the one that the header asks for.
    unsafe {
        let table: *mut Table = table;
        let capsule = ffi::PyCapsule_New(table.cast(), c"greenlet._C_API".as_ptr(), None);
        Bound::from_owned_ptr_or_err(py, capsule)
    }
}

/// Sets TypeError if it is not a greenlet.
unsafe fn check(object: *mut PyGreenlet) -> bool {
    // SAFETY: the caller of the C interface gives an object or NULL.
    unsafe {
        if object.is_null() {
            set_error(ffi::PyExc_TypeError, c"Expected any type of greenlet, not NULL");
            return false;
        }
        if is_greenlet(object.cast()) {
            return true;
        }
        let name = (*ffi::Py_TYPE(object.cast())).tp_name;
        ffi::PyErr_Format(
            ffi::PyExc_TypeError,
            c"Expected any type of greenlet, not %s".as_ptr(),
            name,
        );
        false
    }
}

unsafe extern "C-unwind" fn new(run: Object, parent: *mut PyGreenlet) -> *mut PyGreenlet {
    // SAFETY: called with the GIL held; `run` and `parent` may be NULL.
    unsafe {
        let greenlet = object::allocate(greenlet_type());
        if greenlet.is_null() {
            return null_mut();
        }
        let failed = (!run.is_null() && attributes::set_run(greenlet, run, null_mut()) != 0)
            || (!parent.is_null() && attributes::set_parent(greenlet, parent.cast(), null_mut()) != 0);
        if failed {
            ffi::Py_DECREF(greenlet);
            return null_mut();
        }
        greenlet.cast()
    }
}

unsafe extern "C-unwind" fn get_current() -> *mut PyGreenlet {
    // SAFETY: called with the GIL held.
    unsafe {
        let current = thread::current();
        ffi::Py_XINCREF(current.cast());
        current
    }
}

unsafe extern "C-unwind" fn throw(target: *mut PyGreenlet, kind: Object, value: Object, traceback: Object) -> Object {
    // SAFETY: called with the GIL held; the arguments are borrowed.
    unsafe {
        if check(target) {
            methods::throw(target, kind, value, traceback)
        } else {
            null_mut()
        }
    }
}

unsafe extern "C-unwind" fn switch_to(target: *mut PyGreenlet, arguments: Object, keywords: Object) -> Object {
    // SAFETY: called with the GIL held; the arguments are borrowed and may be NULL.
    unsafe {
        if !check(target) {
            return null_mut();
        }
        let arguments = if arguments.is_null() {
            ffi::PyTuple_New(0)
        } else {
            ffi::Py_INCREF(arguments);
            arguments
        };
        if arguments.is_null() {
            return null_mut();
        }
        let keywords = if keywords.is_null() || ffi::PyDict_Check(keywords) == 0 {
            null_mut()
        } else {
            keywords
        };
        ffi::Py_XINCREF(keywords);
        switch::switch_with_arguments(target, arguments, keywords)
    }
}

unsafe extern "C-unwind" fn set_parent(greenlet: *mut PyGreenlet, parent: *mut PyGreenlet) -> c_int {
    // SAFETY: called with the GIL held.
    unsafe {
        if check(greenlet) {
            attributes::set_parent(greenlet.cast(), parent.cast(), null_mut())
        } else {
            -1
        }
    }
}

unsafe extern "C-unwind" fn is_main(greenlet: *mut PyGreenlet) -> c_int {
    // SAFETY: called with the GIL held.
    unsafe {
        if check(greenlet) {
            state(greenlet).is_main.get().into()
        } else {
            -1
        }
    }
}

unsafe extern "C-unwind" fn is_started(greenlet: *mut PyGreenlet) -> c_int {
    // SAFETY: called with the GIL held.
    unsafe {
        if check(greenlet) {
            state(greenlet).is_started().into()
        } else {
            -1
        }
    }
}

unsafe extern "C-unwind" fn is_active(greenlet: *mut PyGreenlet) -> c_int {
    // SAFETY: called with the GIL held.
    unsafe {
        if check(greenlet) {
            state(greenlet).is_active().into()
        } else {
            -1
        }
    }
}

/// A new reference, or NULL: without an exception for a main greenlet.
unsafe extern "C-unwind" fn get_parent(greenlet: *mut PyGreenlet) -> *mut PyGreenlet {
    // SAFETY: called with the GIL held.
    unsafe {
        if !check(greenlet) {
            return null_mut();
        }
        let parent = state(greenlet).parent.get();
        ffi::Py_XINCREF(parent.cast());
        parent
    }
}
