"""Helpers of the Python layer: lazy attributes, and the lists that mirror a module of the standard library."""

__all__ = ["Lazy", "LazyOnClass", "copy_globals", "gmctime", "readproperty"]


class Lazy:
    """An attribute that is computed at its first use and kept in the instance."""

    def __init__(self, func):
        self.data = (func, func.__name__)
        self.__doc__ = func.__doc__

    def __get__(self, inst, class_):
        if inst is None:
            return self
        func, name = self.data
        value = inst.__dict__[name] = func(inst)
        return value


class readproperty:
    """Like `property`, but may be overridden by assigning to the instance."""

    def __init__(self, func):
        self.func = func
        self.__doc__ = func.__doc__

    def __get__(self, inst, class_):
        return self if inst is None else self.func(inst)


class LazyOnClass:
    """An attribute that is computed at its first use, from that instance, and kept in the class."""

    @classmethod
    def lazy(cls, cls_dict, func):
        """Adds a lazy attribute to the namespace of a class that is being defined."""
        cls_dict[func.__name__] = cls(func)

    def __init__(self, func, name=None):
        self.name = name or func.__name__
        self.func = func

    def __get__(self, inst, klass):
        if inst is None:
            return self
        value = self.func(inst)
        setattr(klass, self.name, value)
        return value


def gmctime():
    """Now, as error reports show it: 2026-11-23T08:03:35Z"""
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def copy_globals(
    source,
    globs,
    only_names=None,
    ignore_missing_names=False,
    names_to_ignore=(),
    dunder_names_to_keep=("__implements__", "__all__", "__imports__"),
    cleanup_globs=True,
):
    """Copies a module's names into a namespace, and returns the names copied.

    A module that mirrors one of the standard library defines what differs, and takes the rest like this, with what it has
    defined in `names_to_ignore`. Names with two leading underscores are left out, save those of `dunder_names_to_keep`.
    """
    if only_names:
        names = list(only_names)
        if ignore_missing_names:
            names = [name for name in names if hasattr(source, name)]
    else:
        names = list(vars(source))
    copied = []
    for name in names:
        if name in names_to_ignore or (name.startswith("__") and name not in dunder_names_to_keep):
            continue
        globs[name] = getattr(source, name)
        copied.append(name)
    if cleanup_globs:
        globs.pop("copy_globals", None)
    return copied
