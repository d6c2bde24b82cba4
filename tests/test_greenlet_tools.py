"""Debuggers, profilers and tracers see of greenlets what they see with genuine greenlet: the digests below are its own.

With GENUINE_GREENLET naming a Python that has the genuine package, the expectation for that Python is checked.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("greenlet_tools.py")
DIGESTS = json.loads((PROGRAM.parent / "data" / "greenlet_tools.json").read_text())
"""Version of Python -> digest of what the program prints on genuine greenlet 3.5.6. Versions differ in the events."""


def digest(python):
    printed = subprocess.run([python, PROGRAM], capture_output=True, text=True, check=True, cwd=PROGRAM.parent).stdout
    return hashlib.sha256(printed.encode()).hexdigest()[:16], printed


def test_tools_see_what_they_see_with_genuine_greenlet():
    found, printed = digest(sys.executable)
    assert found == DIGESTS["{}.{}".format(*sys.version_info)], printed


@pytest.mark.skipif(
    "GENUINE_GREENLET" not in os.environ, reason="GENUINE_GREENLET names no Python with genuine greenlet"
)
def test_the_expectation_is_genuine_greenlets():
    python = os.environ["GENUINE_GREENLET"]
    version = subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True)
    assert digest(python)[0] == DIGESTS[version.strip()]
