"""Records: what a sidecar knows beside the values, as rules over a small SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from pigpen.database.schema import read_schema
from pigpen.database.transaction import Transaction
from pigpen.env import Env

P = ParamSpec("P")
T = TypeVar("T")

#: where the schema lies
PACKAGE: Final = "pigpen.stores.sidecar"


class Records(Protocol):
    """Runs rules, each in a transaction of its own."""

    def read(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Run a rule that changes nothing. :raises Unavailable: it cannot be run now."""

    def write(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Run a rule that may change things; fires when its changes are durable.

        :raises Unavailable: it cannot be run now: nothing changed.
        """

    async def close(self) -> None:
        """Finish what waits."""


class MemoryRecords:
    """Records that end with the process: for tests, and for stores that end with it too."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        for _, script in sorted(read_schema(PACKAGE).items()):
            self._connection.executescript(script)

    async def read(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return rule(self._transaction(), *args, **kwargs)

    async def write(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with self._connection:
            self._connection.execute("BEGIN")
            return rule(self._transaction(), *args, **kwargs)

    async def close(self) -> None:
        self._connection.close()

    def _transaction(self) -> Transaction:
        now = int(self._env.wall() * 1000)
        return Transaction(self._connection, self._env.random, now)


_is_records: type[Records] = MemoryRecords
