//! The raw greenlet type as a base class that PyO3 classes can extend.
//!
//! The raw type is made by hand (its C layout is public, `greenlet.h`), the classes above it - `Hub` and
//! gevent's `Greenlet` - are PyO3 classes whose fields follow the raw object's:
//!
//! ```text
//!   PyGreenlet { ob_base, weakreflist, dict, pimpl }  |  the PyO3 class's own fields
//!   └──────────── crate::greenlet ─────────────────┘     └── GreenletObject, HubObject ──┘
//! ```
//!
//! Destruction goes the other way round from PyO3's habit: a suspended greenlet must be killed, and may
//! come back to life in doing so, *before* its fields are dropped. `install_dealloc` sees to that.

use pyo3::ffi;
use pyo3::impl_::pyclass::PyClassBaseType;
use pyo3::impl_::pyclass_init::PyNativeTypeInitializer;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyClass, PyTypeInfo};

use crate::greenlet::{self, PyGreenlet};

/// The marker that names the raw greenlet type to PyO3: `#[pyclass(extends = RawGreenlet)]`.
#[repr(transparent)]
pub(crate) struct RawGreenlet(PyAny);

// SAFETY: `greenlet_type` is the type object of every raw greenlet and lives for ever.
unsafe impl PyTypeInfo for RawGreenlet {
    fn type_object_raw(_py: Python<'_>) -> *mut ffi::PyTypeObject {
        greenlet::greenlet_type()
    }
}

// SAFETY: `PyGreenlet` is the layout that the type's `tp_basicsize` declares.
unsafe impl pyo3::type_object::PyLayout<RawGreenlet> for PyGreenlet {}
impl pyo3::type_object::PySizedLayout<RawGreenlet> for PyGreenlet {}

impl PyClassBaseType for RawGreenlet {
    type LayoutAsBase = pyo3::impl_::pycell::PyClassObjectBase<PyGreenlet>;
    type BaseNativeType = RawGreenlet;
    type Initializer = pyo3::impl_::pyclass_init::PyNativeTypeInitializer<Self>;
    type PyClassMutability = <PyDict as PyClassBaseType>::PyClassMutability;
    type Layout<T: pyo3::impl_::pyclass::PyClassImpl> = pyo3::impl_::pycell::PyStaticClassObject<T>;
}

/// The initializer of an object whose raw part is made by the raw type itself.
pub(crate) fn initializer<T>(value: T) -> PyClassInitializer<T>
where
    T: PyClass<BaseType = RawGreenlet>,
{
    PyClassInitializer::new(value, PyNativeTypeInitializer(std::marker::PhantomData))
}

/// Makes a class destroy its objects the way a greenlet must be destroyed. Once, before the class is used.
pub(crate) fn install_dealloc<T>(class: &Bound<'_, PyType>)
where
    T: PyClass<BaseType = RawGreenlet, Frozen = pyo3::pyclass::boolean_struct::True> + Sync,
{
    // SAFETY: the type object is a heap type of ours that has no objects and no subclasses yet.
    unsafe {
        let own: unsafe extern "C-unwind" fn(*mut ffi::PyObject) = dealloc::<T>;
        (*class.as_type_ptr()).tp_dealloc = Some(std::mem::transmute::<
            unsafe extern "C-unwind" fn(*mut ffi::PyObject),
            ffi::destructor,
        >(own));
    };
}

/// `tp_dealloc`: kills what is suspended, and only then drops the fields. A thread that ends at exit unwinds through it.
unsafe extern "C-unwind" fn dealloc<T>(object: *mut ffi::PyObject)
where
    T: PyClass<BaseType = RawGreenlet, Frozen = pyo3::pyclass::boolean_struct::True> + Sync,
{
    // SAFETY: called by CPython for an object of `T` whose last reference is gone, with the GIL held.
    unsafe {
        if !greenlet::begin_dealloc(object.cast()) {
            return;
        }
        let py = Python::assume_attached();
        // The reference that a `Bound` needs exists for as long as the fields are looked up.
        let fields = std::mem::ManuallyDrop::new(Bound::from_owned_ptr(py, object).cast_into_unchecked::<T>());
        let fields: *const T = fields.get();
        std::ptr::drop_in_place(fields.cast_mut());
        greenlet::finish_dealloc(object.cast());
    }
}

/// `install_dealloc` for a class that extends one of ours.
pub(crate) fn install_dealloc_over<T>(class: &Bound<'_, PyType>)
where
    T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync,
    T::BaseType: PyClass<BaseType = RawGreenlet, Frozen = pyo3::pyclass::boolean_struct::True> + Sync,
{
    // SAFETY: as in `install_dealloc`.
    unsafe {
        let own: unsafe extern "C-unwind" fn(*mut ffi::PyObject) = dealloc_over::<T>;
        (*class.as_type_ptr()).tp_dealloc = Some(std::mem::transmute::<
            unsafe extern "C-unwind" fn(*mut ffi::PyObject),
            ffi::destructor,
        >(own));
    };
}

/// `dealloc` for a class that extends one of ours.
unsafe extern "C-unwind" fn dealloc_over<T>(object: *mut ffi::PyObject)
where
    T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync,
    T::BaseType: PyClass<BaseType = RawGreenlet, Frozen = pyo3::pyclass::boolean_struct::True> + Sync,
{
    // SAFETY: as in `dealloc`.
    unsafe {
        if !greenlet::begin_dealloc(object.cast()) {
            return;
        }
        let py = Python::assume_attached();
        let fields = std::mem::ManuallyDrop::new(Bound::from_owned_ptr(py, object).cast_into_unchecked::<T>());
        let (own, base): (*const T, *const T::BaseType) = (fields.get(), fields.as_super().get());
        std::ptr::drop_in_place(own.cast_mut());
        std::ptr::drop_in_place(base.cast_mut());
        greenlet::finish_dealloc(object.cast());
    }
}

/// Whether the class of `object` has the attribute `name` from `base` itself, not overridden.
pub(crate) fn inherits(object: &Bound<'_, PyAny>, name: &str, base: &Bound<'_, PyType>) -> PyResult<bool> {
    Ok(object.get_type().getattr(name)?.is(&base.getattr(name)?))
}

/// The raw greenlet's `throw`, past any override.
pub(crate) fn raw_throw(object: &Bound<'_, PyAny>, arguments: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
    let py = object.py();
    let method = py.get_type::<RawGreenlet>().getattr("throw")?;
    let mut all = vec![object.clone()];
    all.extend(arguments.iter());
    method.call1(PyTuple::new(py, all)?).map(Bound::unbind)
}
