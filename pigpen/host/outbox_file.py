"""OutboxFile: late receipts on the disk, one JSON object a line.

``{"receipt": {...}}`` is to be delivered, ``{"done": WRITE}`` was. A last line without its end was
never acknowledged to anyone and does not count. The file is emptied when all in it is done.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred

from pigpen.env import Env, OpenFile
from pigpen.errors import DiskFailed
from pigpen.host import durable
from pigpen.host.folder import Folder
from pigpen.host.lane import Lane
from pigpen.host.outbox import Keeper
from pigpen.host.tasks import Tasks
from pigpen.http.wire import Receipt

_NAME = "outbox"
_MAX_BYTES = 256 * 1024 * 1024


class _Line(msgspec.Struct, omit_defaults=True):
    receipt: Receipt | None = None
    done: str | None = None


class OutboxFile:
    """The file, through one lane: receipts that come together share an fsync."""

    def __init__(
        self, env: Env, folder: Folder, tasks: Tasks, on_error: Callable[[BaseException], None]
    ) -> None:
        self._folder = folder
        self._tasks = tasks
        self._lane = Lane(env, on_error)
        #: appended to by the reactor, emptied by the thread
        self._lines: deque[bytes] = deque()
        self._open: set[str] = set()
        self._file: OpenFile | None = None
        self._is_new = self._unsynced = self._failed = self._torn = False

    def load(self) -> list[Receipt]:
        """Blocks. What was not delivered, in order; the file then holds just that."""
        disk, root = self._folder.disk, self._folder.root
        try:
            data = disk.read(f"{root}/{_NAME}", _MAX_BYTES)
        except FileNotFoundError:
            return []
        found = _undelivered(data)
        lines = b"".join(_encode(_Line(receipt=receipt)) for receipt in found.values())
        durable.write_file(disk, root, _NAME, lines)
        self._open.update(found)
        return list(found.values())

    def keep(self, receipt: Receipt) -> Deferred[None]:
        self._open.add(receipt.write)
        self._lines.append(_encode(_Line(receipt=receipt)))
        return self._lane.run(self._append, True)

    def done(self, write: str) -> None:
        self._open.discard(write)
        self._lines.append(_encode(_Line(done=write)))
        if self._open:
            self._tasks.forget(self._lane.run(self._append, False))
        else:
            self._lines.clear()
            self._tasks.forget(self._lane.run(self._empty))

    def close(self) -> Deferred[None]:
        return self._lane.run(self._close)

    # -- in the lane's thread ----------------------------------------------------------------------

    def _append(self, sync: bool) -> None:
        if self._failed:
            raise DiskFailed
        try:
            self._write()
            if sync and self._unsynced:
                self._sync()
        except OSError as error:
            raise durable.what_failed(error) from error

    def _write(self) -> None:
        """Write all lines that wait, of later steps too: they find theirs written, or waiting."""
        lines: list[bytes] = []
        with contextlib.suppress(IndexError):  # the reactor may clear them meanwhile
            while self._lines:
                lines.append(self._lines.popleft())
        if not lines:
            return
        self._unsynced = True
        try:
            # half a line that an earlier write left must not swallow the next one
            self._opened().write(b"\n" * self._torn + b"".join(lines))
        except OSError:
            self._torn = True
            self._lines.extendleft(reversed(lines))
            raise
        self._torn = False

    def _sync(self) -> None:
        try:
            durable.sync(self._opened())
            if self._is_new:
                durable.sync_folder(self._folder.disk, self._folder.root)
        except DiskFailed:
            self._failed = True  # no second try can be believed
            raise
        self._unsynced = self._is_new = False

    def _opened(self) -> OpenFile:
        if self._file is None:
            disk, path = self._folder.disk, f"{self._folder.root}/{_NAME}"
            try:
                self._file = disk.open_append(path)
            except FileNotFoundError:
                self._file = disk.create(path)
                self._is_new = True
        return self._file

    def _empty(self) -> None:
        if not self._open:  # one may have come while this waited
            with contextlib.suppress(OSError):  # the next start delivers again: idempotent
                self._opened().truncate(0)
                self._torn = False

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _encode(line: _Line) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def _undelivered(data: bytes) -> dict[str, Receipt]:
    found: dict[str, Receipt] = {}
    for text in data.split(b"\n")[:-1]:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            line = msgspec.json.decode(text, type=_Line)
            if line.receipt is not None:
                found[line.receipt.write] = line.receipt
            if line.done is not None:
                found.pop(line.done, None)
    return found


_is_keeper: type[Keeper] = OutboxFile
