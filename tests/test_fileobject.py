"""`verdigris.fileobject`: files on pipes and paths, with each of the three kinds."""

from __future__ import annotations

import gc
import os
import warnings

import pytest
import verdigris
from verdigris import fileobject
from verdigris.socket import cancel_wait_ex

KINDS = [fileobject.FileObjectPosix, fileobject.FileObjectThread, fileobject.FileObjectBlock]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


@pytest.fixture(params=KINDS[:2], ids=lambda kind: kind.__name__)
def cooperative(request):
    return request.param


def test_reading_lets_others_run(cooperative):
    reader, writer = os.pipe()
    with cooperative(reader, "rb") as source, cooperative(writer, "wb") as target:

        def write():
            target.write(b"hello\n")
            target.flush()

        verdigris.spawn(write)
        assert source.readline() == b"hello\n"


def test_more_than_a_pipe_holds(cooperative):
    reader, writer = os.pipe()
    data = os.urandom(1_000_000)
    with cooperative(reader, "rb") as source:

        def write():
            with cooperative(writer, "wb") as target:
                target.write(data)

        writing = verdigris.spawn(write)
        assert source.read() == data
        writing.get()


@pytest.mark.parametrize("mode", ["w", "w+", "wb", "a", "ab", "x", "xb", "w+b", "a+"])
def test_modes_are_those_of_open(kind, tmp_path, mode):
    content = b"bytes\r\n" if "b" in mode else "grün\n"
    paths = [tmp_path / "ours", tmp_path / "theirs"]
    for path, opener in zip(paths, [kind, open], strict=True):
        if "x" not in mode:
            path.write_bytes(b"before")
        text = {} if "b" in mode else {"encoding": "utf-8"}
        with opener(path, mode, **text) as file:
            file.write(content)
            if "+" in mode:
                file.seek(0)
                assert file.read(2)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_lines_seeking_and_readinto(kind, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo\nthree")
    with kind(path, "rb") as file:
        assert list(file) == [b"one\n", b"two\n", b"three"]
        file.seek(4)
        assert file.tell() == 4
        buffer = bytearray(3)
        assert file.readinto(buffer) == 3
        assert buffer == b"two"
        assert file.seekable() and file.readable() and not file.writable()
    with kind(path) as file:
        assert file.readlines() == ["one\n", "two\n", "three"]


def test_a_closed_file_says_so(kind):
    reader, writer = os.pipe()
    os.close(writer)
    file = kind(reader, "rb")
    assert not file.closed
    file.close()
    file.close()
    assert file.closed
    assert file.name == reader
    with pytest.raises(OSError, match="FileObject was closed"):
        file.read()
    with pytest.raises(OSError):
        os.fstat(reader)


def test_a_descriptor_that_is_to_stay_open(kind):
    reader, writer = os.pipe()
    file = kind(writer, "wb", closefd=False)
    file.write(b"x")
    file.close()
    del file
    gc.collect()
    assert os.get_blocking(writer)
    os.write(writer, b"y")
    os.close(writer)
    with kind(reader, "rb") as file:
        assert file.read() == b"xy"


def test_an_unclosed_file_is_closed(kind):
    reader, writer = os.pipe()
    file = kind(reader, "rb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del file
        gc.collect()
    with pytest.raises(OSError):
        os.fstat(reader)
    os.close(writer)


def test_an_open_file_is_taken(kind, tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    with open(path) as original, kind(original) as file:
        assert file.read() == "content"
        assert file.name == str(path)
    assert original.closed


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"mode": 4}, TypeError, "invalid mode"),
        ({"mode": "q"}, ValueError, "invalid mode"),
        ({"mode": "rw"}, ValueError, "read/write/append mode at once"),
        ({"mode": "rbt"}, ValueError, "text and binary"),
        ({"mode": "+"}, ValueError, "exactly one"),
        ({"mode": "rb", "encoding": "ascii"}, ValueError, "take an encoding"),
        ({"mode": "rb", "newline": ""}, ValueError, "take a newline"),
        ({"buffering": "1"}, TypeError, "invalid buffering"),
        ({"bufsize": 1, "buffering": 1}, TypeError, "Cannot specify both"),
        ({"close": True, "closefd": True}, TypeError, "Cannot specify both"),
    ],
)
def test_bad_arguments(kind, arguments, error, message):
    with pytest.raises(error, match=message):
        kind(1, **arguments)


def test_what_cannot_be_opened(kind, tmp_path):
    with pytest.raises(FileNotFoundError):
        kind(tmp_path / "missing")
    with pytest.raises(ValueError):
        kind(-1)
    with pytest.raises(TypeError):
        kind(object())


def test_closing_wakes_who_reads():
    reader, writer = os.pipe()
    file = fileobject.FileObjectPosix(reader, "rb", 0)
    reading = verdigris.spawn(file.read, 1)
    verdigris.sleep(0)
    file.close()
    with pytest.raises(cancel_wait_ex):
        reading.get(timeout=5)
    os.close(writer)


def test_atomic_write_writes_everything():
    reader, writer = os.pipe()
    data = os.urandom(500_000)
    with fileobject.FileObjectPosix(reader, "rb") as source:
        target = fileobject.FileObjectPosix(writer, "wb", 0, atomic_write=True)
        writing = verdigris.spawn(target.write, data)
        received = source.read(len(data))
        assert writing.get() == len(data)
        assert received == data
        target.close()


def test_the_default_is_configured():
    assert fileobject.FileObject is fileobject.FileObjectPosix
