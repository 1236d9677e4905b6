"""Batches: calls that wait for one database connection and are run together, in one thread hop.

A call that finds it idle starts at once. Calls that arrive while a batch runs join it until
it is full, and else make up the next: so the busier it is, the more calls share one commit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pigpen.env import Env
from pigpen.errors import Unavailable


class Call:
    """A rule with its arguments, and once it ran its result or error."""

    __slots__ = ("arguments", "done", "durable", "error", "function", "result")

    def __init__(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], *, durable: bool = True
    ) -> None:
        """:param durable: its commit must reach the disk before it is told of."""
        self.durable = durable
        self.function = function
        self.arguments = arguments
        self.done: Deferred[Any] = Deferred()
        self.result: Any = None
        self.error: Exception | None = None

    def deliver(self) -> None:
        """Tell the caller, unless it left: what a cancelled call had begun goes on."""
        if self.done.called:
            return
        if self.error is not None:
            self.done.errback(Failure(self.error))  # type: ignore[no-untyped-call]
        else:
            self.done.callback(self.result)


#: gives the next call of a batch; None: the batch is full, or nobody waits
Take = Callable[[], Call | None]


class Batches:
    """A bounded queue before a connection that one thread at a time may use."""

    def __init__(
        self,
        env: Env,
        run: Callable[[Take], None],
        batch_limit: int,
        waiting_limit: int,
        noun: str = "database",
    ) -> None:
        """:param run: blocks; takes calls and sets the result or error of each it took.
        :param noun: what users know the database as."""
        self._env = env
        self._run = run
        self._batch_limit = batch_limit
        self._waiting_limit = waiting_limit
        self._noun = noun
        self._waiting: deque[Call] = deque()
        self._running = False
        self._hop: Deferred[None] | None = None
        self._closed: Deferred[None] | None = None

    @property
    def waiting(self) -> int:
        """Calls that have not begun."""
        return len(self._waiting)

    @property
    def running(self) -> bool:
        """Whether a batch is under way."""
        return self._running

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], *, durable: bool = True
    ) -> Deferred[Any]:
        """:raises Unavailable: the queue is full, or the database was closed."""
        if self._closed is not None:
            raise Unavailable(reason=f"the {self._noun} is closed")
        if len(self._waiting) >= self._waiting_limit:
            raise Unavailable(reason=f"too many requests wait for the {self._noun}")
        call = Call(function, arguments, durable=durable)
        self._waiting.append(call)
        if not self._running:
            self._start()
        return call.done

    def close(self) -> Deferred[None]:
        """Take no more; fires when all that waited has run."""
        if self._closed is None:
            self._closed = Deferred()
            self._check_closed()
        return self._closed

    def _start(self) -> None:
        self._running = True
        batch: list[Call] = []
        hop = self._env.in_thread(self._work, batch)
        self._hop = hop.addBoth(self._worked, batch)

    def _work(self, batch: list[Call]) -> None:
        """In a thread."""

        def take() -> Call | None:
            while len(batch) < self._batch_limit and self._waiting:
                if batch and self._waiting[0].durable and not batch[0].durable:
                    return None  # the next batch waits for the disk, this one does not
                call = self._waiting.popleft()
                if not call.done.called:  # cancelled before it began
                    batch.append(call)
                    return call
            return None

        self._run(take)

    def _worked(self, result: object, batch: list[Call]) -> None:
        """The thread is done: begin the next batch first, then tell the callers of this one."""
        if isinstance(result, Failure):
            self._abort(result, batch)
        self._running = False
        if self._waiting:
            self._start()
        for call in batch:
            call.deliver()
        self._check_closed()

    def _abort(self, failure: Failure, batch: list[Call]) -> None:
        """The batch died of something nobody foresaw: nothing of it was done."""
        if not batch and self._waiting:
            batch.append(self._waiting.popleft())  # else the same would be tried for ever
        for call in batch:
            call.error = (
                failure.value
                if isinstance(failure.value, Exception)
                else Unavailable(reason=f"the {self._noun} was interrupted")
            )

    def _check_closed(self) -> None:
        if self._closed is not None and not self._running and not self._closed.called:
            self._closed.callback(None)
