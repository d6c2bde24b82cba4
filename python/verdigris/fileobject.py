"""File objects that let other greenlets run while they wait.

`FileObject` is what `config.fileobject` names: `FileObjectPosix` where descriptors can be made
non-blocking, or `FileObjectThread`.
"""

from ._config import config
from ._fileobjectcommon import FileObjectBlock, FileObjectThread
from ._fileobjectposix import FileObjectPosix

__all__ = ["FileObjectPosix", "FileObjectThread", "FileObjectBlock", "FileObject"]

FileObject = config.fileobject
