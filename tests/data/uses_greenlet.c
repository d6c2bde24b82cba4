/* An extension module that shows each function of the greenlet interface to Python, for test_greenlet_header.py. */

#define PY_SSIZE_T_CLEAN
#include <greenlet/greenlet.h>

static PyObject *
or_null(PyObject *object)
{
    return object == Py_None ? NULL : object;
}

static PyObject *
types(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyTuple_Pack(3, (PyObject *)&PyGreenlet_Type, PyExc_GreenletError, PyExc_GreenletExit);
}

static PyObject *
current(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return (PyObject *)PyGreenlet_GetCurrent();
}

static PyObject *
new(PyObject *module, PyObject *arguments)
{
    PyObject *run, *parent;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OO", &run, &parent)) {
        return NULL;
    }
    return (PyObject *)PyGreenlet_New(or_null(run), (PyGreenlet *)or_null(parent));
}

static PyObject *
switch_to(PyObject *module, PyObject *arguments)
{
    PyObject *greenlet, *args, *keywords;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOO", &greenlet, &args, &keywords)) {
        return NULL;
    }
    return PyGreenlet_Switch((PyGreenlet *)greenlet, or_null(args), or_null(keywords));
}

static PyObject *
throw(PyObject *module, PyObject *arguments)
{
    PyObject *greenlet, *type, *value, *traceback;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOOO", &greenlet, &type, &value, &traceback)) {
        return NULL;
    }
    return PyGreenlet_Throw((PyGreenlet *)greenlet, type, or_null(value), or_null(traceback));
}

static PyObject *
set_parent(PyObject *module, PyObject *arguments)
{
    PyObject *greenlet, *parent;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OO", &greenlet, &parent)
        || PyGreenlet_SetParent((PyGreenlet *)greenlet, (PyGreenlet *)parent) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
get_parent(PyObject *module, PyObject *greenlet)
{
    PyObject *parent = (PyObject *)PyGreenlet_GET_PARENT((PyGreenlet *)greenlet);
    (void)module;
    if (parent == NULL && !PyErr_Occurred()) {
        Py_RETURN_NONE;
    }
    return parent;
}

static PyObject *
ask(PyObject *module, PyObject *object)
{
    PyGreenlet *greenlet = (PyGreenlet *)object;
    (void)module;
    return Py_BuildValue("iii", PyGreenlet_MAIN(greenlet), PyGreenlet_STARTED(greenlet), PyGreenlet_ACTIVE(greenlet));
}

static PyObject *
check(PyObject *module, PyObject *object)
{
    (void)module;
    return PyBool_FromLong(PyGreenlet_Check(object));
}

static PyObject *
size(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromSize_t(sizeof(PyGreenlet));
}

static PyMethodDef functions[] = {
    {"types", types, METH_NOARGS, NULL},
    {"getcurrent", current, METH_NOARGS, NULL},
    {"new", new, METH_VARARGS, NULL},
    {"switch", switch_to, METH_VARARGS, NULL},
    {"throw", throw, METH_VARARGS, NULL},
    {"set_parent", set_parent, METH_VARARGS, NULL},
    {"get_parent", get_parent, METH_O, NULL},
    {"ask", ask, METH_O, NULL},
    {"check", check, METH_O, NULL},
    {"size", size, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "uses_greenlet", NULL, -1, functions};

PyMODINIT_FUNC
PyInit_uses_greenlet(void)
{
    PyGreenlet_Import();
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyModule_Create(&definition);
}
