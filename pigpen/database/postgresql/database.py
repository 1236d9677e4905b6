"""PostgresqlDatabase: rules over a database at a server, with group commit.

One connection writes, so that waiting changes share commits as in a file; a few others read. A
transaction that met another one (40001), or lost its connection, is tried again, its rules with it,
a few times; then its callers hear 503. Whether a lost COMMIT happened is asked, not guessed: see
`Lease`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Concatenate, Final, ParamSpec, Self, TypeVar

import psycopg
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pigpen.database.batches import Call, Take
from pigpen.database.database import READ_BATCH, READ_SECONDS, WRITE_SECONDS, Database
from pigpen.database.postgresql.address import without_password
from pigpen.database.postgresql.changes import TRIES, Changes, CommitUnknown
from pigpen.database.postgresql.lease import LEASE_SECONDS, RENEW_SECONDS, Lease, LeaseLost
from pigpen.database.postgresql.link import (
    Link,
    PostgresqlTransaction,
    Unreachable,
    is_fatal,
    is_lost,
    is_met,
)
from pigpen.database.postgresql.setup import Setup
from pigpen.database.schema import read_schema
from pigpen.database.transaction import Row, Transaction
from pigpen.database.write_batch import run_changes
from pigpen.env import Env, sleep
from pigpen.errors import ConfigError, PigpenError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

READERS: Final = 4

READ: Final = "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"
WRITE: Final = "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"


class PostgresqlDatabase(Database):
    """Rules over a database at a server. Made by `open`."""

    log = Logger()

    def __init__(self, env: Env, address: str) -> None:
        super().__init__(env)
        self.name = without_password(address)
        self._changes = Changes(Link(address, WRITE), self._transaction, self.noun)
        self._readers = [Link(address, READ) for _ in range(READERS)]
        self._lanes = [
            self._lane(partial(self._read_batch, link), READ_BATCH) for link in self._readers
        ]
        self._renewal: IDelayedCall | None = None
        self._closing = False

    @classmethod
    async def open(
        cls,
        env: Env,
        address: str,
        schema: Mapping[int, str] | None = None,
        *,
        beside: bool = False,
    ) -> Self:
        """Open a database, and make its tables if it is empty.

        :param beside: for a moment, while a service may be running on it.
        :raises ConfigError: another process has it, a newer program made it, or there is none.
        """
        database = cls(env, address)
        known = read_schema(cls.package) if schema is None else schema
        try:
            await database._open(known, beside)
        except BaseException:
            database.drop()
            raise
        return database

    def read(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        assert not kwargs
        if self._changes.is_over:
            raise LeaseLost
        lane = min(self._lanes, key=lambda lane: (lane.running, lane.waiting))
        return lane.call(rule, args)

    async def close(self) -> None:
        self._stop_renewing()
        for lane in (*self._lanes, self._writes):
            await lane.close()
        await self._env.in_thread(self._leave)
        self.drop()

    def drop(self) -> None:
        """Close at once, as the death of the process would. Not in a thread."""
        self._stop_renewing()
        for link in (self._changes.link, *self._readers):
            link.drop()

    # -- opening ----------------------------------------------------------------------------------

    async def _open(self, schema: Mapping[int, str], beside: bool) -> None:
        setup = Setup(self.name, schema, self.user, self.log)
        await self._in_thread(setup.prepare)
        if beside:
            await self._in_thread(setup.check_old_enough)
            return
        lease = Lease(self.user, self._env.random.randbytes(16).hex())
        await self._take(lease)
        self._changes.lease = lease
        await self._in_thread(setup.migrate)
        self._renew_later()

    async def _in_thread(self, rule: Callable[[Transaction], T]) -> T:
        """A transaction of its own. :raises ConfigError: it fails."""
        try:
            return await self._env.in_thread(self._changes.run, rule)
        except psycopg.Error as error:
            reason = str(error).strip().partition("\n")[0]
            raise ConfigError(path=self.name, reason=f"it cannot be used: {reason}") from None
        except Unreachable as error:
            raise ConfigError(path=self.name, reason=error.why) from None

    async def _take(self, lease: Lease) -> None:
        """:raises ConfigError: another process holds it, and lives."""
        first = await self._in_thread(lease.take)
        if first is None:
            return
        self.log.info(
            "waiting until the {user} that had {name} is gone", user=self.user, name=self.name
        )
        for _ in range(LEASE_SECONDS):
            await sleep(self._env, 1)
            row: Row | None = await self._in_thread(lease.take)
            if row is None:
                return
            if row != first:
                raise self._is_taken()
        if await self._in_thread(partial(lease.take, ended=first)) is not None:
            raise self._is_taken()

    def _is_taken(self) -> ConfigError:
        return ConfigError(
            path=self.name, reason=f"another {self.user} uses it; stop that one first"
        )

    # -- renewing ---------------------------------------------------------------------------------

    def _renew_later(self) -> None:
        self._renewal = self._env.clock.callLater(RENEW_SECONDS, self._renew)

    def _renew(self) -> None:
        """While the server is away, or too many wait, it cannot be another's: go on."""
        self._renewal = None
        _ = maybeDeferred(self.write, _nothing).addBoth(self._renewed)

    def _renewed(self, _: object) -> None:
        if self._changes.is_over:
            self.log.critical(
                "another {user} has taken {name} over; stop this one",
                user=self.user,
                name=self.name,
            )
        elif not self._closing:
            self._renew_later()

    def _stop_renewing(self) -> None:
        self._closing = True
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None

    # -- batches, in a thread ---------------------------------------------------------------------

    def _transaction(self, link: Link) -> Transaction:
        return PostgresqlTransaction(link, self._env.random, self._now())

    def _read_batch(self, link: Link, take: Take) -> None:
        calls: list[Call] = []
        try:
            for call in self._taken(take, calls, READ_SECONDS):
                self._read(link, call)
        except Unreachable:
            for call in (calls[-1], *_all(take)):
                call.error = self._unreachable()
        finally:
            link.rollback()

    def _read(self, link: Link, call: Call) -> None:
        """A read that fails ends the snapshot it shares with those after it."""
        for _ in range(TRIES):
            try:
                if not link.in_transaction:
                    link.begin()
                call.result = call.function(self._transaction(link), *call.arguments)
            except psycopg.Error as error:
                call.error = self.error_of(error) if is_fatal(error) else error
                link.rollback()
                if not (is_met(error) or is_lost(error)):
                    return
            except Unreachable:
                raise
            except Exception as error:  # noqa: BLE001  # handed to the caller, whole
                call.error = error
                return
            else:
                call.error = None
                return

    def _write_batch(self, take: Take) -> None:
        calls: list[Call] = []
        try:
            self._changes.run(partial(self._write_all, take, calls))
        except psycopg.Error as error:
            self._failed(take, calls, error, self.error_of(error))
        except Unreachable as error:
            calls.extend(_all(take))
            self._failed(take, calls, error, self._unreachable())
        except (LeaseLost, CommitUnknown) as error:
            self._failed(take, calls, error, error)

    def _write_all(self, take: Take, calls: list[Call], transaction: Transaction) -> None:
        taken = self._taken(take, calls, WRITE_SECONDS)
        run_changes(self._changes.link, transaction, taken, self._changes.begin_again)

    def _failed(self, take: Take, calls: list[Call], error: Exception, told: PigpenError) -> None:
        if not calls and (call := take()) is not None:
            calls.append(call)
        self._refuse(calls, error, told)

    def _unreachable(self) -> PigpenError:
        return Unavailable(reason=f"the {self.noun} cannot be reached")

    # -- leaving ----------------------------------------------------------------------------------

    def _leave(self) -> None:
        lease = self._changes.lease
        if lease is None or lease.is_lost:
            return
        try:
            self._changes.run(lease.give_back)
        except (psycopg.Error, Unreachable, LeaseLost, CommitUnknown) as error:
            self.log.info(
                "the lease of {name} ends by itself: {error}", name=self.name, error=error
            )

    @classmethod
    def error_of(cls, error: psycopg.Error) -> PigpenError:
        """What a user hears of a database error; the log has the rest."""
        if error.sqlstate == "53100":
            return cls.full()
        if is_met(error) or error.sqlstate == "57014":
            return Unavailable(reason=f"the {cls.noun} is busy")
        return Unavailable(reason=f"the {cls.noun} cannot be reached")


def _all(take: Take) -> Iterator[Call]:
    """All that wait: each try to reach a server that is away may take seconds."""
    while (call := take()) is not None:
        yield call


def _nothing(_: Transaction) -> None:
    """A change that only renews the lease."""
