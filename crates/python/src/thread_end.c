/* What a thread calls where the interpreter may end it.
 *
 * While the interpreter is being finalized, a thread that wants the GIL ends: up to CPython 3.13 by pthread_exit, which
 * unwinds its stack - through our frames, whose destructors want the GIL that the thread does not have, and through
 * those of other extensions, which are not made for it. From 3.14 on such a thread sleeps for ever instead, and the end
 * of the process takes it away. Here it does so in all versions: the unwinding stops in a clean-up that does not return.
 *
 *     verdigris_enter(...)    the GIL again, after waiting without it
 *     verdigris_call(...)     a call into Python
 *     verdigris_drop(...)     the end of a reference, which may be a call into Python, too
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <unistd.h>

/* Whether the guarded call has come back; if it has not, the thread is being ended. */
static void stay(volatile int *returned)
{
    while (!*returned)
        pause();
}

#define GUARDED(call) \
    do { \
        __attribute__((cleanup(stay))) volatile int returned = 0; \
        call; \
        returned = 1; \
    } while (0)

void verdigris_enter(PyThreadState *tstate)
{
    GUARDED(PyEval_RestoreThread(tstate));
}

PyObject *verdigris_call(PyObject *callable, PyObject *arguments, PyObject *keywords)
{
    PyObject *result;
    GUARDED(result = PyObject_Call(callable, arguments, keywords));
    return result;
}

void verdigris_drop(PyObject *object)
{
    GUARDED(Py_XDECREF(object));
}

/* Whether the running thread has a profile or a trace function (set by the C API or by sys). */
int verdigris_is_observed(void)
{
    PyThreadState *tstate = PyThreadState_Get();
    return tstate->c_profilefunc != NULL || tstate->c_tracefunc != NULL;
}
