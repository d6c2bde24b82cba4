"""Many interrupts at random moments: each one reaches the main greenlet, and nothing else breaks."""

import pytest
from conftest import Run

PROGRAM = """
import os, signal, sys, time, random
if not os.environ.get("GENUINE_GEVENT"):
    import verdigris; verdigris.install_as_gevent()
import gevent

choice = random.Random(1)
def sleeper():
    while True: gevent.sleep(choice.random() * 0.01)
def switcher():
    while True: gevent.sleep(0)
def spawner():
    while True: gevent.spawn(gevent.sleep, 0).join()
def thrower():
    while True:
        try: gevent.spawn(gevent.sleep, 100).get(timeout=0.001)
        except gevent.Timeout: pass

KINDS = {
    "idle": [],
    "a thousand sleep": [sleeper] * 1000,
    "some switch": [switcher] * 20,
    "some spawn": [spawner] * 20,
    "some time out": [thrower] * 20,
    "all of it": [sleeper] * 100 + [switcher, spawner, thrower] * 3,
}
wanted, rounds = KINDS[sys.argv[1]], int(sys.argv[2])
gevent.get_hub().exception_stream = None

# Another process sends: it is asked with a byte, and waits as long as chance will have it, between nothing and a little.
parent = os.getpid()
ask, order = os.pipe()
if os.fork() == 0:
    os.close(order)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while os.read(ask, 1):
        end = time.monotonic() + choice.choice((0, 0.0001, 0.001, 0.003)) * choice.random()
        while time.monotonic() < end: pass
        os.kill(parent, signal.SIGINT)
    os._exit(0)
os.close(ask)

running, received, slowest = [], 0, 0
for _ in range(rounds):
    # The interrupt may have hit one of them, which is dead then.
    running = [one for one in running if not one.dead]
    running += [gevent.spawn(choice.choice(wanted)) for _ in range(len(wanted) - len(running))]
    began = time.monotonic()
    try:
        os.write(order, b"x")
        gevent.sleep(20)
    except KeyboardInterrupt:
        received += 1
    slowest = max(slowest, time.monotonic() - began)
os.close(order)
gevent.killall(running)
print("received", received, file=sys.stderr if received != rounds else sys.stdout)
print("slowest %.1f ms" % (slowest * 1000), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("what", "rounds"),
    [
        ("idle", 1000),
        ("a thousand sleep", 100),
        ("some switch", 300),
        ("some spawn", 300),
        ("some time out", 200),
        ("all of it", 300),
    ],
)
def test_every_interrupt_reaches_the_main_greenlet(program: Run, what: str, rounds: int) -> None:
    ended = program(PROGRAM, what, str(rounds), patched=False)
    assert ended.status == 0, ended.stderr
    assert ended.stdout == f"received {rounds}\n", ended.stderr
    print(ended.stderr)
