"""Open files of a simulated disk."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pigpen.env import File, OpenFile
from pigpen.testing.faults import Killed
from pigpen.testing.inodes import BLOCK, Inode

if TYPE_CHECKING:
    from pigpen.testing.disk import SimDisk


class OpenedFile:
    """A use of a file; of no effect once the process that opened it is gone."""

    def __init__(self, disk: SimDisk, inode: Inode, path: str, *, locks: bool = False) -> None:
        self.path = path
        self._locks = locks
        self._disk = disk
        self.inode = inode
        self._generation = disk.generation
        self._closed = False
        inode.opens += 1
        disk.opened.append(self)

    def _use(self, kind: str) -> None:
        if self._generation != self._disk.generation:
            raise Killed
        if self._closed:
            raise OSError(errno.EBADF, "Bad file descriptor", self.path)
        self._disk.operation(kind, self.path)

    def close(self) -> None:
        if self._closed or self._generation != self._disk.generation:
            return
        try:
            self._use("close")
        finally:  # a close that fails has closed
            self.drop()

    def drop(self) -> None:
        """Close without an operation, as the end of a process does."""
        if not self._closed:
            self._closed = True
            if self._locks:
                self.inode.locked = False
            self._disk.closed(self)

    def _bytes(self, offset: int, size: int) -> bytes:
        return bytes(self.inode.live[offset : offset + size])


class SimOpenFile(OpenedFile):
    """A file open for appending."""

    def write(self, data: bytes) -> None:
        start = len(self.inode.live)
        try:
            self._use("write")
            self._disk.grow(self.inode, start + len(data))
        except OSError:
            self._write_part(data)
            raise
        self.inode.live += data

    def _write_part(self, data: bytes) -> None:
        # a write that fails may have written something: up to where the disk is full
        part = data[: self._disk.rng.randint(0, len(data))]
        start = len(self.inode.live)
        try:
            self._disk.grow(self.inode, start + len(part))
        except OSError:
            part = part[: -start % BLOCK]
        self.inode.live += part

    def read(self, offset: int, size: int) -> bytes:
        self._use("read")
        return self._bytes(offset, size)

    def sync(self) -> None:
        try:
            self._use("sync")
        except OSError:
            self.inode.fail_sync()
            raise
        self.inode.sync()

    def start_sync(self, offset: int, size: int) -> None:
        self._use("start_sync")

    def truncate(self, size: int) -> None:
        self._use("truncate")
        self._disk.grow(self.inode, size)
        self.inode.truncate(size)

    def size(self) -> int:
        self._use("size")
        return len(self.inode.live)


class SimFile(OpenedFile):
    """A file open for reading; it has no descriptor."""

    def fileno(self) -> int | None:
        return None

    def read_now(self, offset: int, size: int) -> bytes | None:
        """By luck."""
        if self._disk.rng.random() < 0.5:
            return None
        data = self._bytes(offset, size)
        return data if len(data) == size else None

    async def read_at(self, offset: int, size: int) -> bytes:
        env = self._disk.env
        assert env is not None, "a disk without a node has no threads"
        return await env.in_thread(self._read, offset, size)

    def _read(self, offset: int, size: int) -> bytes:
        self._use("read")
        return self._bytes(offset, size)


_is_file: type[File] = SimFile
_is_open_file: type[OpenFile] = SimOpenFile
