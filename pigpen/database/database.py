"""Database: rules that run in threads, each inside a transaction, many waiting ones in one commit.

`read` and `write` run a rule (see `Transaction`). Waiting reads share one snapshot, waiting writes
one commit, and results are delivered after it. `sqlite` keeps the rows in a file, `postgresql` at a
server.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pigpen.database.batches import Batches, Call, Take
from pigpen.database.transaction import Transaction
from pigpen.env import Env
from pigpen.errors import PigpenError

P = ParamSpec("P")
T = TypeVar("T")

#: calls that wait at most, reads and writes each; the next one gets 503
MAX_WAITING = 10_000
#: a batch holds its first caller up, so it ends after this many calls, or seconds
READ_BATCH = 64
WRITE_BATCH = 512
READ_SECONDS = 0.01
WRITE_SECONDS = 0.05


class Database(ABC):
    """What rules run over. Its subclasses have an `open` that makes one."""

    log = Logger()
    #: what users know it as, and the service that uses it
    noun: ClassVar[str]
    user: ClassVar[str]
    #: where its folder ``schema`` lies
    package: ClassVar[str]
    #: what is raised when its disk is full
    full: ClassVar[Callable[[], PigpenError]]

    def __init__(self, env: Env) -> None:
        self._env = env
        self._writes = self._lane(self._write_batch, WRITE_BATCH)

    @abstractmethod
    def read(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run a rule that changes nothing.

        :raises Unavailable: too many wait, or it cannot be read now.
        """

    def write(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run a rule that may change things; fires when its changes are durable.

        A rule that raises changes nothing. Cancelling before it began stops it, later not.

        :raises Unavailable: too many wait, or it cannot be written now: nothing changed.
        """
        assert not kwargs
        return self._writes.call(rule, args)

    def write_soon(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """As `write`, for what does no harm if a power cut undoes it, such as the end of a lock,
        which ends by itself: it need not wait for the disk. Fires when all can see it and the death
        of this process cannot undo it; the next `write` makes it durable with its own changes."""
        assert not kwargs
        return self._writes.call(rule, args, durable=False)

    @abstractmethod
    async def close(self) -> None:
        """Finish what waits, then leave it in one piece."""

    @abstractmethod
    def _write_batch(self, take: Take) -> None:
        """In a thread."""

    def _lane(self, run: Callable[[Take], None], limit: int) -> Batches:
        return Batches(self._env, run, limit, MAX_WAITING, self.noun)

    def _taken(self, take: Take, calls: list[Call], seconds: float) -> Iterator[Call]:
        """The calls of one batch, until it has taken so long.

        :param calls: gets each that is taken; what it has from an attempt before comes first.
        """
        clock = self._env.clock
        end = clock.seconds() + seconds
        yield from tuple(calls)
        while clock.seconds() <= end and (call := take()) is not None:
            calls.append(call)
            yield call

    def _now(self) -> int:
        """For a `Transaction`."""
        return int(self._env.wall() * 1000)

    def _refuse(self, calls: list[Call], error: Exception, told: PigpenError) -> None:
        """A commit failed: none of its calls has changed anything.

        :param error: for the log. :param told: what their callers hear, those of refused ones too:
            these may have been judged by a change that is gone.
        """
        self.log.error(
            "the {noun} refused {count} changes: {error}",
            noun=self.noun,
            count=len(calls),
            error=" ".join(str(error).split()),
        )
        for call in calls:
            call.error = told
