"""`verdigris.local`: attributes for each greenlet."""

import copy
import gc
import pickle
import weakref

import pytest
import verdigris
from verdigris.local import all_local_dicts_for_greenlet, local


class Initialised(local):
    calls = 0

    def __init__(self, first, second=2):
        Initialised.calls += 1
        self.first = first
        self.second = second

    @property
    def double(self):
        return self.first * 2


def in_greenlet(function, *arguments):
    return verdigris.spawn(function, *arguments).get()


def test_attributes_are_seen_by_their_greenlet_alone():
    ours = local()
    ours.value = "main"
    assert in_greenlet(lambda: hasattr(ours, "value")) is False
    in_greenlet(setattr, ours, "value", "other")
    assert ours.value == "main"
    assert ours.__dict__ == {"value": "main"}


def test_a_subclass_is_initialised_in_each_greenlet():
    Initialised.calls = 0
    ours = Initialised(1)
    ours.first = 5
    assert in_greenlet(lambda: (ours.first, ours.second, ours.double)) == (1, 2, 2)
    assert (ours.double, Initialised.calls) == (10, 2)


def test_a_subclass_whose_init_fails_in_a_greenlet_is_tried_again():
    class Failing(local):
        fails = False

        def __init__(self):
            if Failing.fails:
                raise ValueError("not now")
            self.ready = True

    ours = Failing()
    Failing.fails = True
    with pytest.raises(ValueError, match="not now"):
        in_greenlet(lambda: _quiet(getattr, ours, "ready"))
    Failing.fails = False
    assert in_greenlet(getattr, ours, "ready") is True


def _quiet(function, *arguments):
    verdigris.get_hub().exception_stream = None
    try:
        return function(*arguments)
    finally:
        verdigris.get_hub().exception_stream = None


@pytest.fixture(autouse=True)
def loud_again():
    yield
    verdigris.get_hub()._exception_stream_set = False


def test_errors_name_the_rule():
    ours = local()
    with pytest.raises(AttributeError, match="object has no attribute 'missing'"):
        ours.missing  # noqa: B018
    with pytest.raises(AttributeError):
        del ours.missing
    with pytest.raises(AttributeError, match="'__dict__' is read-only"):
        ours.__dict__ = {}
    with pytest.raises(AttributeError, match="'__dict__' is read-only"):
        del ours.__dict__
    with pytest.raises(TypeError, match="Initialization arguments are not supported"):
        local(1)
    with pytest.raises(TypeError):
        pickle.dumps(ours)


def test_a_copy_has_the_current_attributes():
    ours = Initialised(1)
    ours.more = [1]
    duplicate = copy.copy(ours)
    assert type(duplicate) is Initialised
    assert duplicate.__dict__ == {"first": 1, "second": 2, "more": [1]}
    duplicate.first = 3
    assert ours.first == 1


class Value:
    pass


def test_a_finished_greenlet_keeps_nothing():
    ours = local()
    value = Value()
    gone = weakref.ref(value)

    def body(value):
        ours.value = value

    greenlet = verdigris.spawn(body, value)
    greenlet.join()
    del value
    gc.collect()
    assert gone() is None
    assert all_local_dicts_for_greenlet(greenlet) == []


def test_a_dropped_local_keeps_nothing():
    ours = local()
    ours.value = Value()
    gone = weakref.ref(ours.value)
    del ours
    gc.collect()
    assert gone() is None


def test_a_local_in_a_cycle_is_collected():
    ours = local()
    ours.value = Value()
    ours.itself = ours
    gone = weakref.ref(ours.value)
    del ours
    gc.collect()
    assert gone() is None


def test_locals_of_a_greenlet_can_be_listed():
    ours = local()

    def body():
        ours.value = 1
        return all_local_dicts_for_greenlet(verdigris.getcurrent())

    assert in_greenlet(body) == [((local, id(ours)), {"value": 1})]


def test_a_thousand_greenlets_one_after_another_leave_nothing_behind():
    """Greenlets come to the same address again and again; none may see what another left there."""
    ours = local()

    def body(number):
        assert not hasattr(ours, "number")
        ours.number = number
        verdigris.sleep(0)
        return ours.number

    for number in range(0, 1000, 10):
        greenlets = [verdigris.spawn(body, number + extra) for extra in range(10)]
        assert [greenlet.get() for greenlet in greenlets] == list(range(number, number + 10))
