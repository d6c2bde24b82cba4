"""What importlib.metadata hears about gevent and greenlet while the door is open.

Only asked for by name: a listing of everything installed does not show distributions that are not there.
"""

from importlib import metadata

__all__ = ["distribution"]

VERSIONS = {"gevent": "26.9.0", "greenlet": "3.5.6"}


class _Distribution(metadata.Distribution):
    def __init__(self, name):
        self._text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSIONS[name]}\nSummary: provided by verdigris\n"

    def read_text(self, filename):
        return self._text if filename == "METADATA" else None

    def locate_file(self, path):
        from pathlib import Path

        return Path(__file__).parent.parent / path


def distribution(name):
    yield _Distribution(name)
