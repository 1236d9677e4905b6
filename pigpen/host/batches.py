"""Batches: small blobs that come at about the same time are made durable together.

One thread takes them through the steps of a durable write side by side: all are written, all are
synced, all are renamed, all their folders are synced. So they share the disk's flushes and commits
and a change of threads; each has an outcome of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from itertools import islice

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from pigpen.env import Env, OpenFile
from pigpen.errors import DigestMismatch, DiskFailed, PigpenError
from pigpen.host import durable
from pigpen.host.durable import Written
from pigpen.host.folder import Folder

#: blobs in one go: so many files are open at once
MAX_BLOBS = 64
#: how long those that came are held up by those that may come: about as long as a batch takes
GATHER_SECONDS = 0.005


class SmallBlob:
    """All bytes of a blob, and what became of it. The thread owns it until `settle`."""

    __slots__ = ("blob", "data", "digest", "error", "file", "sha256")

    def __init__(self, blob: str, data: bytes, digest: str | None) -> None:
        """:param digest: the SHA-256 the bytes must have, in hexadecimal."""
        self.blob = blob
        self.data = data
        self.digest = digest
        self.error: BaseException | None = None
        self.file: OpenFile | None = None
        self.sha256 = ""

    def settle(self) -> None:
        """It is durable, unless there is an `error`. What is left of one that failed is for its
        owner to remove."""
        raise NotImplementedError


class AwaitedBlob(SmallBlob):
    """One that a coroutine waits for."""

    __slots__ = ("done",)

    def __init__(self, blob: str, data: bytes, digest: str | None) -> None:
        super().__init__(blob, data, digest)
        #: fails with PigpenError; cancelling it stops nothing
        self.done: Deferred[Written] = Deferred()

    def settle(self) -> None:
        if self.error is not None:
            self.done.errback(self.error)
        else:
            self.done.callback(durable.written(len(self.data), self.sha256))


class Batches:
    """One batch at a time; what comes meanwhile makes up the next one.

    Clients that wait for their answers send their next blobs together, a moment after a batch is
    done. So the next one waits as well, shortly, until there are as many as were there before; a
    single client never waits.
    """

    def __init__(self, env: Env, folder: Folder) -> None:
        self._env = env
        self._folder = folder
        #: in order; a dict, as the first are taken
        self._waiting: dict[SmallBlob, None] = {}
        #: how many may come together
        self._expected = 0
        self._running = False
        #: at the end of this turn, or when nobody is waited for any longer
        self._timer: IDelayedCall | None = None

    def store(self, blob: str, data: bytes, digest: str | None) -> Deferred[Written]:
        """`add` for one who waits."""
        small = AwaitedBlob(blob, data, digest)
        self.add(small)
        return small.done

    def add(self, small: SmallBlob) -> None:
        """Give a blob its name, durably; `SmallBlob.settle` is called when that is done."""
        self._waiting[small] = None
        self._arrange()

    def _arrange(self) -> None:
        if self._running or not self._waiting:
            return
        if self._timer is None:
            self._timer = self._env.clock.callLater(GATHER_SECONDS, self._begin)
        if len(self._waiting) >= self._expected:
            self._expected = MAX_BLOBS + 1  # not again
            self._timer.reset(0)

    def _begin(self) -> None:
        self._timer = None
        batch = list(islice(self._waiting, MAX_BLOBS))
        for small in batch:
            del self._waiting[small]
        self._running = True
        _ = self._env.in_thread(store, self._folder, batch).addBoth(self._ended, batch)

    def _ended(self, result: object, batch: list[SmallBlob]) -> None:
        self._running = False
        self._expected = min(MAX_BLOBS, len(batch) + len(self._waiting))
        for small in batch:
            if isinstance(result, Failure):  # nobody knows what became of it
                small.error = result.value
            small.settle()
        self._arrange()


def store(folder: Folder, batch: list[SmallBlob]) -> None:
    """Blocks. Each blob's order is that of a durable write; a step is done only for those whose
    earlier steps succeeded."""
    try:
        _each(batch, lambda small: _write(folder, small))
        _sync(folder, batch)
        _each(batch, lambda small: _rename(folder, small))
        _sync_leaves(folder, batch)
    finally:
        for small in batch:
            if small.file is not None:  # it failed
                with contextlib.suppress(OSError):
                    small.file.close()


def _each(batch: list[SmallBlob], step: Callable[[SmallBlob], None]) -> None:
    for small in batch:
        if small.error is None:
            try:
                step(small)
            except OSError as error:
                small.error = durable.what_failed(error)
                small.error.__cause__ = error
            except PigpenError as error:
                small.error = error


def _write(folder: Folder, small: SmallBlob) -> None:
    data = small.data
    small.sha256 = hashlib.sha256(data).hexdigest()
    if small.digest not in {None, small.sha256}:
        raise DigestMismatch
    folder.check_absent(small.blob)
    folder.make_leaf(small.blob)
    small.file = durable.create(folder.disk, folder.part(small.blob))
    if data:
        small.file.write(data)


def _sync(folder: Folder, batch: list[SmallBlob]) -> None:
    """Bytes, and the names of folders that are new: both before the rename."""
    files = [small for small in batch if small.error is None and small.file is not None]
    parents: dict[str, list[SmallBlob]] = {}
    for small in files:
        parent = folder.unsynced_parent(small.blob)
        if parent is not None:
            parents.setdefault(parent, []).append(small)
    opened = [small.file for small in files if small.file is not None]
    results = folder.disk.sync_together(opened, list(parents))
    groups = [[small] for small in files] + list(parents.values())
    _judge(groups, results)
    for small in files:
        if small.error is None:
            folder.leaf_is_durable(small.blob)


def _rename(folder: Folder, small: SmallBlob) -> None:
    file, small.file = small.file, None
    if file is not None:
        file.close()
    folder.rename(small.blob)


def _sync_leaves(folder: Folder, batch: list[SmallBlob]) -> None:
    leaves: dict[str, list[SmallBlob]] = {}
    for small in batch:
        if small.error is None:
            leaves.setdefault(folder.leaf(small.blob), []).append(small)
    _judge(list(leaves.values()), folder.disk.sync_together([], list(leaves)))


def _judge(groups: list[list[SmallBlob]], results: list[OSError | None]) -> None:
    """A sync that failed is final for all that relied on it."""
    for group, error in zip(groups, results, strict=True):
        for small in group:
            if error is not None and small.error is None:
                small.error = DiskFailed()
                small.error.__cause__ = error
