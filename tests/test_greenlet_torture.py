"""Random programs of greenlets end as they do on genuine greenlet: the digests below are its own.

`greenlet_torture.py` says what the programs do. With GENUINE_GEVENT set to a Python that has the genuine package, the
programs run on that, too, and the expectations are checked.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).with_name("greenlet_torture.py")
ROUNDS = 2500

#: seed -> the start of genuine greenlet 3.5.6's digest on CPython 3.11, and on 3.12 and later (where the order in which the
#: interpreter itself drops references differs)
DIGESTS = {
    1: ("972470e72488813d", "fdcb370e380797f6"),
    2: ("f4a8e5eb649bb314", "25e95cd72aa9615f"),
    3: ("e3bce62dcd816604", "e3bce62dcd816604"),
    4: ("e531b40f32c35b82", "e531b40f32c35b82"),
    5: ("e936dacb20c2ff29", "e936dacb20c2ff29"),
    6: ("15560149a41b50a1", "15560149a41b50a1"),
    7: ("19e6aafdc8c14254", "19e6aafdc8c14254"),
    8: ("b01d03953faad70f", "b01d03953faad70f"),
    9: ("bdc8c6209180ac99", "bdc8c6209180ac99"),
    10: ("a092bb85e587c1e4", "05f1abf85f02d30e"),
    11: ("bcc49d656944e6e8", "bcc49d656944e6e8"),
    12: ("0c48eca6e94bd940", "0c48eca6e94bd940"),
}

OPENED = (
    "import runpy, sys, verdigris; verdigris.install_as_gevent(); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def outcome(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout.split()[1][:16]


@pytest.mark.parametrize("seed", DIGESTS)
def test_the_outcome_is_genuine_greenlets(seed):
    answer = outcome(sys.executable, "-X", "faulthandler", "-c", OPENED, str(TORTURE), str(seed), str(ROUNDS))
    assert answer == DIGESTS[seed][sys.version_info >= (3, 12)]


@pytest.mark.skipif("GENUINE_GEVENT" not in os.environ, reason="GENUINE_GEVENT names no Python with genuine greenlet")
@pytest.mark.parametrize("seed", DIGESTS)
def test_the_expectation_is_genuine_greenlets(seed):
    python = os.environ["GENUINE_GEVENT"]
    newer = subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 12))"], check=False)
    assert outcome(python, str(TORTURE), str(seed), str(ROUNDS)) == DIGESTS[seed][newer.returncode == 0]
