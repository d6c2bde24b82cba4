//! The usual cases of semaphores, locks and queues, in front of their methods (see `crate::usual`).

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{PyClass, pyclass::boolean_struct::True};

use super::event::EventObject;
use super::linkable::Linkable;
use super::queue::SimpleQueueObject;
use super::result::ResultObject;
use super::semaphore::{BoundedSemaphoreObject, SemaphoreObject};
use super::thread_lock::{self, LockObject};
use crate::usual::{Construction, Fast, Front, NoArguments, Object, Unusual, fields, none};

static ENTER: Unusual = Unusual::new();
static EXIT: Unusual = Unusual::new();
static ACQUIRE: Unusual = Unusual::new();
static RELEASE: Unusual = Unusual::new();
static LOCK_ENTER: Unusual = Unusual::new();
static LOCK_EXIT: Unusual = Unusual::new();
static LOCK_ACQUIRE: Unusual = Unusual::new();
static LOCK_RELEASE: Unusual = Unusual::new();
static PUT: Unusual = Unusual::new();
static GET: Unusual = Unusual::new();

static EVENT: Construction = Construction::new();
static RESULT: Construction = Construction::new();

static SEMAPHORE: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());
static BOUNDED: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());

pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    let semaphore = py.get_type::<SemaphoreObject>();
    SEMAPHORE.store(semaphore.as_type_ptr(), Ordering::Relaxed);
    BOUNDED.store(py.get_type::<BoundedSemaphoreObject>().as_type_ptr(), Ordering::Relaxed);
    ENTER.install(&semaphore, c"__enter__", Front::NoArguments(enter))?;
    EXIT.install(&semaphore, c"__exit__", Front::Fast(exit))?;
    install_with(&semaphore, enter, exit)?;
    ACQUIRE.install(&semaphore, c"acquire", Front::Fast(acquire))?;
    RELEASE.install(&semaphore, c"release", Front::NoArguments(release))?;
    let lock = py.get_type::<LockObject>();
    LOCK_ENTER.install(&lock, c"__enter__", Front::NoArguments(lock_enter))?;
    LOCK_EXIT.install(&lock, c"__exit__", Front::Fast(lock_exit))?;
    install_with(&lock, lock_enter, lock_exit)?;
    LOCK_ACQUIRE.install(&lock, c"acquire", Front::Fast(lock_acquire))?;
    LOCK_RELEASE.install(&lock, c"release", Front::NoArguments(lock_release))?;
    let queue = py.get_type::<SimpleQueueObject>();
    EVENT.install(&py.get_type::<EventObject>(), construct::<EventObject>);
    RESULT.install(&py.get_type::<ResultObject>(), construct::<ResultObject>);
    PUT.install(&queue, c"put", Front::Fast(put))?;
    GET.install(&queue, c"get", Front::Fast(get))
}

/// Has a `with` call what is in front of the two methods.
fn install_with(class: &Bound<'_, PyType>, enter: NoArguments, exit: Fast) -> PyResult<()> {
    #[cfg(not(Py_3_14))]
    {
        crate::with_statement::install(class, c"__enter__", Front::NoArguments(enter))?;
        crate::with_statement::install(class, c"__exit__", Front::Fast(exit))?;
    }
    #[cfg(Py_3_14)]
    let _ = (class, enter, exit);
    Ok(())
}

/// Whether a `with` may call what is here: the class is none of a program's.
#[inline(always)]
fn is_plain(object: Object) -> bool {
    // SAFETY: a live object.
    let class = unsafe { ffi::Py_TYPE(object) };
    class == SEMAPHORE.load(Ordering::Relaxed) || class == BOUNDED.load(Ordering::Relaxed)
}

/// Takes a permit if one is there.
#[inline(always)]
unsafe fn take(object: Object) -> bool {
    // SAFETY: called for semaphores, with the GIL held.
    unsafe {
        fields::<Linkable>(object).notifier.touch();
        fields::<SemaphoreObject>(object).try_acquire()
    }
}

/// Gives a permit back if nobody waits for it; how many there are.
#[inline(always)]
unsafe fn give(object: Object) -> Option<i64> {
    // SAFETY: called for semaphores, with the GIL held.
    unsafe {
        let base = fields::<Linkable>(object);
        base.notifier.touch();
        if base.links.is_empty() {
            fields::<SemaphoreObject>(object).give_back()
        } else {
            None
        }
    }
}

unsafe extern "C" fn enter(slf: Object, unused: Object) -> Object {
    // SAFETY: called by Python as the method `__enter__` of a semaphore.
    unsafe {
        if is_plain(slf) && take(slf) {
            none()
        } else {
            ENTER.call(slf, unused)
        }
    }
}

unsafe extern "C" fn exit(slf: Object, arguments: *const Object, count: ffi::Py_ssize_t, names: Object) -> Object {
    // SAFETY: as `enter`.
    unsafe {
        if count == 3 && names.is_null() && is_plain(slf) && give(slf).is_some() {
            none()
        } else {
            EXIT.call_fast(slf, arguments, count, names)
        }
    }
}

unsafe extern "C" fn acquire(slf: Object, arguments: *const Object, count: ffi::Py_ssize_t, names: Object) -> Object {
    // SAFETY: as `enter`.
    unsafe {
        if count == 0 && names.is_null() && take(slf) {
            ffi::PyBool_FromLong(1)
        } else {
            ACQUIRE.call_fast(slf, arguments, count, names)
        }
    }
}

unsafe extern "C" fn release(slf: Object, unused: Object) -> Object {
    // SAFETY: as `enter`.
    unsafe {
        match give(slf) {
            Some(counter) => ffi::PyLong_FromLongLong(counter),
            None => RELEASE.call(slf, unused),
        }
    }
}

unsafe extern "C" fn lock_enter(slf: Object, unused: Object) -> Object {
    // SAFETY: called by Python as the method `__enter__` of a lock, which is a semaphore and cannot be subclassed.
    unsafe {
        if take(slf) {
            ffi::PyBool_FromLong(1)
        } else {
            LOCK_ENTER.call(slf, unused)
        }
    }
}

unsafe extern "C" fn lock_exit(slf: Object, arguments: *const Object, count: ffi::Py_ssize_t, names: Object) -> Object {
    // SAFETY: as `lock_enter`.
    unsafe {
        if count == 3 && names.is_null() && !thread_lock::forks() && give(slf).is_some() {
            none()
        } else {
            LOCK_EXIT.call_fast(slf, arguments, count, names)
        }
    }
}

unsafe extern "C" fn lock_acquire(
    slf: Object,
    arguments: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Object {
    // SAFETY: as `lock_enter`.
    unsafe {
        if count == 0 && names.is_null() && take(slf) {
            ffi::PyBool_FromLong(1)
        } else {
            LOCK_ACQUIRE.call_fast(slf, arguments, count, names)
        }
    }
}

unsafe extern "C" fn lock_release(slf: Object, unused: Object) -> Object {
    // SAFETY: as `lock_enter`.
    unsafe {
        if !thread_lock::forks() && give(slf).is_some() {
            none()
        } else {
            LOCK_RELEASE.call(slf, unused)
        }
    }
}

unsafe extern "C" fn put(slf: Object, arguments: *const Object, count: ffi::Py_ssize_t, names: Object) -> Object {
    // SAFETY: called by Python as the method `put` of a queue: there are `count` arguments.
    unsafe {
        if count == 1 && names.is_null() && fields::<SimpleQueueObject>(slf).put_at_once(*arguments) {
            none()
        } else {
            PUT.call_fast(slf, arguments, count, names)
        }
    }
}

unsafe extern "C" fn get(slf: Object, arguments: *const Object, count: ffi::Py_ssize_t, names: Object) -> Object {
    // SAFETY: as `put`.
    unsafe {
        if count == 0
            && names.is_null()
            && let Some(item) = fields::<SimpleQueueObject>(slf).get_at_once()
        {
            item
        } else {
            GET.call_fast(slf, arguments, count, names)
        }
    }
}

/// What Python calls as the class `T` if that is an event or a result.
unsafe extern "C" fn construct<T: Unset>(
    class: Object,
    arguments: *const Object,
    count: usize,
    names: Object,
) -> Object {
    // SAFETY: called by Python as the class `T`; nobody has seen the new object, and of the zeroes in it nothing is to be dropped.
    unsafe {
        let Some(object) = T::CONSTRUCTION.begin(class, count, names) else {
            return Construction::unusual(class, arguments, count, names);
        };
        if !object.is_null() {
            std::ptr::from_ref::<Linkable>(fields(object))
                .cast_mut()
                .write(T::base());
            std::ptr::from_ref::<T>(fields(object)).cast_mut().write(T::unset());
        }
        object
    }
}

/// What is made without arguments: what is in it at first.
pub(super) trait Unset: PyClass<Frozen = True> + Sync {
    const CONSTRUCTION: &'static Construction;

    /// The fields of the linkable that it is.
    fn base() -> Linkable;

    /// Those of its own.
    fn unset() -> Self;
}

impl Unset for EventObject {
    const CONSTRUCTION: &'static Construction = &EVENT;

    #[inline]
    fn base() -> Linkable {
        Self::linkable()
    }

    #[inline]
    fn unset() -> Self {
        Self::with_flag(false)
    }
}

impl Unset for ResultObject {
    const CONSTRUCTION: &'static Construction = &RESULT;

    #[inline]
    fn base() -> Linkable {
        Self::linkable()
    }

    #[inline]
    fn unset() -> Self {
        Self::empty()
    }
}
