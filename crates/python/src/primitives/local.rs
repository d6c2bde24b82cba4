//! `local`: an object whose attributes each greenlet has for itself.
//!
//! ```text
//!   local ──► Store: greenlet's address ──► its attributes (a dict)
//!               ▲
//!               └── (weak) the slot of every greenlet that has attributes there
//! ```
//!
//! The store goes with the local object. A greenlet takes its dict out of every store when it has run,
//! and at the latest when it is freed, so that an address is never found by a greenlet that comes later
//! to the same place.

use std::cell::{Cell, UnsafeCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Weak};

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use crate::greenlet::{self, PyGreenlet};

unsafe extern "C" {
    // CPython's attribute lookup with a dictionary given from outside: exported by 3.11 to 3.15.
    fn _PyObject_GenericGetAttrWithDict(
        object: *mut ffi::PyObject,
        name: *mut ffi::PyObject,
        dict: *mut ffi::PyObject,
        suppress: std::ffi::c_int,
    ) -> *mut ffi::PyObject;
    fn _PyObject_GenericSetAttrWithDict(
        object: *mut ffi::PyObject,
        name: *mut ffi::PyObject,
        value: *mut ffi::PyObject,
        dict: *mut ffi::PyObject,
    ) -> std::ffi::c_int;
}

/// Addresses are spread well by one multiplication.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte) ^ self.0 as usize);
        }
    }

    fn write_usize(&mut self, value: usize) {
        self.0 = (value as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(20);
    }
}

type Dicts = HashMap<usize, Py<PyDict>, BuildHasherDefault<AddressHasher>>;

/// The attributes of one local object, by greenlet.
pub(crate) struct Store {
    dicts: UnsafeCell<Dicts>,
    /// The local object, borrowed; null when it is gone.
    owner: Cell<*mut ffi::PyObject>,
}

// SAFETY: touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    fn get(&self, py: Python<'_>, greenlet: usize) -> Option<Py<PyDict>> {
        // SAFETY: one step.
        unsafe { (*self.dicts.get()).get(&greenlet).map(|dict| dict.clone_ref(py)) }
    }

    /// Makes the attributes of a greenlet that has none.
    fn make(self: &Arc<Self>, current: &Bound<'_, PyAny>) -> Py<PyDict> {
        let py = current.py();
        let dict = PyDict::new(py).unbind();
        let kept = dict.clone_ref(py);
        // SAFETY: one step; there was no entry, so nothing is dropped.
        unsafe { (*self.dicts.get()).insert(current.as_ptr().addr(), kept) };
        // SAFETY: the running greenlet is alive.
        unsafe { greenlet::slot(current.as_ptr().cast()) }.locals().add(self);
        dict
    }

    /// Takes a greenlet's attributes out; they are the caller's to drop.
    fn take(&self, greenlet: usize) -> Option<Py<PyDict>> {
        // SAFETY: one step.
        unsafe { (*self.dicts.get()).remove(&greenlet) }
    }
}

/// What a greenlet knows of the stores that have something of it: part of its slot.
#[derive(Default)]
pub(crate) struct LocalStores(UnsafeCell<Vec<Weak<Store>>>);

impl LocalStores {
    fn add(&self, store: &Arc<Store>) {
        // SAFETY: one step, with the GIL held.
        let stores = unsafe { &mut *self.0.get() };
        stores.retain(|known| known.strong_count() > 0);
        stores.push(Arc::downgrade(store));
    }

    /// Drops everything that the greenlet at `address` has in local objects. May run any Python code.
    #[inline]
    pub(crate) fn clear(&self, address: usize) {
        // SAFETY: one look, with the GIL held.
        if !unsafe { (*self.0.get()).is_empty() } {
            self.clear_all(address);
        }
    }

    #[cold]
    fn clear_all(&self, address: usize) {
        // SAFETY: one step, with the GIL held.
        let stores = unsafe { std::mem::take(&mut *self.0.get()) };
        let dicts: Vec<_> = stores
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|store| store.take(address))
            .collect();
        drop(dicts);
    }

    fn stores(&self) -> Vec<Arc<Store>> {
        // SAFETY: one step, with the GIL held.
        unsafe { (*self.0.get()).iter().filter_map(Weak::upgrade).collect() }
    }
}

/// An object whose attributes each greenlet has for itself.
///
/// A subclass's `__init__` is called, with the arguments of the first call, in each greenlet that uses the object.
#[pyclass(name = "local", module = "gevent.local", subclass, frozen)]
pub(super) struct LocalObject {
    store: Arc<Store>,
    arguments: Py<PyTuple>,
    keywords: Option<Py<PyDict>>,
}

impl Drop for LocalObject {
    fn drop(&mut self) {
        self.store.owner.set(std::ptr::null_mut());
    }
}

impl LocalObject {
    /// The current greenlet's attributes; made, and the object initialised, on its first use.
    fn dict(slf: &Bound<'_, Self>) -> PyResult<Py<PyDict>> {
        let py = slf.py();
        let current = greenlet::current_bound(py)?;
        let this = slf.get();
        this.store.owner.set(slf.as_ptr());
        if let Some(dict) = this.store.get(py, current.as_ptr().addr()) {
            return Ok(dict);
        }
        let dict = this.store.make(&current);
        let class = slf.get_type();
        let initialise = class.getattr("__init__")?;
        if !initialise.is(&object_init(py)?) {
            let mut arguments = vec![slf.clone().into_any()];
            arguments.extend(this.arguments.bind(py).iter());
            let keywords = this.keywords.as_ref().map(|keywords| keywords.bind(py));
            if let Err(error) = initialise.call(PyTuple::new(py, arguments)?, keywords) {
                let dropped = this.store.take(current.as_ptr().addr());
                drop(dropped);
                return Err(error);
            }
        }
        Ok(dict)
    }

    fn read_only(slf: &Bound<'_, Self>) -> PyErr {
        let class = slf
            .get_type()
            .name()
            .map_or_else(|_| "local".to_owned(), |name| name.to_string());
        PyAttributeError::new_err(format!("'{class}' object attribute '__dict__' is read-only"))
    }

    fn set(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>, value: *mut ffi::PyObject) -> PyResult<()> {
        let py = slf.py();
        let is_dict = match name.cast::<PyString>() {
            Ok(name) => name == "__dict__",
            Err(_) => name.eq("__dict__")?, // as Python's own `local` asks; what is no name is refused below
        };
        if is_dict {
            return Err(Self::read_only(slf));
        }
        let dict = Self::dict(slf)?;
        // SAFETY: all four are alive for the length of the call (a null value deletes); -1 means an exception is set.
        let result = unsafe { _PyObject_GenericSetAttrWithDict(slf.as_ptr(), name.as_ptr(), value, dict.as_ptr()) };
        if result < 0 { Err(PyErr::fetch(py)) } else { Ok(()) }
    }
}

fn object_init(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.get_type::<PyAny>().getattr("__init__")
}

#[pymethods]
impl LocalObject {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*args, **kw))]
    fn new(cls: &Bound<'_, PyType>, args: &Bound<'_, PyTuple>, kw: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let py = cls.py();
        let keywords = kw.filter(|keywords| !keywords.is_empty());
        if (!args.is_empty() || keywords.is_some()) && cls.getattr("__init__")?.is(&object_init(py)?) {
            return Err(PyTypeError::new_err((
                "Initialization arguments are not supported",
                args.clone().unbind(),
            )));
        }
        let store = Arc::new(Store {
            dicts: UnsafeCell::default(),
            owner: Cell::new(std::ptr::null_mut()),
        });
        // Python calls `__init__` next, in this greenlet: that is its initialisation here.
        store.make(&greenlet::current_bound(py)?);
        Ok(Self {
            store,
            arguments: args.clone().unbind(),
            keywords: keywords.map(|keywords| keywords.clone().unbind()),
        })
    }

    fn __getattribute__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if name == "__class__" {
            return Ok(slf.get_type().into_any().unbind());
        }
        let dict = Self::dict(slf)?;
        if name == "__dict__" {
            return Ok(dict.into_any());
        }
        // SAFETY: all three are alive for the length of the call; the result is owned, or null with an exception set.
        unsafe {
            let value = _PyObject_GenericGetAttrWithDict(slf.as_ptr(), name.as_ptr(), dict.as_ptr(), 0);
            Bound::from_owned_ptr_or_err(py, value).map(Bound::unbind)
        }
    }

    /// What is raised in the end when there is no such attribute.
    fn __getattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        Err(PyAttributeError::new_err(format!(
            "'{}' object has no attribute '{name}'",
            slf.get_type().name()?
        )))
    }

    fn __setattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::set(slf, name, value.as_ptr())
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::set(slf, name, std::ptr::null_mut())
    }

    /// A new object of the same class and arguments, with a copy of the current greenlet's attributes.
    fn __copy__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let keywords = this.keywords.as_ref().map(|keywords| keywords.bind(py));
        let copy = slf.get_type().call(this.arguments.bind(py), keywords)?;
        let own = Self::dict(slf)?;
        copy.getattr("__dict__")?.call_method1("update", (own,))?;
        Ok(copy)
    }

    fn __reduce_ex__(slf: &Bound<'_, Self>, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(format!(
            "cannot pickle '{}' object",
            slf.get_type().name()?
        )))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.arguments)?;
        visit.call(&self.keywords)?;
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        for dict in unsafe { (*self.store.dicts.get()).values() } {
            visit.call(dict)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        // SAFETY: one step; what was in it is dropped afterwards.
        let dicts = unsafe { std::mem::take(&mut *self.store.dicts.get()) };
        drop(dicts);
    }
}

/// `all_local_dicts_for_greenlet(greenlet)`: a list of ((class, id), attributes), one for each local object that has
/// attributes of this greenlet.
#[pyfunction]
pub(super) fn all_local_dicts_for_greenlet(py: Python<'_>, greenlet: &Bound<'_, PyAny>) -> PyResult<Vec<Py<PyAny>>> {
    // SAFETY: the object is alive.
    if !unsafe { greenlet::is_greenlet(greenlet.as_ptr()) } {
        return Err(PyTypeError::new_err(format!(
            "a greenlet is needed, not {}",
            greenlet.repr()?
        )));
    }
    let pointer: *mut PyGreenlet = greenlet.as_ptr().cast();
    // SAFETY: it is a greenlet, and alive.
    let stores = unsafe { greenlet::slot(pointer) }.locals().stores();
    let mut result = Vec::new();
    for store in stores {
        let owner = store.owner.get();
        let Some(dict) = store.get(py, pointer.addr()) else {
            continue;
        };
        if owner.is_null() {
            continue;
        }
        // SAFETY: a local object clears `owner` when it is destroyed.
        let owner = unsafe { Bound::from_borrowed_ptr(py, owner) };
        let entry = ((owner.get_type(), owner.as_ptr().addr()), dict).into_pyobject(py)?;
        result.push(entry.into_any().unbind());
    }
    Ok(result)
}
