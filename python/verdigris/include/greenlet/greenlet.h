/* Greenlets from C: what an extension module needs to make, switch and ask greenlets.
 *
 *     #include <greenlet/greenlet.h>         with the folder that verdigris.get_include() names
 *
 *     PyGreenlet_Import();                   once, in the module's initialisation
 *     if (PyErr_Occurred())
 *         return NULL;
 *     PyGreenlet *made = PyGreenlet_New(run, NULL);
 *     PyObject *result = PyGreenlet_Switch(made, NULL, NULL);
 *
 * The names and the binary interface are those of the package greenlet: an extension that was compiled with either header runs with
 * either package. All functions need the GIL. A switch may run any Python code, and may never return.
 */

#ifndef VERDIGRIS_GREENLET_H
#define VERDIGRIS_GREENLET_H
/* The other header's guard: whichever is included first is the one. */
#ifndef Py_GREENLETOBJECT_H
#define Py_GREENLETOBJECT_H

#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which interface this is; not the release of the package. */
#define GREENLET_VERSION "1.0.0"

/* What a greenlet begins with. A type that extends it in C puts its own fields behind. */
typedef struct _greenlet {
    PyObject_HEAD
    PyObject *weakreflist;
    PyObject *dict;
    void *pimpl; /* the package's own */
} PyGreenlet;

/* The interface is an array of pointers in the capsule "greenlet._C_API". The places are part of it. */
enum {
    PyGreenlet_Type_NUM = 0,
    PyExc_GreenletError_NUM = 1,
    PyExc_GreenletExit_NUM = 2,
    PyGreenlet_New_NUM = 3,
    PyGreenlet_GetCurrent_NUM = 4,
    PyGreenlet_Throw_NUM = 5,
    PyGreenlet_Switch_NUM = 6,
    PyGreenlet_SetParent_NUM = 7,
    PyGreenlet_MAIN_NUM = 8,
    PyGreenlet_STARTED_NUM = 9,
    PyGreenlet_ACTIVE_NUM = 10,
    PyGreenlet_GET_PARENT_NUM = 11,
    PyGreenlet_API_pointers = 12
};

#ifndef GREENLET_MODULE /* defined by who implements the interface */

/* The array, after PyGreenlet_Import(); one for each file that includes this. */
static void **_PyGreenlet_API = NULL;

/* Fetches the interface. 0, or -1 with an exception set. */
static inline int
_PyGreenlet_DoImport(void)
{
    _PyGreenlet_API = (void **)PyCapsule_Import("greenlet._C_API", 0);
    return _PyGreenlet_API == NULL ? -1 : 0;
}
#define PyGreenlet_Import() ((void)_PyGreenlet_DoImport())

/* The type greenlet.greenlet, and the exceptions greenlet.error and greenlet.GreenletExit; borrowed. */
#define PyGreenlet_Type (*(PyTypeObject *)_PyGreenlet_API[PyGreenlet_Type_NUM])
#define PyExc_GreenletError ((PyObject *)_PyGreenlet_API[PyExc_GreenletError_NUM])
#define PyExc_GreenletExit ((PyObject *)_PyGreenlet_API[PyExc_GreenletExit_NUM])

/* Whether an object is a greenlet; NULL is none. */
#define PyGreenlet_Check(object) ((object) != NULL && PyObject_TypeCheck((PyObject *)(object), &PyGreenlet_Type))

/* A function of the interface, as its type. */
#define _PyGreenlet_FUNCTION(result, place, parameters) (*(result(*) parameters)_PyGreenlet_API[place])

/* PyGreenlet *PyGreenlet_New(PyObject *run, PyGreenlet *parent): a new greenlet, or NULL with an exception set. `run` may be NULL (a
 * subclass has it, or it is set later), `parent` may be NULL (the current greenlet). */
#define PyGreenlet_New _PyGreenlet_FUNCTION(PyGreenlet *, PyGreenlet_New_NUM, (PyObject *, PyGreenlet *))

/* PyGreenlet *PyGreenlet_GetCurrent(void): the running greenlet, a new reference. */
#define PyGreenlet_GetCurrent _PyGreenlet_FUNCTION(PyGreenlet *, PyGreenlet_GetCurrent_NUM, (void))

/* PyObject *PyGreenlet_Throw(PyGreenlet *, PyObject *type, PyObject *value, PyObject *traceback): raises an exception in a greenlet.
 * `value` and `traceback` may be NULL. Returns as a switch does. */
#define PyGreenlet_Throw \
    _PyGreenlet_FUNCTION(PyObject *, PyGreenlet_Throw_NUM, (PyGreenlet *, PyObject *, PyObject *, PyObject *))

/* PyObject *PyGreenlet_Switch(PyGreenlet *, PyObject *args, PyObject *kwargs): runs a greenlet, with a tuple and a dict (either may be
 * NULL). Returns, when somebody switches back, what they brought, a new reference; or NULL with an exception set. */
#define PyGreenlet_Switch _PyGreenlet_FUNCTION(PyObject *, PyGreenlet_Switch_NUM, (PyGreenlet *, PyObject *, PyObject *))

/* int PyGreenlet_SetParent(PyGreenlet *, PyGreenlet *parent): 0, or -1 with an exception set. */
#define PyGreenlet_SetParent _PyGreenlet_FUNCTION(int, PyGreenlet_SetParent_NUM, (PyGreenlet *, PyGreenlet *))

/* PyGreenlet *PyGreenlet_GetParent(PyGreenlet *): a new reference; NULL for a thread's main greenlet, with no exception set. */
#define PyGreenlet_GetParent _PyGreenlet_FUNCTION(PyGreenlet *, PyGreenlet_GET_PARENT_NUM, (PyGreenlet *))
#define PyGreenlet_GET_PARENT PyGreenlet_GetParent

/* int, 0 or 1 each: is it a thread's main greenlet; has it been started; has it been started and not finished? -1 with an exception
 * set if it is no greenlet. */
#define PyGreenlet_MAIN _PyGreenlet_FUNCTION(int, PyGreenlet_MAIN_NUM, (PyGreenlet *))
#define PyGreenlet_STARTED _PyGreenlet_FUNCTION(int, PyGreenlet_STARTED_NUM, (PyGreenlet *))
#define PyGreenlet_ACTIVE _PyGreenlet_FUNCTION(int, PyGreenlet_ACTIVE_NUM, (PyGreenlet *))

#endif /* GREENLET_MODULE */

#ifdef __cplusplus
}
#endif

#endif /* Py_GREENLETOBJECT_H */
#endif /* VERDIGRIS_GREENLET_H */
