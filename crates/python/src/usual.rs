//! Methods whose usual case needs nothing of the bindings: an uncontended `with lock`, a `put` into a queue with room.
//!
//! A call through PyO3 counts itself in and out of a thread-local, unpacks arguments and guards against panics: 10 ns, as much as such
//! a method itself. So the C function behind the method is exchanged for one of ours, which does the usual case and
//! calls PyO3's for every other. Name, signature and documentation stay those of the method.
//!
//! What is done in front has to be a step that runs no Python code, drops no `Py` and does not panic.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::pack;

pub(crate) type Object = *mut ffi::PyObject;
pub(crate) type NoArguments = unsafe extern "C" fn(Object, Object) -> Object;
pub(crate) type Fast = unsafe extern "C" fn(Object, *const Object, ffi::Py_ssize_t, Object) -> Object;

/// The way to PyO3's function of one method.
pub(crate) struct Unusual(AtomicPtr<c_void>);

/// What is put in front.
#[derive(Clone, Copy)]
pub(crate) enum Front {
    NoArguments(NoArguments),
    Fast(Fast),
}

impl Unusual {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// The method itself.
    ///
    /// # Safety
    /// Called from the front of a method without arguments, with what that was called with.
    #[cold]
    pub(crate) unsafe fn call(&self, slf: Object, unused: Object) -> Object {
        // SAFETY: `install` has put a function of this kind here.
        unsafe {
            let method: NoArguments = std::mem::transmute(self.0.load(Ordering::Relaxed));
            method(slf, unused)
        }
    }

    /// The method itself.
    ///
    /// # Safety
    /// Called from the front of a method with arguments, with what that was called with.
    #[cold]
    pub(crate) unsafe fn call_fast(
        &self,
        slf: Object,
        arguments: *const Object,
        count: ffi::Py_ssize_t,
        names: Object,
    ) -> Object {
        // SAFETY: `install` has put a function of this kind here.
        unsafe {
            let method: Fast = std::mem::transmute(self.0.load(Ordering::Relaxed));
            method(slf, arguments, count, names)
        }
    }

    /// The class method itself, which wants its arguments packed.
    ///
    /// # Safety
    /// Called from a front that `install_before_packed` has put there, with what that was called with.
    #[cold]
    pub(crate) unsafe fn call_packed(
        &self,
        class: Object,
        arguments: *const Object,
        count: ffi::Py_ssize_t,
        names: Object,
    ) -> Object {
        // SAFETY: `install_before_packed` has put a function of this kind here; there are `count` objects, and one more for each name.
        unsafe {
            let method: ffi::PyCFunctionWithKeywords = std::mem::transmute(self.0.load(Ordering::Relaxed));
            let Some((packed, keywords)) = pack::arguments(arguments, count, names) else {
                return null_mut();
            };
            let result = method(class, packed, keywords);
            ffi::Py_DECREF(packed);
            ffi::Py_XDECREF(keywords);
            result
        }
    }

    /// Puts `front` before the class method `name` of `class`, which takes any arguments, packed into a tuple and a dict:
    /// from now on they come as they are. Does nothing if the method is of another kind.
    pub(crate) fn install_before_packed(
        &'static self,
        class: &Bound<'_, PyType>,
        name: &CStr,
        front: Fast,
    ) -> PyResult<()> {
        const PACKED: c_int = ffi::METH_VARARGS | ffi::METH_KEYWORDS | ffi::METH_CLASS;
        const FAST: c_int = ffi::METH_FASTCALL | ffi::METH_KEYWORDS | ffi::METH_CLASS;
        let name = name.to_str().expect("a method's name is ASCII");
        let method = class.getattr("__dict__")?.get_item(name)?;
        // SAFETY: as in `install`. The interpreter reads the flags whenever it binds the method.
        unsafe {
            if ffi::Py_TYPE(method.as_ptr()) != &raw mut ffi::PyClassMethodDescr_Type {
                return Ok(());
            }
            let definition = (*method.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_method;
            if (*definition).ml_flags != PACKED {
                return Ok(());
            }
            let place = (&raw mut (*definition).ml_meth).cast::<*mut c_void>();
            self.0.store(*place, Ordering::Relaxed);
            *place = front as *mut c_void;
            (*definition).ml_flags = FAST;
        }
        Ok(())
    }

    /// Puts `front` before the method `name` of `class`. Does nothing if the method is of another kind than the front.
    pub(crate) fn install(&'static self, class: &Bound<'_, PyType>, name: &CStr, front: Front) -> PyResult<()> {
        let (flags, function): (c_int, *mut c_void) = match front {
            Front::NoArguments(function) => (ffi::METH_NOARGS, function as *mut c_void),
            Front::Fast(function) => (ffi::METH_FASTCALL | ffi::METH_KEYWORDS, function as *mut c_void),
        };
        let name = name.to_str().expect("a method's name is ASCII");
        let method = class.getattr(name)?;
        // SAFETY: the type says what the object is; its definition was made by PyO3 for this class and is not constant. No method of
        // the class has been called yet.
        unsafe {
            if ffi::Py_TYPE(method.as_ptr()) != &raw mut ffi::PyMethodDescr_Type {
                return Ok(());
            }
            let definition = (*method.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_method;
            if (*definition).ml_flags != flags {
                return Ok(());
            }
            let place = (&raw mut (*definition).ml_meth).cast::<*mut c_void>();
            self.0.store(*place, Ordering::Relaxed);
            *place = function;
        }
        Ok(())
    }
}

/// How a class is called without arguments, in front of the tuple, `__new__` and `__init__` that a call of a class takes otherwise.
pub(crate) struct Construction {
    new: AtomicPtr<c_void>,
    init: AtomicPtr<c_void>,
}

impl Construction {
    pub(crate) const fn new() -> Self {
        Self {
            new: AtomicPtr::new(null_mut()),
            init: AtomicPtr::new(null_mut()),
        }
    }

    /// Has `call` called for `class`. Subclasses do not inherit it.
    pub(crate) fn install(&'static self, class: &Bound<'_, PyType>, call: ffi::vectorcallfunc) {
        // SAFETY: the type object is a heap type of ours that nobody has called yet.
        unsafe {
            let class = class.as_type_ptr();
            let (new, init) = Self::slots(class);
            self.new.store(new, Ordering::Relaxed);
            self.init.store(init, Ordering::Relaxed);
            (*class).tp_vectorcall = Some(call);
        }
    }

    /// A new object of the class, whose fields are all zeroes and have to be written at once, if that is all that is asked for:
    /// there are no arguments, and nobody has replaced `__new__` or `__init__`.
    ///
    /// # Safety
    /// Called from the function that was installed, with what that was called with.
    #[inline(always)]
    pub(crate) unsafe fn begin(&self, class: Object, count: usize, names: Object) -> Option<Object> {
        // SAFETY: the class is a type object.
        unsafe {
            let class: *mut ffi::PyTypeObject = class.cast();
            let own = (self.new.load(Ordering::Relaxed), self.init.load(Ordering::Relaxed));
            let usual = ffi::PyVectorcall_NARGS(count) == 0 && names.is_null() && Self::slots(class) == own;
            usual.then(|| ((*class).tp_alloc.unwrap_unchecked())(class, 0))
        }
    }

    /// What a call of a class does that has nothing in front.
    ///
    /// # Safety
    /// As `begin`.
    #[cold]
    pub(crate) unsafe fn unusual(class: Object, arguments: *const Object, count: usize, names: Object) -> Object {
        // SAFETY: there are `count` arguments, and one more for each name; every class's class can be called.
        unsafe {
            let count = ffi::PyVectorcall_NARGS(count);
            let Some((packed, keywords)) = pack::arguments(arguments, count, names) else {
                return null_mut();
            };
            let call = (*ffi::Py_TYPE(class)).tp_call.unwrap_unchecked();
            let object = call(class, packed, keywords);
            ffi::Py_DECREF(packed);
            ffi::Py_XDECREF(keywords);
            object
        }
    }

    unsafe fn slots(class: *mut ffi::PyTypeObject) -> (*mut c_void, *mut c_void) {
        // SAFETY: a type object; functions are compared by address.
        unsafe {
            let new = (*class).tp_new.map_or(null_mut(), |new| new as *mut c_void);
            let init = (*class).tp_init.map_or(null_mut(), |init| init as *mut c_void);
            (new, init)
        }
    }
}

/// A new reference to None.
///
/// # Safety
/// The GIL is held.
#[inline(always)]
pub(crate) unsafe fn none() -> Object {
    // SAFETY: the caller's promise.
    unsafe {
        let none = ffi::Py_None();
        ffi::Py_INCREF(none);
        none
    }
}

/// The fields of an object whose class is known.
///
/// # Safety
/// The GIL is held, the object is of class `T` or a subclass, and lives as long as the result is used.
#[inline(always)]
pub(crate) unsafe fn fields<'a, T>(object: Object) -> &'a T
where
    T: pyo3::PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync,
{
    // SAFETY: the caller's promise; the reference that is made up is given back without a count.
    unsafe {
        let py = Python::assume_attached();
        let object = std::mem::ManuallyDrop::new(Bound::from_owned_ptr(py, object).cast_into_unchecked::<T>());
        &*std::ptr::from_ref(object.get())
    }
}
