"""A file that appears whole or not at all.

The bytes go to a nameless or temporary file in the folder of the destination; `commit` flushes it to the disk and
renames it over the destination. Whatever goes wrong before leaves the destination as it was and nothing beside it.
Knows nothing of bundles.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bundler.errors import BundleError
from bundler.formats.source import CHUNK

_FICLONERANGE = 0x4020940D
_ZEROS = bytes(CHUNK)
_BLOCK = 4096
"""Bytes; where the filesystem's own blocks are larger, sharing parts of a file is left to fail."""
FAT32_LIMIT = (1 << 32) - 1
MOUNTS = Path("/proc/self/mountinfo")


class OutputFile:
    """The file under construction; a context manager that throws it away unless `commit` was called."""

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self._temporary = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
        self._named = False
        try:
            self.descriptor = self._open()
        except OSError as cause:
            raise explain(cause, destination) from cause
        self.position = 0

    def _open(self) -> int:
        if self.destination.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if self.destination.exists() and not self.destination.is_file():  # root would replace /dev/null by a file
            raise OSError(errno.EINVAL, "it is a device, a pipe or a socket")
        if sys.platform == "linux":
            try:
                return os.open(self.destination.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
            except OSError as cause:
                if cause.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                    raise
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self._temporary, flags, 0o666)
        self._named = True
        return descriptor

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self._named:
            self._temporary.unlink(missing_ok=True)
            self._named = False

    def write(self, data: bytes | memoryview) -> None:
        """Append.

        Raises:
            BundleError: the disk is full, or the filesystem cannot hold a file of this size.
        """
        view = memoryview(data)
        try:
            if len(view) == len(_ZEROS) and view == _ZEROS:  # a hole stays a hole
                self.position = os.lseek(self.descriptor, len(view), os.SEEK_CUR)
                return
            while view:
                count = os.write(self.descriptor, view)
                self.position += count
                view = view[count:]
        except OSError as cause:
            raise explain(cause, self.destination) from cause

    def patch(self, offset: int, data: bytes) -> None:
        """Overwrite bytes already written.

        Raises:
            BundleError: as `write`; where blocks are copied on writing, overwriting takes space too.
        """
        position, self.position = self.position, os.lseek(self.descriptor, offset, os.SEEK_SET)
        self.write(data)
        self.position = os.lseek(self.descriptor, position, os.SEEK_SET)

    def share(self, source: int, length: int, offset: int = 0) -> int:
        """Append a range of the file `source` by pointing at the same blocks; how many of its bytes were appended.

        All of them where the range ends with the file, else the whole blocks of it; 0 where the filesystem cannot, or
        where one of the two places is not at the start of a block.
        """
        if sys.platform != "linux" or offset % _BLOCK or self.position % _BLOCK:
            return 0
        import fcntl  # not there on Windows

        shared = length if offset + length == os.fstat(source).st_size else length // _BLOCK * _BLOCK
        if not shared:
            return 0
        request = struct.pack("<qQQQ", source, offset, shared, self.position)
        try:
            fcntl.ioctl(self.descriptor, _FICLONERANGE, request)
        except OSError:
            return 0
        if os.fstat(self.descriptor).st_size != self.position + shared:
            os.ftruncate(self.descriptor, self.position)
            return 0
        self.position += shared
        os.lseek(self.descriptor, self.position, os.SEEK_SET)
        return shared

    def commit(self, *, executable: bool) -> None:
        """Flush to the disk and take the destination's name, replacing what had it."""
        try:
            if executable:
                self._make_executable()
            os.ftruncate(self.descriptor, self.position)
            os.fsync(self.descriptor)
            if not self._named:
                self._temporary.unlink(missing_ok=True)
                self._name()
            os.close(self.descriptor)
            self.descriptor = -1
            os.replace(self._temporary, self.destination)
            self._named = False
            _sync_folder(self.destination.parent)
        except OSError as cause:
            raise explain(cause, self.destination) from cause

    def _make_executable(self) -> None:
        """For all who may read it. FAT has no modes of files; those of the mount hold for all of them."""
        if hasattr(os, "fchmod"):
            mode = os.fstat(self.descriptor).st_mode & 0o777
            with suppress(PermissionError):
                os.fchmod(self.descriptor, mode | (mode & 0o444) >> 2)

    def _name(self) -> None:
        """Give the nameless file its temporary name."""
        folder = os.open(self._temporary.parent, os.O_RDONLY)
        try:  # only with a folder's descriptor does os.link follow /proc's link to the open file
            os.link(f"/proc/self/fd/{self.descriptor}", self._temporary, src_dir_fd=folder, follow_symlinks=True)
            self._named = True
        finally:
            os.close(folder)


def refuse_overwriting(output: Path, inputs: Iterable[Path]) -> None:
    """Check that the output is none of the inputs.

    Raises:
        BundleError: it is one.
    """
    for path in inputs:
        if output.exists() and os.path.samefile(output, path):
            raise BundleError(f"failed to write {output}: it is one of the inputs", "give another name with -o")


def file_size_limit(folder: Path) -> int | None:
    """The largest file that the filesystem of `folder` can hold, in bytes, where it is known to be small (FAT32)."""
    return FAT32_LIMIT if _filesystem(folder) in ("vfat", "msdos") else None


def _filesystem(folder: Path) -> str:
    """The type of the mounted filesystem that holds `folder`, empty where the system does not tell."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        device = os.stat(folder).st_dev
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        fields = line.split(" ")
        if fields[2] == number:
            return fields[fields.index("-") + 1]
    return ""


def explain(cause: OSError, destination: Path) -> BundleError:
    """The error a user understands for what the system said of writing `destination`."""
    reason = cause.strerror or str(cause)
    hints = {
        errno.ENOSPC: "free some space, or give another place with -o",
        errno.EDQUOT: "your quota on this disk is used up; give another place with -o",
        errno.EFBIG: "the filesystem holds no file of this size; give a place on another (ext4, exFAT, NTFS, APFS)",
        errno.EACCES: "give a place that you may write to with -o",
        errno.EPERM: "give a place that you may write to with -o",
        errno.EROFS: "the filesystem is read-only; give another place with -o",
        errno.ENOENT: f"create the folder {destination.parent} first, or give another place with -o",
        errno.ENOTDIR: f"{destination.parent} is no folder; give another place with -o",
        errno.EISDIR: "a folder has this name; give another one with -o",
        errno.ETXTBSY: "the file is in use; stop the program or give another name with -o",
    }
    return BundleError(
        f"failed to write {destination}: {reason}", hints.get(cause.errno or 0, "give another place with -o")
    )


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
