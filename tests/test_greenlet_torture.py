"""Random programs of greenlets end as they do on genuine greenlet: the digests below are its own.

`greenlet_torture.py` says what the programs do. With GENUINE_GEVENT set to a Python that has the genuine package, the
programs run on that, too, and the expectations are checked.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).with_name("greenlet_torture.py")
ROUNDS = 2500

#: "3.11" -> seed -> the start of genuine greenlet 3.5.6's digest. The interpreters differ in when they drop temporary references.
DIGESTS = json.loads((TORTURE.parent / "data" / "greenlet_torture.json").read_text())
VERSION = "{}.{}".format(*sys.version_info)

OPENED = (
    "import runpy, sys, verdigris; verdigris.install_as_gevent(); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def outcome(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout.split()[1][:16]


@pytest.mark.parametrize("seed", DIGESTS["3.11"])
def test_the_outcome_is_genuine_greenlets(seed):
    answer = outcome(sys.executable, "-X", "faulthandler", "-c", OPENED, str(TORTURE), seed, str(ROUNDS))
    assert answer == DIGESTS[VERSION][seed]


@pytest.mark.skipif("GENUINE_GEVENT" not in os.environ, reason="GENUINE_GEVENT names no Python with genuine greenlet")
@pytest.mark.parametrize("seed", DIGESTS["3.11"])
def test_the_expectation_is_genuine_greenlets(seed):
    python = os.environ["GENUINE_GEVENT"]
    version = subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True)
    assert outcome(python, str(TORTURE), seed, str(ROUNDS)) == DIGESTS[version.strip()][seed]
