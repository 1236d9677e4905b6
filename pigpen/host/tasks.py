"""Tasks: work that goes on when nobody waits for it any more, until its owner stops it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pigpen.errors import PigpenError

T = TypeVar("T")

_EXPECTED = (PigpenError, CancelledError)


class Tasks:
    """All work in flight of one owner."""

    log = Logger()

    def __init__(self) -> None:
        self._running: set[Deferred[Any]] = set()
        self._held = 0
        self._waiters: list[Deferred[None]] = []

    def start(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        return self.own(Deferred.fromCoroutine(work))

    def own(self, work: Deferred[T]) -> Deferred[T]:
        """:return: fires with the result; cancelling it stops the waiting only."""
        waiter: Deferred[T] = Deferred()
        self._running.add(work)

        def ended(result: T | Failure) -> None:
            self._running.discard(work)
            if not waiter.called:
                waiter.callback(result)
            else:
                self._report(result)
            self._wake()

        _ = work.addBoth(ended)
        return waiter

    def hold(self) -> None:
        """Something has begun that is no Deferred: call `let_go` when it has ended."""
        self._held += 1

    def let_go(self) -> None:
        self._held -= 1
        self._wake()

    def forget(self, work: Deferred[Any]) -> None:
        """Own work whose result nobody wants; an unexpected failure is logged."""
        _ = self.own(work).addBoth(self._report)

    def _report(self, result: object) -> None:
        if not isinstance(result, Failure) or isinstance(result.value, _EXPECTED):
            return
        self.log.failure("work that nobody waited for failed", failure=result)

    async def settled(self) -> None:
        """Return when nothing is in flight."""
        while self._running or self._held:
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        if self._waiters and not self._running and not self._held:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.called:
                    waiter.callback(None)
