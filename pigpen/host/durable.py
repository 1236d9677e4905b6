"""What makes bytes and names survive a power cut, and what its failures mean. All of it blocks."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass

from pigpen.env import Disk, OpenFile
from pigpen.errors import DiskFailed, InsufficientStorage, PigpenError, Unavailable

#: no space, no quota, no inodes; a disk that turned read-only takes as little
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_BUSY = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
_BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Written:
    """A durable blob: bytes, SHA-256 in hexadecimal, bytes allocated on the disk."""

    length: int
    sha256: str
    allocated: int


def written(length: int, sha256: str) -> Written:
    """Counts whole blocks; the next start counts what the file system really took."""
    return Written(length, sha256, -(-length // _BLOCK_BYTES) * _BLOCK_BYTES)


def what_failed(error: OSError) -> PigpenError:
    """The answer to a request whose bytes could not be written."""
    if error.errno in _FULL:
        return InsufficientStorage(reason="the disk of this host is full")
    if error.errno in _BUSY:
        return Unavailable(reason="this host has too many files open")
    return DiskFailed()


def sync(file: OpenFile) -> None:
    """:raises DiskFailed: final, whatever the errno: the kernel has marked the lost pages clean, so
    a second fsync would succeed without them."""
    try:
        file.sync()
    except OSError as error:
        raise DiskFailed from error


def sync_folder(disk: Disk, path: str) -> None:
    """:raises DiskFailed: the names may be there after a crash, or not."""
    try:
        disk.sync_folder(path)
    except OSError as error:
        raise DiskFailed from error


def create(disk: Disk, path: str) -> OpenFile:
    """A new file in the place of what a crash may have left there."""
    try:
        return disk.create(path)
    except FileExistsError:
        disk.remove(path)
        return disk.create(path)


def remove(disk: Disk, path: str) -> None:
    """Remove a file that may be gone."""
    with contextlib.suppress(FileNotFoundError):
        disk.remove(path)


def write_file(disk: Disk, folder: str, name: str, data: bytes) -> None:
    """Replace a small file: a reader finds the old bytes or the new, also after a power cut."""
    temporary = f"{folder}/{name}.tmp"
    file = create(disk, temporary)
    try:
        file.write(data)
        sync(file)
    finally:
        file.close()
    disk.rename(temporary, f"{folder}/{name}")
    sync_folder(disk, folder)
