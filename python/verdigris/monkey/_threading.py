"""Threads: more than replaced names, because `threading` has made objects before anybody could patch it.

the object of the main thread   gets the identifier of the main greenlet, and a lock or handle to wait for it by
native threads that run         stay what they are; to join them, a greenlet asks now and then
locks in known places           are replaced by locks of ours: of `threading` itself, of logging handlers, of
                                concurrent.futures, and inside RLocks made in Python
"""

from __future__ import annotations

import _thread as _native
import sys as _sys
from functools import partial as _partial

from verdigris import events
from verdigris._compat import PY313
from verdigris.monkey import api

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Python 3.14 gave the attribute another name.
_HANDLES = ("_os_thread_handle", "_handle")


def patch_thread(
    threading: bool = True,
    _threading_local: bool = True,
    Event: bool = True,
    logging: bool = True,
    existing_locks: bool = True,
    _warnings: list[str] | None = None,
) -> None:
    """Threads are greenlets from now on. Each part may be left out: `threading`, `_threading_local`, Event (the class in
    `threading`), the locks of `logging`, and other locks that exist already."""
    import threading as target

    from verdigris import monkey
    from verdigris import thread as source
    from verdigris import threading as threading_source

    warnings = [] if _warnings is None else _warnings
    items, threading_items = list(source.__implements__), list(threading_source.__implements__)
    try:
        _will_patch(_native, source, items)
        if threading:
            _will_patch(target, threading_source, threading_items)
    except events.DoNotPatch:
        return

    native_ident = target.get_ident()
    _note_thread(target, native_ident, warnings)
    quiet: dict[str, Any] = dict(_warnings=warnings, _notify_will_subscribers=False, _notify_did_subscribers=False)
    api.patch_module(_native, source, items=items, **quiet)
    if threading:
        api.patch_module(target, threading_source, items=threading_items, **quiet)
        _patch_the_rest(target)
        if Event:
            from verdigris.event import Event as event_class

            api.patch_item(target, "Event", event_class)
        if logging and "logging" in _sys.modules:
            _patch_logging(target)
        if existing_locks:
            _patch_existing_locks(target, native_ident)
            _patch_import_locks(target, native_ident)
        _patch_running_threads(target, native_ident)
    if _threading_local:
        import _threading_local as local_target

        from verdigris.local import local

        api.patch_item(local_target, "local", local)

    events.notify_and_call_entry_points(events.GeventDidPatchModuleEvent("thread", source, _native))
    if threading:
        events.notify_and_call_entry_points(events.GeventDidPatchModuleEvent("threading", threading_source, target))
    if _warnings is None:
        monkey._process_warnings(warnings)


def _will_patch(target, source, items):
    events.notify_and_call_entry_points(events.GeventWillPatchModuleEvent(target.__name__, source, target, items))


def _note_thread(threading, native_ident, warnings):
    if api.get_original("threading", "get_ident")() == native_ident and threading.main_thread().ident != native_ident:
        warnings.append(
            "Monkey-patching outside the main native thread. Some APIs will not be available."
            " Expect a KeyError to be printed at shutdown."
        )
        warnings.append(
            "Monkey-patching not on the main thread; threading.main_thread().join() will hang from a greenlet"
        )


def _patch_the_rest(threading):
    """Parts that are made of replaced ones, or would reach past them."""
    from verdigris.local import local

    api.patch_item(threading, "_active_limbo_lock", threading.RLock())
    if hasattr(threading, "_shutdown_locks_lock"):
        api.patch_item(threading, "_shutdown_locks_lock", threading._allocate_lock())
    if hasattr(threading, "_thread_local_info"):
        # a greenlet that is no thread is forgotten when what it has stored here goes away
        api.patch_item(threading, "_thread_local_info", local())
    api.patch_item(threading, "_shutdown", _shutdown_of(threading))
    # run by it after all functions that programs register, before it waits for threads
    threading._threading_atexits.insert(0, _join_native_threads)
    if PY313:
        from verdigris import _threading
        from verdigris.thread import get_ident

        native_shutdown = threading._thread_shutdown

        def _thread_shutdown():
            _threading.join_all_threads()
            native_shutdown()

        api.patch_item(threading, "_thread_shutdown", _thread_shutdown)
        # asked for in the child of a fork, by the greenlet that forked: it is the main thread now
        api.patch_item(threading, "_get_main_thread_ident", get_ident)
        _on_fork(_threading.after_fork_in_child)
    if getattr(threading, "_set_name", None) is not None:
        # the name of a greenlet is not the name of the native thread
        api.patch_item(threading, "_set_name", None)


def _shutdown_of(threading):
    original = threading._shutdown

    def _shutdown():
        main, native_ident = threading.main_thread(), api.get_original("threading", "get_ident")()
        if main.ident == native_ident:  # patched by another thread, which could not know the main greenlet
            _adopt_main_thread(threading, main, native_ident)
        if not PY313 and main._tstate_lock is None and not main._is_stopped:
            # In the child of a fork the main thread is the greenlet that forked, whose stand-in has no lock to give back.
            main._set_tstate_lock()
        original()

    return _shutdown


# Threads of the operating system that ran when they were patched.
_native_threads = []


def _join_native_threads():
    """The end of the program waits for threads; green ones may be needed by native ones, so they run meanwhile."""
    for thread in _native_threads:
        if not thread.daemon:
            _join_native_thread(thread)
    _native_threads.clear()


_fork_hooks = set()


def _on_fork(function):
    import os

    if function not in _fork_hooks and hasattr(os, "register_at_fork"):
        _fork_hooks.add(function)
        os.register_at_fork(after_in_child=function)


def _patch_logging(threading):
    """Handlers made before have locks of their own."""
    import logging

    api.patch_item(logging, "_lock", threading.RLock())
    for reference in list(logging._handlerList):
        handler = reference() if callable(reference) else reference
        if handler is not None and getattr(handler, "lock", None) is not None:
            handler.lock = threading.RLock()


def _patch_existing_locks(threading, native_ident):
    futures = _sys.modules.get("concurrent.futures.thread")
    if futures is not None and hasattr(futures, "_global_shutdown_lock"):
        api.patch_item(futures, "_global_shutdown_lock", threading.Lock())

    kind = getattr(threading, "_RLock", None)
    if kind is None:
        return
    import gc

    for thing in gc.get_objects():
        if type(thing) is kind and type(thing._block) is _NATIVE_LOCK:
            block = threading.Lock()
            if thing._owner is not None:
                block.acquire()
                if thing._owner == native_ident:
                    thing._owner = threading.get_ident()
            thing._block = block


_NATIVE_LOCK = type(_native.allocate_lock())


def _patch_import_locks(threading, native_ident):
    """The locks of modules that are being imported right now: whoever holds one is known by another identifier from now on,
    and who waits for it will be a greenlet."""
    from importlib import _bootstrap

    for reference in list(getattr(_bootstrap, "_module_locks", {}).values()):
        lock = reference()
        if lock is None or getattr(lock, "owner", None) != native_ident:
            continue
        lock.owner = threading.get_ident()
        if type(lock.wakeup) is _NATIVE_LOCK and not lock.wakeup.locked():
            lock.wakeup = threading._allocate_lock()


def _patch_running_threads(threading, native_ident):
    main = threading.main_thread()
    if main.ident == native_ident:
        _adopt_main_thread(threading, main, native_ident)
    elif threading._active.pop(native_ident, None) is not None:
        threading._DummyThread()  # what its end takes away
    for thread in list(threading._active.values()):
        if thread is not main and thread.ident != native_ident:
            thread.join = _partial(_join_native_thread, thread)
            thread._delete = _partial(_forget_native_thread, threading, thread.ident)
            _native_threads.append(thread)


def _forget_native_thread(threading, native_ident):
    """What a thread does last, in place of looking itself up by the identifier of its greenlet."""
    with threading._active_limbo_lock:
        threading._active.pop(native_ident, None)


def _adopt_main_thread(threading, main, native_ident):
    """The object of the main thread, which is the current one, stands for its main greenlet from now on."""
    from verdigris._core import getcurrent
    from verdigris.thread import get_ident

    greenlet = getcurrent()
    while greenlet.parent is not None:
        greenlet = greenlet.parent
    ident = get_ident(greenlet)
    main._ident = ident
    main._greenlet = greenlet
    if PY313:
        handle = threading._make_thread_handle(ident)
        for name in _HANDLES:
            if hasattr(main, name):
                setattr(main, name, handle)
    elif main._tstate_lock is not None:
        alive = threading._allocate_lock()
        alive.acquire()
        threading._shutdown_locks.discard(main._tstate_lock)
        threading._shutdown_locks.add(alive)
        main._tstate_lock = alive
    threading._active.pop(native_ident, None)
    threading._active[ident] = main


def _join_native_thread(thread, timeout=None):
    """Waits for a thread of the operating system while other greenlets run.

    Nothing that a hub could wait for becomes ready when such a thread ends, so this asks again and again, less often as time
    passes.
    """
    from time import monotonic

    from verdigris.hub import sleep

    if thread is _sys.modules["threading"].current_thread():
        raise RuntimeError("cannot join current thread")
    deadline = None if timeout is None else monotonic() + timeout
    pause = 0.0005
    while thread.is_alive():
        if deadline is not None:
            left = deadline - monotonic()
            if left <= 0:
                return
            pause = min(pause, left)
        sleep(pause)
        pause = min(pause * 2, 0.05)
