"""Batches: work for a thread, many small things at a time.

A call into a thread and back costs as much as hashing 100 KiB, and a thread that hashes or writes
lets this one receive or send meanwhile. So what comes is gathered, and handed over when there is
enough of it; who brings more than a window must wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pigpen.env import Env

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

T = TypeVar("T")

#: how much is handed over at least, while more is to come
LEAST_BYTES = 256 * 1024
#: how much may wait, beside the batch that is being worked on
WINDOW_BYTES = 384 * 1024


class Batches(Generic[T]):
    """Calls a function in a thread, one call at a time, with all things in their order."""

    def __init__(
        self, env: Env, work: Callable[[list[T]], None], patience: float | None = None
    ) -> None:
        """:param work: blocks; its exception is raised to who puts or flushes next.
        :param patience: seconds after which fewer than LEAST_BYTES are handed over; None: never.
        """
        self._env = env
        self._work = work
        self._patience = patience
        self._gathered: list[T] = []
        self._size = 0
        #: called at once when the work has failed
        self.on_failure: Callable[[], None] = lambda: None
        self._running = False
        self._failure: Failure | None = None
        self._waiter: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None

    async def put(self, item: T, size: int) -> None:
        """Add one thing of `size` bytes; waits while there is too much. For one caller at a time.

        :raises Exception: what the work raised.
        """
        self.check()
        self._gathered.append(item)
        self._size += size
        if self._size >= LEAST_BYTES:
            self._start()
        elif not self._running:
            self._be_patient()
        while self._running and self._size >= WINDOW_BYTES:
            await self._wait()
            self.check()

    async def flush(self) -> None:
        """Return when all is done. :raises Exception: what the work raised."""
        self._start()
        while self._running:
            await self._wait()
            self._start()
        self.check()

    async def rest(self) -> None:
        """Drop what was not begun; returns when no thread is at work."""
        self._clear()
        while self._running:
            await self._wait()

    def drop(self) -> None:
        """Forget what was not begun."""
        self._clear()

    def _clear(self) -> list[T]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        items, self._gathered, self._size = self._gathered, [], 0
        return items

    def _be_patient(self) -> None:
        if self._patience is not None and self._timer is None and self._gathered:
            self._timer = self._env.clock.callLater(self._patience, self._late)

    def _late(self) -> None:
        self._timer = None
        self._start()

    def _start(self) -> None:
        if self._running or not self._gathered or self._failure is not None:
            return
        self._running = True
        # not awaited: a thread goes on when its waiter is cancelled
        _ = self._env.in_thread(self._work, self._clear()).addCallbacks(self._done, self._failed)

    def _done(self, _: None) -> None:
        self._running = False
        if self._size >= LEAST_BYTES:
            self._start()
        else:
            self._be_patient()
        self._wake()

    def _failed(self, failure: Failure) -> None:
        self._running = False
        self._failure = failure
        self._clear()
        self._wake()
        self.on_failure()

    def check(self) -> None:
        """:raises Exception: what the work raised."""
        if self._failure is not None:
            assert self._failure.value is not None
            raise self._failure.value

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    async def _wait(self) -> None:
        self._waiter = Deferred()
        try:
            await self._waiter
        finally:
            self._waiter = None
