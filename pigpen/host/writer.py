"""BlobWriter: the durable write of one blob.

The reactor collects chunks while a thread hashes and writes the ones before, so what is written at
once grows with the time the disk takes. A small body is never handed to the disk before its end,
and then together with others (`batches`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from pigpen.env import Env, OpenFile
from pigpen.errors import DigestMismatch, PigpenError
from pigpen.host import durable
from pigpen.host.batches import Batches
from pigpen.host.durable import Written
from pigpen.host.folder import Folder
from pigpen.host.lane import Lane

#: a thread is worth its switch from here on
START_BYTES = 256 * 1024
#: what may wait in memory while the disk is busy
MAX_PENDING_BYTES = 1024 * 1024
#: of all uploads together; then START_BYTES of each
SHARED_PENDING_BYTES = 4 * 1024 * 1024
#: after so many bytes the disk is asked to begin, so that the last fsync finds little to do
HINT_BYTES = 8 * 1024 * 1024
#: after so many bytes a restarted host can resume
NOTE_BYTES = 256 * 1024 * 1024
_READ_BYTES = 1024 * 1024

assert START_BYTES <= MAX_PENDING_BYTES <= SHARED_PENDING_BYTES
assert MAX_PENDING_BYTES < HINT_BYTES < NOTE_BYTES


class Pending:
    """The bytes that wait for the disk, of all uploads."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def too_many(self, own: int) -> bool:
        """Whether an upload that has so many of them must wait."""
        if own < START_BYTES:
            return False
        return own >= MAX_PENDING_BYTES or self.size >= SHARED_PENDING_BYTES


@dataclass(frozen=True, slots=True)
class WriterTools:
    """What all writers of a host share. ``on_error``: told of every failure of the disk, also when
    nobody waits for it."""

    env: Env
    folder: Folder
    batches: Batches
    on_error: Callable[[BaseException], None]
    pending: Pending


class BlobWriter:
    """One blob on its way to the disk; lives on while its part waits to be resumed.

    End it with `finish`, `drop`, or `park` and later one of these.
    """

    __slots__ = ("_batches", "_broken", "_failure", "_file", "_flushed", "_folder", "_hash",
                 "_hinted", "_lane", "_noted", "_pending", "_pending_size", "_shared", "_space",
                 "_written", "blob", "offset")  # fmt: skip

    def __init__(self, tools: WriterTools, blob: str) -> None:
        self.blob = blob
        #: bytes accepted so far
        self.offset = 0
        self._folder = tools.folder
        self._batches = tools.batches
        self._shared = tools.pending
        self._lane = Lane(tools.env, tools.on_error)
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._flushed = False
        self._space: Deferred[None] | None = None
        self._failure: BaseException | None = None
        # what follows belongs to the thread
        self._broken: PigpenError | None = None
        self._file: OpenFile | None = None
        self._hash = hashlib.sha256()
        self._written = self._hinted = self._noted = 0

    @property
    def on_disk(self) -> bool:
        """Whether there is a part to resume."""
        return self._flushed and self._failure is None

    async def write(self, chunk: bytes) -> None:
        """Take bytes; waits while too many wait for the disk. :raises PigpenError: they, or bytes
        before them, could not be written: drop."""
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        self._shared.size += len(chunk)
        self.offset += len(chunk)
        if self._failure is not None:
            raise self._failure
        if self._pending_size >= START_BYTES and self._lane.idle:
            self._flush()
        while self._shared.too_many(self._pending_size) and self._failure is None:
            await self._wait()

    async def finish(self, digest: str | None) -> Written:
        """All bytes were given: make them durable under the blob's name.

        :param digest: the SHA-256 they must have, in hexadecimal. :raises DigestMismatch: they have
        another. :raises PigpenError: the disk failed; on every error the part is removed.
        """
        chunks = self._take_pending()
        if self._flushed:
            return await self._lane.run(self._finish, chunks, digest)
        data = b"".join(chunks)
        return await self._lane.join(lambda: self._batches.store(self.blob, data, digest))

    def park(self) -> Deferred[None]:
        """Keep what came for a resumption, durably, and close the file."""
        return self._lane.run(self._park, self._take_pending())

    def drop(self) -> Deferred[None]:
        """Forget and remove the part; fires when nothing of it is left."""
        self._take_pending()
        return self._lane.run(self._remove)

    def restore(self, offset: int) -> None:
        """Begin with a part that an earlier process left."""
        self._flushed = True
        self.offset = offset
        self._noted = self._hinted = offset

    def rehash(self) -> Deferred[None]:
        """Read a restored part again; a no-op for all others."""
        return self._lane.run(self._rehash)

    # -- in the reactor's thread -------------------------------------------------------------------

    def _take_pending(self) -> list[bytes]:
        self._shared.size -= self._pending_size
        chunks, self._pending, self._pending_size = self._pending, [], 0
        return chunks

    def _flush(self) -> None:
        self._flushed = True
        _ = self._lane.run(self._append, self._take_pending()).addBoth(self._after_flush)

    def _after_flush(self, result: Failure | None) -> None:
        if isinstance(result, Failure):
            self._failure = result.value
        elif self._pending_size >= START_BYTES and self._lane.idle:
            self._flush()
        space, self._space = self._space, None
        if space is not None:
            space.callback(None)

    async def _wait(self) -> None:
        self._space = Deferred()
        try:
            await self._space
        except CancelledError:
            self._space = None
            raise
        if self._failure is not None:
            raise self._failure

    # -- in the lane's thread ----------------------------------------------------------------------

    def _append(self, chunks: list[bytes]) -> None:
        self._check()
        try:
            self._write(chunks)
        except OSError as error:
            self._broken = durable.what_failed(error)
            raise self._broken from error
        except PigpenError as error:
            self._broken = error
            raise

    def _check(self) -> None:
        """Bytes that could not be written are missing: what comes after them makes no blob."""
        if self._broken is not None:
            raise self._broken

    def _write(self, chunks: list[bytes]) -> None:
        file = self._open()
        for chunk in chunks:
            self._hash.update(chunk)
            file.write(chunk)
            self._written += len(chunk)
        if self._written - self._hinted >= HINT_BYTES:
            file.start_sync(self._hinted, self._written - self._hinted)
            self._hinted = self._written
        if self._written - self._noted >= NOTE_BYTES:
            self._note(file)

    def _open(self) -> OpenFile:
        if self._file is None:
            path = self._folder.part(self.blob)
            disk = self._folder.disk
            self._file = disk.open_append(path) if self._written else durable.create(disk, path)
        return self._file

    def _note(self, file: OpenFile) -> None:
        durable.sync(file)
        self._folder.note(self.blob, self._written)
        self._noted = self._written

    def _finish(self, chunks: list[bytes], digest: str | None) -> Written:
        try:
            return self._publish(chunks, digest)
        except OSError as error:
            self._remove()
            raise durable.what_failed(error) from error
        except PigpenError:
            self._remove()
            raise

    def _publish(self, chunks: list[bytes], digest: str | None) -> Written:
        self._check()
        self._folder.check_absent(self.blob)
        self._folder.make_leaf(self.blob)
        self._write(chunks)
        sha256 = self._hash.hexdigest()
        if digest is not None and sha256 != digest:
            raise DigestMismatch
        file = self._open()
        durable.sync(file)
        self._file = None
        file.close()
        self._folder.publish(self.blob)
        if self._noted:
            self._folder.drop_note(self.blob)
        return durable.written(self._written, sha256)

    def _park(self, chunks: list[bytes]) -> None:
        self._check()
        try:
            self._write(chunks)
            self._note(self._open())
            self._close()
        except OSError as error:
            raise durable.what_failed(error) from error

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):  # what cannot be closed or removed is the next sweep's
            self._close()
        self._folder.forget_part(self.blob)

    def _rehash(self) -> None:
        if self._written == self.offset:
            return
        try:
            file = self._file = self._folder.disk.open_append(self._folder.part(self.blob))
            file.truncate(self.offset)
            while self._written < self.offset:
                data = file.read(self._written, min(_READ_BYTES, self.offset - self._written))
                if not data:
                    raise OSError("the part became shorter")
                self._hash.update(data)
                self._written += len(data)
        except OSError as error:
            raise durable.what_failed(error) from error
