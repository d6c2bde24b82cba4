/* Calls into Python that the end of the interpreter cannot unwind.
 *
 * While the interpreter is being finalized, a thread that wants the GIL ends: up to CPython 3.13 by pthread_exit, which
 * unwinds its stack - through our frames, whose destructors want the GIL that the thread does not have, and which are not
 * made for it (the process aborts: "exception not rethrown"). From 3.14 on such a thread sleeps for ever instead, and the
 * end of the process takes it away. Here it does so in all versions: the unwinding stops in a clean-up that does not return.
 *
 * A thread can be ended in any call that may run Python code or give the GIL up, and most of ours are made by PyO3. So the
 * linker puts a guard around every such function (its option --wrap, for the names that build.rs finds below: our calls of
 * NAME reach __wrap_NAME, which calls __real_NAME). Functions that only read, count or make an object without telling the
 * garbage collector need none: tests/test_exit.py lists them and fails for a function that is in neither list.
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

#define GUARD(type, name, parameters, arguments) \
    type __real_##name parameters; \
    type __wrap_##name parameters; \
    type __wrap_##name parameters \
    { \
        type result; \
        GUARDED(result = __real_##name arguments); \
        return result; \
    }

#define GUARD_VOID(type, name, parameters, arguments) \
    type __real_##name parameters; \
    type __wrap_##name parameters; \
    type __wrap_##name parameters { GUARDED(__real_##name arguments); }

typedef PyObject *Object;

/* The GIL */
GUARD_VOID(void, PyEval_RestoreThread, (PyThreadState *a), (a))
GUARD(PyGILState_STATE, PyGILState_Ensure, (void), ())
GUARD_VOID(void, PyGILState_Release, (PyGILState_STATE a), (a))
GUARD(int, PyErr_CheckSignals, (void), ())

/* Calls */
GUARD(Object, PyObject_Call, (Object a, Object b, Object c), (a, b, c))
GUARD(Object, PyObject_CallNoArgs, (Object a), (a))
GUARD(Object, PyObject_CallOneArg, (Object a, Object b), (a, b))
GUARD(Object, PyObject_Vectorcall, (Object a, Object const *b, size_t c, Object d), (a, b, c, d))
GUARD(Object, PyObject_VectorcallDict, (Object a, Object const *b, size_t c, Object d), (a, b, c, d))
GUARD(Object, PyObject_VectorcallMethod, (Object a, Object const *b, size_t c, Object d), (a, b, c, d))
GUARD(Object, _PyObject_MakeTpCall, (PyThreadState *a, Object b, Object const *c, Py_ssize_t d, Object e), (a, b, c, d, e))
GUARD(Object, PyImport_Import, (Object a), (a))

/* Before 3.12, PyO3 calls through the pointer that this function answers. */
vectorcallfunc __real_PyVectorcall_Function(Object callable);
vectorcallfunc __wrap_PyVectorcall_Function(Object callable);
vectorcallfunc __wrap_PyVectorcall_Function(Object callable)
{
    return __real_PyVectorcall_Function(callable) ? __wrap_PyObject_Vectorcall : NULL;
}

/* Attributes, items, iteration, what operators do */
GUARD(Object, PyObject_GetAttr, (Object a, Object b), (a, b))
GUARD(int, PyObject_SetAttr, (Object a, Object b, Object c), (a, b, c))
GUARD(int, PyObject_SetAttrString, (Object a, char const *b, Object c), (a, b, c))
GUARD(Object, PyObject_GenericGetAttr, (Object a, Object b), (a, b))
GUARD(Object, _PyObject_GenericGetAttrWithDict, (Object a, Object b, Object c, int d), (a, b, c, d))
GUARD(int, _PyObject_GenericSetAttrWithDict, (Object a, Object b, Object c, Object d), (a, b, c, d))
GUARD(Object, PyObject_GenericGetDict, (Object a, void *b), (a, b))
GUARD(int, PyObject_GenericSetDict, (Object a, Object b, void *c), (a, b, c))
GUARD(Object, PyObject_GetItem, (Object a, Object b), (a, b))
GUARD(int, PyObject_SetItem, (Object a, Object b, Object c), (a, b, c))
GUARD(int, PyObject_DelItem, (Object a, Object b), (a, b))
GUARD(Py_ssize_t, PyObject_Size, (Object a), (a))
GUARD(Py_ssize_t, PyObject_LengthHint, (Object a, Py_ssize_t b), (a, b))
GUARD(Object, PyObject_GetIter, (Object a), (a))
GUARD(Object, PyIter_Next, (Object a), (a))
GUARD(int, PyObject_IsTrue, (Object a), (a))
GUARD(int, PyObject_IsInstance, (Object a, Object b), (a, b))
GUARD(Object, PyObject_RichCompare, (Object a, Object b, int c), (a, b, c))
GUARD(Object, PyObject_Repr, (Object a), (a))
GUARD(Object, PyObject_Str, (Object a), (a))
GUARD(Object, PyNumber_Index, (Object a), (a))
GUARD(double, PyFloat_AsDouble, (Object a), (a))
GUARD(long, PyLong_AsLong, (Object a), (a))
GUARD(Object, PyOS_FSPath, (Object a), (a))
GUARD(int, PyObject_GetBuffer, (Object a, Py_buffer *b, int c), (a, b, c))
GUARD_VOID(void, PyBuffer_Release, (Py_buffer *a), (a))
GUARD(Object, PyUnicode_AsEncodedString, (Object a, char const *b, char const *c), (a, b, c))
GUARD(int, PyFile_WriteObject, (Object a, Object b, int c), (a, b, c))
GUARD(int, PyFile_WriteString, (char const *a, Object b), (a, b))

/* Containers: hashing and comparing the keys, and the end of what was there */
GUARD_VOID(void, PyDict_Clear, (Object a), (a))
GUARD(Object, PyDict_Copy, (Object a), (a))
GUARD(int, PyDict_DelItem, (Object a, Object b), (a, b))
GUARD(Object, PyDict_GetItemWithError, (Object a, Object b), (a, b))
#if PY_VERSION_HEX >= 0x030D0000
GUARD(int, PyDict_GetItemRef, (Object a, Object b, Object *c), (a, b, c))
GUARD(int, PyObject_GetOptionalAttr, (Object a, Object b, Object *c), (a, b, c))
#endif
GUARD(int, PyDict_SetItem, (Object a, Object b, Object c), (a, b, c))
GUARD(int, PyDict_SetItemString, (Object a, char const *b, Object c), (a, b, c))
GUARD(int, PyDict_Update, (Object a, Object b), (a, b))
GUARD(int, PySet_Add, (Object a, Object b), (a, b))
GUARD(int, PySet_Discard, (Object a, Object b), (a, b))
GUARD(int, PySet_Contains, (Object a, Object b), (a, b))
GUARD(int, PySet_Clear, (Object a), (a))

/* What is made may start the garbage collector, before 3.12 */
GUARD(Object, PyDict_New, (void), ())
GUARD(Object, PyList_New, (Py_ssize_t a), (a))
GUARD(Object, PySet_New, (Object a), (a))
GUARD(Object, PyTuple_New, (Py_ssize_t a), (a))
GUARD(Object, PyTuple_GetSlice, (Object a, Py_ssize_t b, Py_ssize_t c), (a, b, c))
GUARD(Object, PyCMethod_New, (PyMethodDef *a, Object b, Object c, PyTypeObject *d), (a, b, c, d))
GUARD(Object, PyWeakref_NewRef, (Object a, Object b), (a, b))
GUARD(PyFrameObject *, PyThreadState_GetFrame, (PyThreadState *a), (a))
GUARD(PyFrameObject *, PyFrame_GetBack, (PyFrameObject *a), (a))
GUARD(Object, PyType_FromSpec, (PyType_Spec *a), (a))
GUARD(Object, Py_GenericAlias, (Object a, Object b), (a, b))

/* The end of objects */
GUARD_VOID(void, _Py_Dealloc, (Object a), (a))
GUARD_VOID(void, PyObject_ClearWeakRefs, (Object a), (a))

/* Exceptions: their classes are called, and what was set before ends */
GUARD_VOID(void, PyErr_Clear, (void), ())
GUARD_VOID(void, PyErr_Restore, (Object a, Object b, Object c), (a, b, c))
GUARD_VOID(void, PyErr_NormalizeException, (Object *a, Object *b, Object *c), (a, b, c))
GUARD_VOID(void, PyErr_SetObject, (Object a, Object b), (a, b))
GUARD_VOID(void, PyErr_SetString, (Object a, char const *b), (a, b))
GUARD(Object, PyErr_SetFromErrno, (Object a), (a))
GUARD(Object, PyErr_NoMemory, (void), ())
GUARD(int, PyErr_WarnEx, (Object a, char const *b, Py_ssize_t c), (a, b, c))
GUARD_VOID(void, PyErr_WriteUnraisable, (Object a), (a))
GUARD_VOID(void, PyErr_PrintEx, (int a), (a))
GUARD_VOID(void, PyErr_Display, (Object a, Object b, Object c), (a, b, c))
#if PY_VERSION_HEX >= 0x030C0000
GUARD_VOID(void, PyErr_SetRaisedException, (Object a), (a))
GUARD_VOID(void, PyErr_DisplayException, (Object a), (a))
#endif
GUARD(Object, PyErr_NewException, (char const *a, Object b, Object c), (a, b, c))
GUARD(Object, PyErr_NewExceptionWithDoc, (char const *a, char const *b, Object c, Object d), (a, b, c, d))
GUARD_VOID(void, PyException_SetCause, (Object a, Object b), (a, b))
GUARD(int, PyException_SetTraceback, (Object a, Object b), (a, b))
GUARD(int, PyTraceBack_Print, (Object a, Object b), (a, b))

/* Functions with a variable number of arguments: these cannot be handed on as they are */
Object __wrap_PyObject_CallFunction(Object callable, char const *format, ...);
Object __wrap_PyObject_CallFunction(Object callable, char const *format, ...)
{
    va_list values;
    va_start(values, format);
    Object arguments = Py_VaBuildValue(format, values); /* a tuple: the formats used have two places */
    va_end(values);
    if (arguments == NULL)
        return NULL;
    Object result = __wrap_PyObject_Call(callable, arguments, NULL);
    GUARDED(Py_DECREF(arguments));
    return result;
}

int __real_PySys_Audit(char const *event, char const *format, ...);
int __wrap_PySys_Audit(char const *event, char const *format, ...);
int __wrap_PySys_Audit(char const *event, char const *format, ...)
{
    va_list values;
    va_start(values, format);
    Object arguments = Py_VaBuildValue(format, values);
    va_end(values);
    if (arguments == NULL)
        return -1;
    int result;
    GUARDED(result = __real_PySys_Audit(event, "O", arguments));
    GUARDED(Py_DECREF(arguments));
    return result;
}

Object __wrap_PyErr_Format(Object kind, char const *format, ...);
Object __wrap_PyErr_Format(Object kind, char const *format, ...)
{
    va_list values;
    va_start(values, format);
    GUARDED(PyErr_FormatV(kind, format, values));
    va_end(values);
    return NULL;
}

Object __wrap_PyUnicode_FromFormat(char const *format, ...);
Object __wrap_PyUnicode_FromFormat(char const *format, ...)
{
    Object result;
    va_list values;
    va_start(values, format);
    GUARDED(result = PyUnicode_FromFormatV(format, values));
    va_end(values);
    return result;
}

Object __wrap_PyTuple_Pack(Py_ssize_t count, ...);
Object __wrap_PyTuple_Pack(Py_ssize_t count, ...)
{
    Object tuple = __wrap_PyTuple_New(count);
    if (tuple == NULL)
        return NULL;
    va_list values;
    va_start(values, count);
    for (Py_ssize_t index = 0; index < count; index++)
        PyTuple_SET_ITEM(tuple, index, Py_NewRef(va_arg(values, Object)));
    va_end(values);
    return tuple;
}
