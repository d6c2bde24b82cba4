"""The package as it is installed: it imports, and the extension module is of the same version."""

import importlib.metadata

import verdigris._core


def test_versions_agree() -> None:
    assert verdigris.__version__ == verdigris._core.__version__ == importlib.metadata.version("verdigris")
