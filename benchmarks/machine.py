"""The machine that the figures were made on."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from micro import output

VERSIONS = """
from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in ("gevent", "greenlet", "uvloop", "eventlet")))
"""


def describe(peer):
    """Lines of (what, text)."""
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        (
            "processor",
            f"{processor()}, {len(os.sched_getaffinity(0))} cores; servers on one, the load generator on another",
        ),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("python", f"CPython {platform.python_version()}"),
        ("compared with", output([peer, "-c", VERSIONS]).strip()),
    ]


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def load():
    """How many processes want to run: what else goes on here spoils figures."""
    return os.getloadavg()[0]
