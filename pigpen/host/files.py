"""OpenFiles: blobs that are open for reading. A blob never changes, so an open file stays right."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from pigpen.env import Env, File
from pigpen.errors import BadBlob, PigpenError, Unavailable
from pigpen.host import durable
from pigpen.host.blob_head import BlobHead
from pigpen.host.folder import Folder
from pigpen.host.tasks import Tasks


class OpenBlob:
    """An open file, its size, and how many read it now. ``head``: what was last said of it."""

    __slots__ = ("blob", "cached", "file", "head", "size", "users")

    def __init__(self, blob: str, file: File, size: int) -> None:
        self.blob = blob
        self.file = file
        self.size = size
        self.head: BlobHead | None = None
        self.users = 0
        self.cached = True


class OpenFiles:
    """Keeps the files that were used last; more only while they are being read."""

    def __init__(
        self, env: Env, folder: Folder, tasks: Tasks, limit: int, on_bad: Callable[[str], None]
    ) -> None:
        """:param on_bad: told of each blob that is missing or damaged."""
        self._env = env
        self._folder = folder
        self._tasks = tasks
        self.limit = limit
        self._on_bad = on_bad
        self._files: dict[str, OpenBlob] = {}

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, blob: str) -> bool:
        return blob in self._files

    def size(self, blob: str) -> int | None:
        """Bytes of a blob that is open; None: it is not."""
        opened = self._files.get(blob)
        return None if opened is None else opened.size

    async def use(self, blob: str) -> OpenBlob:
        """An open blob; give it back by `release`. No thread is asked if it is open already.

        :raises BadBlob: it is missing, no regular file, or cannot be read.
        """
        found = self.at_hand(blob)
        if found is None:
            found = await self._tasks.own(self._open(blob))
            found.users += 1
        return found

    def at_hand(self, blob: str) -> OpenBlob | None:
        """As `use`, if the blob is open already; else None."""
        found = self._files.pop(blob, None)
        if found is not None:
            self._files[blob] = found  # the most recent is last
            found.users += 1
        return found

    async def warm(self, blobs: list[str]) -> dict[str, int | PigpenError]:
        """Open blobs that will be asked for soon, in one go: their sizes, or what is wrong."""
        opening = self._env.in_thread(self._open_many, blobs)
        return await self._tasks.own(opening.addCallback(self._add_many))

    def release(self, opened: OpenBlob) -> None:
        opened.users -= 1
        self._close_if_done(opened)

    def forget(self, blob: str) -> None:
        """The blob is removed: those who read it now may go on."""
        opened = self._files.pop(blob, None)
        if opened is not None:
            opened.cached = False
            self._close_if_done(opened)

    def report(self, blob: str) -> None:
        """What lies there is not the blob."""
        self.forget(blob)
        self._on_bad(blob)

    def close(self) -> None:
        for blob in list(self._files):
            self.forget(blob)

    def _open(self, blob: str) -> Deferred[OpenBlob]:
        def failed(error: BaseException) -> OpenBlob:
            if isinstance(error, BadBlob):
                self._on_bad(blob)
            raise error

        opening = self._env.in_thread(self._open_now, blob)
        return opening.addCallbacks(self._add, lambda failure: failed(failure.value))

    def _open_now(self, blob: str) -> OpenBlob:
        try:
            size = self._folder.size(blob)
            if size is None:
                raise BadBlob
            return OpenBlob(blob, self._folder.disk.open_read(self._folder.blob(blob)), size)
        except OSError as error:
            raise _read_error(error) from error

    def _open_many(self, blobs: list[str]) -> dict[str, OpenBlob | PigpenError]:
        found: dict[str, OpenBlob | PigpenError] = {}
        for blob in blobs:
            try:
                found[blob] = self._open_now(blob)
            except PigpenError as error:
                found[blob] = error
        return found

    def _add_many(self, found: dict[str, OpenBlob | PigpenError]) -> dict[str, int | PigpenError]:
        return {
            blob: self._add(opened).size if isinstance(opened, OpenBlob) else opened
            for blob, opened in found.items()
        }

    def _add(self, opened: OpenBlob) -> OpenBlob:
        known = self._files.get(opened.blob)
        if known is not None:  # two opened it at once
            opened.cached = False
            self._close_if_done(opened)
            return known
        self._files[opened.blob] = opened
        self._evict(opened)
        return opened

    def _evict(self, newest: OpenBlob) -> None:
        if len(self._files) > self.limit:
            idle = (f for f in self._files.values() if not f.users and f is not newest)
            oldest = next(idle, None)
            if oldest is not None:
                self.forget(oldest.blob)

    def _close_if_done(self, opened: OpenBlob) -> None:
        if not opened.users and not opened.cached:
            closing = self._env.in_thread(self._folder.disk.close_read, opened.file)
            self._tasks.forget(closing)


def _read_error(error: OSError) -> PigpenError:
    failed = durable.what_failed(error)
    return failed if isinstance(failed, Unavailable) else BadBlob()
