"""Outputs: a file that appears only when it is whole, or a pipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pigpen.env import Env, OpenFile
from pigpen.errors import FileFailed
from pigpen.http.body import Body

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
    try:
        file = await steps.run(env.disk.create, temporary)
    except OSError as error:
        await body.aclose()
        raise _failed(path, error) from None
    try:
        async for chunk in body:
            await steps.run(file.write, chunk)
        await steps.run(_finish, env, file, temporary, path, publish)
    except OSError as error:
        raise _failed(path, error) from None
    finally:
        await body.aclose()
        await steps.rest()
        await steps.run(_tidy, env, file, temporary)


def _finish(
    env: Env, file: OpenFile, temporary: str, path: str, publish: Callable[[str], None]
) -> None:
    file.sync()
    publish(temporary)
    env.disk.rename(temporary, path)
    env.disk.sync_folder(os.path.dirname(path) or ".")


def _tidy(env: Env, file: OpenFile, temporary: str) -> None:
    file.close()
    if env.disk.entry(temporary) is not None:
        env.disk.remove(temporary)


async def pour(env: Env, body: Body, write: Callable[[bytes], None]) -> None:
    """Write a body to a pipe by a function that blocks until all is taken.

    :raises OSError: as `write` does: BrokenPipeError if nobody reads any more.
    """
    steps = Threaded(env)
    try:
        async for chunk in body:
            await steps.run(write, chunk)
    finally:
        await body.aclose()


def _failed(path: str, error: OSError) -> FileFailed:
    return FileFailed(action="write", path=path, reason=error.strerror or "writing failed")
