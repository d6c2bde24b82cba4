"""`verdigris.selectors`: the selector that lets others run."""

from __future__ import annotations

import os

import pytest
import verdigris
from verdigris import selectors, socket


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def selector():
    with selectors.DefaultSelector() as selector:
        yield selector


def test_it_waits_while_others_run(selector, pair):
    left, right = pair
    key = selector.register(left, selectors.EVENT_READ, "data")
    assert selector.select(0) == []
    assert selector.select(0.001) == []
    verdigris.spawn(right.send, b"x")
    assert selector.select() == [(key, selectors.EVENT_READ)]
    assert selector.get_key(left).data == "data"
    # What was not read is told again.
    assert selector.select(5) == [(key, selectors.EVENT_READ)]
    left.recv(1)
    assert selector.select(0) == []


def test_modify_and_unregister(selector, pair):
    left, right = pair
    selector.register(left, selectors.EVENT_READ)
    key = selector.modify(left, selectors.EVENT_READ | selectors.EVENT_WRITE)
    assert selector.select(5) == [(key, selectors.EVENT_WRITE)]
    right.send(b"x")
    assert selector.select(5) == [(key, selectors.EVENT_READ | selectors.EVENT_WRITE)]
    assert selector.modify(left, key.events, "new data").data == "new data"
    selector.unregister(left)
    assert selector.select(0) == []
    with pytest.raises(KeyError):
        selector.unregister(left)


def test_many(selector):
    pairs = [socket.socketpair() for _ in range(50)]
    for number, (left, _) in enumerate(pairs):
        selector.register(left, selectors.EVENT_READ, number)
    for _, right in pairs[::2]:
        right.send(b"x")
    assert sorted(key.data for key, _ in selector.select(5)) == list(range(0, 50, 2))
    for ends in pairs:
        for sock in ends:
            sock.close()


def test_a_closed_descriptor_is_refused_and_leaving_one_is_not(selector, pair):
    reader, writer = os.pipe()
    os.close(writer)
    selector.register(reader, selectors.EVENT_READ)
    os.close(reader)
    selector.unregister(reader)
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        selector.register(reader, selectors.EVENT_READ)
    assert selector.get_map() == {}


def test_two_greenlets_in_one_selector(selector, pair):
    left, right = pair
    key = selector.register(left, selectors.EVENT_READ)
    selecting = [verdigris.spawn(selector.select, 5) for _ in range(2)]
    verdigris.sleep(0)
    right.send(b"x")
    assert [greenlet.get() for greenlet in selecting] == [[(key, selectors.EVENT_READ)]] * 2
