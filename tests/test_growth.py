"""What is done very often leaves nothing behind: the process is no larger after fifty thousand times than before.

VERDIGRIS_GROWTH_ROUNDS makes it more (a million, before a release).
"""

import os

import pytest
from conftest import Run

pytestmark = pytest.mark.skipif(
    "VERDIGRIS_ASAN" in os.environ, reason="AddressSanitizer keeps freed memory for a while: its process always grows"
)

ROUNDS = int(os.environ.get("VERDIGRIS_GROWTH_ROUNDS", "50000"))

OFTEN = {
    "spawn and join": "gevent.spawn(nothing).join()",
    "spawn and forget": "gevent.spawn(nothing); gevent.sleep(0)",
    "spawn and get with a timeout": "gevent.spawn(nothing).get(timeout=10)",
    "spawn many and joinall": "if n % 100 == 0: gevent.joinall([gevent.spawn(nothing) for _ in range(100)])",
    "spawn an error": "gevent.spawn(fail).join()",
    "spawn and link": "g = gevent.spawn(nothing); g.link(print_nothing); g.rawlink(print_nothing); g.join(); gevent.sleep(0)",
    "kill before the start": "gevent.spawn(nothing).kill()",
    "kill while waiting": "g = gevent.spawn(gevent.sleep, 100); gevent.sleep(0); g.kill()",
    "kill later": "g = gevent.spawn(gevent.sleep, 100); gevent.sleep(0); g.kill(block=False); g.join()",
    "spawn later and kill": "gevent.spawn_later(100, nothing).kill()",
    "timeout started and cancelled": "gevent.Timeout(100).start_new(100).cancel()",
    "timeout in a with statement": "\n    with gevent.Timeout(100): gevent.sleep(0)",
    "timeout that fires": "\n    if n % 20 == 0:\n        with gevent.Timeout(0, False): gevent.sleep(100)",
    "join that times out": "if n % 20 == 0: forever.join(0)",
    "callback": "loop.run_callback(nothing); gevent.sleep(0)",
    "callback stopped": "loop.run_callback(nothing).stop()",
    "callback from another thread": "loop.run_callback_threadsafe(nothing); gevent.sleep(0)",
    "timer watcher": "w = loop.timer(100); w.start(nothing); w.stop(); w.close()",
    "timer dropped while it runs": "w = loop.timer(0); w.start(nothing); del w; gevent.sleep(0)",
    "event watcher": "w = loop.async_(); w.start(nothing); w.send(); gevent.sleep(0); w.close()",
    "greenlet dropped while suspended": "g = greenlet.greenlet(away); g.switch(); del g",
    "greenlet in a cycle dropped while suspended": "c = []; g = greenlet.greenlet(away); c.append((c, g)); g.switch(); del g, c",
    "greenlets inside a greenlet": "gevent.spawn(inside).join()",
    "local": "gevent.spawn(use_local).join()",
    "contextvars": "gevent.spawn(variable.set, bytes(100)).join()",
}

PROGRAM = """
import os
if not os.environ.get("GENUINE_GEVENT"):
    import verdigris; verdigris.install_as_gevent()
import contextvars, gc, gevent, gevent.event, gevent.hub, gevent.local, greenlet, sys
loop = gevent.get_hub().loop
gevent.get_hub().exception_stream = None
local, variable = gevent.local.local(), contextvars.ContextVar("variable")
forever = gevent.spawn(gevent.sleep, 10000)
def nothing(*_): pass
def print_nothing(_): pass
def fail(): raise ValueError(bytes(1000))
def away(): greenlet.getcurrent().parent.switch(bytes(1000))
def inside(): gevent.joinall([gevent.spawn(nothing) for _ in range(3)])
def use_local(): local.value = bytes(1000)
def pages():
    gevent.sleep(0)
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])
def rounds(count):
    for n in range(count):
        WHAT
        pass
rounds(ROUNDS // 10)
before = pages()
rounds(ROUNDS)
print((pages() - before) * 4 // 1024)
"""


@pytest.mark.parametrize("what", OFTEN)
def test_nothing_is_left_behind(program: Run, what: str) -> None:
    body = OFTEN[what].replace("\n    ", "\n        ")
    source = PROGRAM.replace("WHAT", body).replace("ROUNDS", str(ROUNDS))
    ended = program(source, patched=False)
    assert ended.status == 0, ended.stderr
    grown_mb = int(ended.stdout)
    # The smallest object that could be lost is larger than 40 bytes a round; what the allocator keeps for itself is less.
    assert grown_mb <= max(2, ROUNDS * 20 // 1_000_000), f"{what}: {grown_mb} MB more after {ROUNDS} rounds"


def test_a_destroyed_hub_leaves_no_descriptor(program: Run) -> None:
    """Each thread's loop has an epoll and an eventfd; the greenlet of the hub that ran it is left behind and must not keep them."""
    source = """
        import os
        if not os.environ.get("GENUINE_GEVENT"):
            import verdigris; verdigris.install_as_gevent()
        import gevent, threading
        def works():
            gevent.joinall([gevent.spawn(gevent.sleep, 0) for _ in range(3)])
            gevent.get_hub().destroy(destroy_loop=True)
        gevent.sleep(0)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            thread = threading.Thread(target=works); thread.start(); thread.join()
        assert len(os.listdir("/proc/self/fd")) == before, os.listdir("/proc/self/fd")
        """
    ended = program(source, patched=False)
    assert ended.status == 0, ended.stderr
