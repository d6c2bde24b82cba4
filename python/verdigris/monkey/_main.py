"""The command line `python -m verdigris.monkey`, as gevent has it; `verdigris run` is ours."""

import inspect
import sys

HELP = """\
python -m verdigris.monkey - run a program with a patched standard library

usage: python -m verdigris.monkey [--verbose] [--no-NAME ...] [--NAME ...] [--module] SCRIPT [arguments]

NAME is one of {names}.
Everything that is on by default is patched; --no-NAME leaves one out, and --NAME patches only that one and others that are
named. With --module, SCRIPT is the name of a module to run. A directory or zip file is run by its __main__.py.
"""


def main():
    from verdigris import monkey

    arguments = sys.argv[1:]
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(monkey.patch_all).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    text = HELP.format(names=", ".join(defaults))
    options, verbose, as_module = {}, False, False
    while arguments and arguments[0].startswith("--"):
        option = arguments.pop(0)[2:]
        if option == "verbose":
            verbose = True
        elif option == "module":
            as_module = True
        elif option == "help":
            print(text)
            return
        elif option.startswith("no-") and option[3:].replace("-", "_") in defaults:
            options[option[3:].replace("-", "_")] = False
        elif option.replace("-", "_") in defaults:
            name = option.replace("-", "_")
            for other in defaults:
                options.setdefault(other, False)
            options[name] = True
        else:
            sys.exit(f"{text}\nCannot patch {option!r}")
    if verbose:
        print("verdigris.monkey.patch_all(" + ", ".join(f"{name}={value}" for name, value in options.items()) + ")")
        print("sys.version=" + sys.version.replace("\n", " "))
        print("sys.argv=" + repr(sys.argv))
    if not arguments:
        print(text)
        return
    monkey.patch_all(**options)
    sys.argv[:] = arguments
    # Not imported any earlier: it brings along modules that patching would have to warn about.
    import runpy

    if as_module:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(arguments[0], run_name="__main__")
