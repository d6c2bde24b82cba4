"""`verdigris.select`: select and poll, which let others run."""

from __future__ import annotations

import errno
import os
import resource
import select as standard

import pytest
import verdigris
from verdigris import select, socket


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_what_is_ready_is_told_at_once(pair):
    left, right = pair
    assert select.select([left], [left], [left], 0) == ([], [left], [])
    right.send(b"x")
    assert select.select([left, right], [left], []) == ([left], [left], [])


def test_it_waits_for_the_first(pair):
    left, right = pair
    other, _ = others = socket.socketpair()
    order = []

    def writer():
        order.append("writes")
        right.send(b"x")

    verdigris.spawn(writer)
    assert select.select([other, left], [], [], 5) == ([left], [], [])
    assert order == ["writes"]
    for sock in others:
        sock.close()


def test_others_have_their_turn_even_if_something_is_always_ready(pair):
    ended = []
    verdigris.spawn(ended.append, True)
    for _ in range(100):
        select.select([], [pair[0]], [])
    assert ended


def test_waiting_for_nothing_takes_its_time():
    assert select.select([], [], [], 0.01) == ([], [], [])


def test_the_objects_come_back_as_they_were_given(pair):
    left, right = pair
    right.send(b"x")
    verdigris.spawn(lambda: None)
    number = left.fileno()
    assert select.select(iter([left, number, left]), [], [], 1)[0] == [left, number, left]


@pytest.mark.parametrize(
    "arguments, error",
    [
        ((["a"], [], []), TypeError),
        (([object()], [], []), TypeError),
        (([-1], [], []), ValueError),
        (([], [], [], -1), ValueError),
        (([], [], [], float("nan")), ValueError),
        (([], [], [], "1"), TypeError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error):
        select.select(*arguments)


def test_a_closed_descriptor_is_an_error():
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError) as caught:
        select.select([reader], [], [], 0)
    assert caught.value.errno == errno.EBADF


def test_closing_what_is_selected_ends_it(pair):
    left, _ = pair
    selecting = verdigris.spawn(select.select, [left], [], [], 5)
    verdigris.sleep(0)
    left.close()
    selecting.get(timeout=1)


def test_descriptors_beyond_the_kernels_set(pair):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit[0] < 1200:
        pytest.skip("not so many descriptors here")
    left, right = pair
    high = 1100
    os.dup2(left.fileno(), high)
    try:
        assert select.select([high], [], [], 0.01) == ([], [], [])
        right.send(b"x")
        assert select.select([high], [high], [], 5) == ([high], [high], [])
    finally:
        os.close(high)


# ---- poll


def test_poll_tells_what_the_kernel_tells(pair):
    left, right = pair
    poller = select.poll()
    poller.register(left, select.POLLIN)
    assert poller.poll(0) == []
    verdigris.spawn(right.send, b"x")
    assert poller.poll(5000) == [(left.fileno(), select.POLLIN)]
    poller.modify(left, select.POLLOUT)
    assert poller.poll() == [(left.fileno(), select.POLLOUT)]
    right.close()
    poller.modify(left, 0)
    assert poller.poll() == [(left.fileno(), select.POLLHUP)]
    poller.unregister(left)
    assert poller.poll(1) == []


def test_poll_of_a_closed_descriptor():
    reader, writer = os.pipe()
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    os.close(reader)
    os.close(writer)
    assert poller.poll(100) == [(reader, select.POLLNVAL)]


def test_poll_refuses_what_it_does_not_know():
    poller = select.poll()
    with pytest.raises(KeyError):
        poller.unregister(5)
    with pytest.raises(OSError):
        poller.modify(5, select.POLLIN)
    with pytest.raises(TypeError):
        poller.poll("1")


def test_the_standard_names_are_there():
    for name in select.__imports__:
        assert getattr(select, name) is getattr(standard, name)
    assert select.error is OSError
