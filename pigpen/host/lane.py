"""Lane: blocking steps of one file in threads, one at a time, in order.

A thread cannot be cancelled: who waits for a step may leave, the step goes on. As the steps behind
it wait their turn, the last one can close the file, and only then is its room given back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pigpen.env import Env

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """:param on_error: told of every step that failed, also when nobody waits for it any more."""

    __slots__ = ("_env", "_on_error", "_running", "_steps")

    def __init__(self, env: Env, on_error: Callable[[BaseException], None]) -> None:
        self._env = env
        self._on_error = on_error
        self._running = False
        self._steps: deque[tuple[Deferred[Any], Callable[[], Deferred[Any]]]] = deque()

    @property
    def idle(self) -> bool:
        return not self._running

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Do this after all earlier steps. Cancelling the Deferred cancels the waiting only."""
        return self.join(lambda: self._env.in_thread(function, *args, **kwargs))

    def join(self, begin: Callable[[], Deferred[T]]) -> Deferred[T]:
        """`run` for a step that is part of another thread's work."""
        waiter: Deferred[T] = Deferred()
        self._steps.append((waiter, begin))
        if not self._running:
            self._next()
        return waiter

    def _next(self) -> None:
        self._running = True
        waiter, begin = self._steps.popleft()
        _ = begin().addBoth(self._done, waiter)

    def _done(self, result: object, waiter: Deferred[Any]) -> None:
        self._running = False
        if isinstance(result, Failure) and result.value is not None:
            self._on_error(result.value)
        if self._steps:
            self._next()
        if waiter.called:  # nobody waits any more; `_on_error` has heard of a failure
            return
        waiter.callback(result)
