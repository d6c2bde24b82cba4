"""The command line: `verdigris run SCRIPT | -m MODULE [arguments]`."""

import argparse
import sys

import verdigris
from verdigris import _doors

__all__ = ["main"]


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser, run = build_parsers()
    if arguments[:1] == ["run"]:
        ours, program = split(arguments[1:])
        options = run.parse_args(ours)
        if not program or program == ["-m"]:
            run.error("nothing to run: give a script, a directory or zip file with a __main__.py, or -m MODULE")
        run_program(options, program)
    else:
        parser.parse_args(arguments)  # prints the help, the version or an error, and exits
        parser.print_help()


def build_parsers():
    parser = argparse.ArgumentParser(
        prog="verdigris", description="Runs unmodified Python programs on green threads.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"verdigris {verdigris.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    run = commands.add_parser(
        "run",
        allow_abbrev=False,
        usage="verdigris run [options] (SCRIPT | -m MODULE) [arguments of the program ...]",
        help="run a program with the standard library made cooperative",
        description="Makes the blocking functions of the standard library cooperative, lets `import gevent` and `import greenlet`"
        " mean verdigris, and runs the program as python would.",
    )
    run.add_argument("--no-patch", action="store_true", help="open the door for `import gevent`, but patch nothing")
    run.add_argument(
        "--patch-children", action="store_true", help="patch the Python processes that the program starts, too"
    )
    run.add_argument(
        "--no-children", action="store_true", help="leave the Python processes that the program starts alone"
    )
    return parser, run


def split(arguments):
    """-> (options for us, the program and its arguments); all our options are flags."""
    for position, argument in enumerate(arguments):
        if argument == "--":
            return arguments[:position], arguments[position + 1 :]
        if argument == "-m" or argument == "-" or not argument.startswith("-"):
            return arguments[:position], arguments[position:]
        if argument.startswith("-m"):  # -mMODULE
            return arguments[:position], ["-m", argument[2:], *arguments[position + 1 :]]
    return arguments, []


def run_program(options, program):
    _doors.install_as_gevent()
    if not options.no_children:
        from verdigris._doors.children import open_in_children

        open_in_children(patch=options.patch_children)
    if not options.no_patch:
        from verdigris import monkey

        monkey.patch_all()
    from verdigris._doors import program as runner

    if program[0] == "-m":
        runner.run_module(program[1], program[2:])
    else:
        runner.run_script(program[0], program[1:])
