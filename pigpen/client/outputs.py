"""Outputs: a file that appears only when it is whole, or a pipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from pigpen.client.batches import Batches
from pigpen.env import Env, OpenFile
from pigpen.errors import FileFailed
from pigpen.http.body import Body

#: how long a few bytes may wait for more before a pipe's reader gets them
PATIENCE_SECONDS = 0.02

P = ParamSpec("P")
T = TypeVar("T")


class Threaded:
    """Runs blocking steps one after the other. A thread cannot be cancelled: when a step's waiter
    is, `rest` waits for the step's own end, so that its file is not closed under it."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._running: Deferred[None] | None = None

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        outer: Deferred[T] = Deferred()
        ended: Deferred[None] = Deferred()
        self._running = ended

        def done(result: T | Failure) -> None:
            if self._running is ended:
                self._running = None
            if not outer.called:
                outer.callback(result)  # a Failure calls the errbacks
            ended.callback(None)

        _ = self._env.in_thread(function, *args, **kwargs).addBoth(done)
        return await outer

    async def rest(self) -> None:
        """Wait until no step runs."""
        if self._running is not None:
            await self._running


async def save(env: Env, body: Body, path: str, publish: Callable[[str], None]) -> None:
    """Write a body to a file that gets its name when all of it is on the disk.

    :param publish: called in a thread with the whole file's temporary path, before it gets its
        name: to set who may read it.
    :raises FileFailed: it cannot be written; nothing is left behind, an older file is as it was.
    """
    folder = os.path.dirname(path) or "."
    temporary = os.path.join(
        folder, f".{os.path.basename(path)[:200]}.{env.random.randbytes(4).hex()}"
    )
    steps = Threaded(env)
    part = _Part(env, temporary)
    batches = Batches(env, part.write)
    try:
        await steps.run(part.create)
        await _all(body, batches)
        await steps.run(part.finish, path, publish)
    except OSError as error:
        reason = error.strerror or "writing failed"
        raise FileFailed(action="write", path=path, reason=reason) from None
    finally:
        await body.aclose()
        await batches.rest()
        await steps.rest()
        await steps.run(part.tidy)


class _Part:
    """The temporary file; every method blocks."""

    def __init__(self, env: Env, path: str) -> None:
        self._disk = env.disk
        self._path = path
        self._file: OpenFile | None = None

    def create(self) -> None:
        self._file = self._disk.create(self._path)

    def write(self, chunks: list[bytes]) -> None:
        assert self._file is not None
        for chunk in chunks:
            self._file.write(chunk)

    def finish(self, path: str, publish: Callable[[str], None]) -> None:
        assert self._file is not None
        self._file.sync()
        publish(self._path)
        self._disk.rename(self._path, path)
        self._disk.sync_folder(os.path.dirname(path) or ".")

    def tidy(self) -> None:
        if self._file is not None:
            self._file.close()
            if self._disk.entry(self._path) is not None:
                self._disk.remove(self._path)


async def pour(env: Env, body: Body, write: Callable[[bytes], None]) -> None:
    """Write a body to a pipe by a function that blocks until all is taken.

    :raises OSError: as `write` does: BrokenPipeError if nobody reads any more.
    """

    def work(chunks: list[bytes]) -> None:
        for chunk in chunks:
            write(chunk)

    batches = Batches(env, work, PATIENCE_SECONDS)
    try:
        await _all(body, batches)
    finally:
        await body.aclose()


async def _all(body: Body, batches: Batches[bytes]) -> None:
    """Hand on a whole body. Where writing fails, it ends at once, also while no bytes come."""

    async def take() -> None:
        async for chunk in body:
            await batches.put(chunk, len(chunk))
        await batches.flush()

    taking = Deferred.fromCoroutine(take())
    batches.on_failure = taking.cancel
    try:
        await taking
    except CancelledError:
        batches.check()
        raise
