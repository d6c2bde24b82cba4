"""The meta-path finder behind `install_as_gevent()`.

    import gevent            -> the module `verdigris/_gevent.py`, loaded under the name gevent
    import gevent.socket     -> the module object verdigris.socket, under a second name
    import greenlet[.X]      -> the module object verdigris._greenlet[.X]
    import verdigris.socket  -> as ever, except that its classes and functions say `gevent.socket` (see `named_gevent`)

Rules that the import system imposes, and what breaks without them:

* A spec is answered for the very name that was asked for, with a loader that has `get_code`: runpy (`python -m
  gevent.monkey`) asks for both.
* Looking for a module must not import it. importlib ignores the spec it is given when the name has appeared in
  sys.modules meanwhile, and would load the module a second time.
* A module that is handed out under a second name keeps its own `__spec__`; importlib overwrites it while
  loading.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder

__all__ = ["DoorFinder"]

OURS = "verdigris"
# what programs import -> where it lives
ALIASES = {"gevent": OURS, "greenlet": f"{OURS}._greenlet"}


def real_name(name):
    """`gevent.socket` -> `verdigris.socket`; None for names that are not behind the door."""
    root, dot, rest = name.partition(".")
    home = ALIASES.get(root)
    return home and home + dot + rest


class DoorFinder:
    """First in sys.meta_path: it answers for gevent, greenlet and verdigris, and for nothing else."""

    def find_spec(self, name, path=None, target=None):
        if name.startswith(OURS + "."):
            return find_named_gevent(name, path)
        if name == "gevent":
            return find_top_level()
        home = real_name(name)
        if home is None:
            return None
        spec = find_real(home)
        return spec and alias_spec(name, spec)

    def find_distributions(self, context=None):
        """importlib.metadata: programs that ask for the version of a distribution `gevent` are answered, too."""
        name = context and context.name
        if name and name.lower() in ALIASES:
            from verdigris._doors.distribution import distribution

            yield from distribution(name.lower())

    def invalidate_caches(self):
        """Nothing is cached here; importlib calls this on every finder."""


def find_top_level():
    """The module `gevent`: source of its own, the submodules those of verdigris."""
    ours = import_module(OURS)
    spec = PathFinder.find_spec(f"{OURS}._gevent", ours.__path__)
    spec.loader = RenamingLoader(spec.loader)
    answer = ModuleSpec("gevent", spec.loader, origin=spec.origin, is_package=True)
    answer.submodule_search_locations = list(ours.__path__)
    answer.has_location = True
    answer.cached = spec.cached
    return answer


def find_real(home):
    """The spec of one of our modules, without importing it (its parents are)."""
    parent = home.rpartition(".")[0]
    if home in sys.modules:
        return sys.modules[home].__spec__
    if parent == f"{OURS}._greenlet" and not hasattr(import_module(parent), "__path__"):
        # greenlet is one module here; greenlet._greenlet is a second name for it
        return find_real(parent) if home == f"{parent}._greenlet" else None
    return PathFinder.find_spec(home, import_module(parent).__path__)


def alias_spec(name, spec):
    answer = ModuleSpec(
        name, AliasLoader(spec), origin=spec.origin, is_package=spec.submodule_search_locations is not None
    )
    if spec.submodule_search_locations is not None:
        answer.submodule_search_locations = list(spec.submodule_search_locations)
    return answer


class AliasLoader:
    """Hands out a module of ours under a second name; runpy may also ask it for the code."""

    def __init__(self, spec):
        self.spec = spec

    def create_module(self, _alias_spec):
        module = import_module(self.spec.name)
        self.own_attributes = {name: getattr(module, name, None) for name in ("__spec__", "__loader__")}
        return module

    def exec_module(self, module):
        # It has been executed under its own name; only what importlib has just overwritten is put back.
        for name, value in self.own_attributes.items():
            setattr(module, name, value)

    def get_code(self, _name):
        return self.spec.loader.get_code(self.spec.name)

    def get_source(self, _name):
        return self.spec.loader.get_source(self.spec.name)

    def get_filename(self, _name=None):
        return self.spec.origin

    def is_package(self, _name):
        return self.spec.submodule_search_locations is not None


class RenamingLoader:
    """Loads a source file under a name that the file loader was not made for (it insists on its own)."""

    def __init__(self, loader):
        self.loader = loader

    def create_module(self, _spec):
        return None

    def exec_module(self, module):
        exec(self.get_code(), module.__dict__)

    def get_code(self, _name=None):
        return self.loader.get_code(self.loader.name)

    def get_source(self, _name=None):
        return self.loader.get_source(self.loader.name)

    def get_filename(self, _name=None):
        return self.loader.path

    def is_package(self, _name):
        return True


def find_named_gevent(name, path):
    """One of our own modules, which is to define its classes and functions in the name of gevent.

    Programs that come in by the door meet gevent's names in messages, log files and pickles ("gevent.timeout.Timeout",
    `sleep.__module__ == "gevent.hub"`), and some look for them to learn whether they are patched. A module takes the names
    of what it defines from its `__name__` while it is executed, so that is all there is to change.
    """
    if name.startswith((ALIASES["greenlet"], f"{OURS}._doors")):
        return None
    spec = PathFinder.find_spec(name, path)
    if spec is None or spec.loader is None:
        return None
    spec.loader = NamingLoader(spec.loader)
    return spec


class NamingLoader:
    """Wraps the loader of one of our modules, see `find_named_gevent`."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        own = module.__name__
        if hasattr(self.loader, "path_stats"):  # source
            module.__name__ = in_the_name_of_gevent(own)
            try:
                exec(self.loader.get_code(own), module.__dict__)
            finally:
                module.__name__ = own
        else:
            self.loader.exec_module(module)
        rename_compiled(module)


def rename_compiled(module):
    """The same for what the extension module defines: it was compiled with its name. A function is given the name of the
    first module that offers it."""
    offered = getattr(module, "__all__", ())
    for name, value in list(vars(module).items()):
        if not isinstance(value, (type, BUILTIN_FUNCTION)):
            continue
        home = value.__module__
        if home == COMPILED:
            if name not in offered or module.__name__ == COMPILED:
                continue
            home = module.__name__
        if isinstance(home, str) and home.startswith(OURS + "."):
            try:
                value.__module__ = in_the_name_of_gevent(home)
            except (AttributeError, TypeError):
                pass  # immutable: it keeps the name it has


def in_the_name_of_gevent(name):
    return "gevent" + name[len(OURS) :]


BUILTIN_FUNCTION = type(len)
COMPILED = f"{OURS}._core"
