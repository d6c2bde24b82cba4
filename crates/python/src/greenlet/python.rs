//! Small things that CPython's C API lacks or names differently from version to version.

use std::ffi::CStr;

use pyo3::ffi;

/// An exception put aside, so that code which must not see it can run.
#[must_use = "an exception put aside has to be restored or dropped"]
pub(super) struct Pending {
    #[cfg(Py_3_12)]
    value: *mut ffi::PyObject,
    #[cfg(not(Py_3_12))]
    parts: [*mut ffi::PyObject; 3],
}

impl Pending {
    /// # Safety
    ///
    /// The GIL is held.
    pub(super) unsafe fn take() -> Pending {
        // SAFETY: the caller holds the GIL.
        #[cfg(Py_3_12)]
        unsafe {
            Pending {
                value: ffi::PyErr_GetRaisedException(),
            }
        }
        #[cfg(not(Py_3_12))]
        {
            let mut parts = [std::ptr::null_mut(); 3];
            let [kind, value, traceback] = &mut parts;
            // SAFETY: the caller holds the GIL; the parts are variables. To ask first is a third of the work where there is none.
            unsafe {
                if !ffi::PyErr_Occurred().is_null() {
                    ffi::PyErr_Fetch(kind, value, traceback);
                }
            }
            Pending { parts }
        }
    }

    /// Sets the exception again (or none), in place of any that is set now.
    ///
    /// # Safety
    ///
    /// The GIL is held.
    pub(super) unsafe fn restore(self) {
        // SAFETY: the references are ours and are given away.
        #[cfg(Py_3_12)]
        unsafe {
            ffi::PyErr_SetRaisedException(self.value);
        }
        #[cfg(not(Py_3_12))]
        // SAFETY: as above.
        unsafe {
            if !self.parts[0].is_null() || !ffi::PyErr_Occurred().is_null() {
                ffi::PyErr_Restore(self.parts[0], self.parts[1], self.parts[2]);
            }
        }
    }

    /// Drops it.
    ///
    /// # Safety
    ///
    /// The GIL is held.
    pub(super) unsafe fn forget(self) {
        // SAFETY: the references are ours.
        #[cfg(Py_3_12)]
        unsafe {
            ffi::Py_XDECREF(self.value);
        }
        #[cfg(not(Py_3_12))]
        for part in self.parts {
            // SAFETY: as above.
            unsafe { ffi::Py_XDECREF(part) };
        }
    }

    /// The exception as an instance, owned; there must be one. Its traceback is not attached where it is separate: as a value,
    /// it need not keep the frames.
    ///
    /// # Safety
    ///
    /// The GIL is held; something was pending.
    pub(super) unsafe fn into_instance(self) -> *mut ffi::PyObject {
        #[cfg(Py_3_12)]
        {
            self.value
        }
        #[cfg(not(Py_3_12))]
        // SAFETY: the references are ours; normalising turns them into a type, an instance and a traceback.
        unsafe {
            let [mut kind, mut value, mut traceback] = self.parts;
            ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut traceback);
            ffi::Py_XDECREF(kind);
            ffi::Py_XDECREF(traceback);
            value
        }
    }
}

/// # Safety
///
/// The GIL is held; `kind` is an exception type.
#[cold]
pub(super) unsafe fn set_error(kind: *mut ffi::PyObject, message: &CStr) {
    // SAFETY: the caller's promise.
    unsafe { ffi::PyErr_SetString(kind, message.as_ptr()) };
}

/// Makes objects without the collector. Before 3.12 it may run wherever an object is made, and with it finalizers, which do anything:
/// to make something between a look at a greenlet and acting on it would be to act on what was.
///
/// # Safety
///
/// The GIL is held; `make` runs no Python code.
pub(super) unsafe fn uncollected<T>(make: impl FnOnce() -> T) -> T {
    #[cfg(Py_3_12)]
    {
        make()
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: the caller's promise: nobody else sees the collector switched off.
    unsafe {
        let was_on = ffi::PyGC_Disable() != 0;
        let made = make();
        if was_on {
            ffi::PyGC_Enable();
        }
        made
    }
}

pub(super) fn is_finalizing() -> bool {
    // SAFETY: reads a flag of the interpreter.
    #[cfg(Py_3_13)]
    unsafe {
        ffi::Py_IsFinalizing() != 0
    }
    #[cfg(not(Py_3_13))]
    {
        unsafe extern "C" {
            fn _Py_IsFinalizing() -> std::ffi::c_int;
        }
        // SAFETY: as above.
        unsafe { _Py_IsFinalizing() != 0 }
    }
}

/// How many references there are.
///
/// # Safety
///
/// The object lives, or is being deallocated.
pub(super) unsafe fn reference_count(object: *mut ffi::PyObject) -> isize {
    // SAFETY: the caller's promise.
    unsafe { ffi::Py_REFCNT(object) as isize }
}

unsafe extern "C" {
    fn verdigris_set_refcount(object: *mut ffi::PyObject, count: isize);
}

/// Gives an object in its deallocator one reference, so that code may run with it.
///
/// # Safety
///
/// Its reference count is zero.
pub(super) unsafe fn resurrect(object: *mut ffi::PyObject) {
    // SAFETY: the caller's promise.
    unsafe { verdigris_set_refcount(object, 1) };
}

/// Takes that reference away again. True: it was the last one, deallocation goes on.
///
/// # Safety
///
/// `resurrect` was called for it.
pub(super) unsafe fn release_resurrected(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller owns one reference; it is taken away without deallocating.
    unsafe {
        let left = reference_count(object) - 1;
        verdigris_set_refcount(object, left);
        left == 0
    }
}
