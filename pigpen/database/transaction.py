"""Transaction: what rules see of the database.

Rules are plain functions ``rule(transaction, ...)``; a database's ``read`` and ``write`` run them.
A rule that raises a `PigpenError` has changed nothing. Their SQL is SQLite's, of which they use
what `postgresql.dialect` can say in other words.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

#: of an id: enough for all rows of one kind that are made in a millisecond
RANDOM_BITS = 20
LAST_ID = 2**63 - 1
#: a value of a column
Value = int | str | bytes | None
#: columns as selected; rules take them apart at once
Row = tuple[Any, ...]


class Cursor(Protocol):
    """The rows of a query, or how many rows a change has met."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What runs SQL: ``?`` and ``?1`` stand for values."""

    def execute(self, sql: str, values: Sequence[Value], /) -> Cursor: ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Value]], /) -> Cursor: ...


class Transaction:
    """One SQL transaction, seen from one rule. Only valid while that rule runs."""

    __slots__ = ("_connection", "now", "random")

    def __init__(self, connection: Connection, random: random.Random, now: int) -> None:
        """:param now: ms since 1970, the same for all rules of one commit."""
        self._connection = connection
        self.random = random
        self.now = now

    def one(self, sql: str, *values: Value) -> Row | None:
        """The first row, or None."""
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: Value) -> list[Row]:
        """All rows: bound them in the query."""
        return self._connection.execute(sql, values).fetchall()

    def each(self, sql: str, *values: Value) -> Iterator[Row]:
        """Rows one by one, read as they are asked for. Change nothing meanwhile."""
        return iter(self._connection.execute(sql, values))

    def run(self, sql: str, *values: Value) -> int:
        """Change rows; how many were changed."""
        return self._connection.execute(sql, values).rowcount

    def many(self, sql: str, rows: Iterable[tuple[Value, ...]]) -> int:
        """Run a change for each row; how many rows were changed in all."""
        return self._connection.executemany(sql, rows).rowcount

    def number(self) -> int:
        """An id to try: 43 bits of time, 20 random ones; never 0.

        Rows that are made together lie together: a commit then writes few pages.
        """
        return (self.now << RANDOM_BITS & LAST_ID | self.random.getrandbits(RANDOM_BITS)) or 1

    def insert(self, sql: str, *values: Value) -> int:
        """Insert a row under a new id, which is the first ``?``; drawn again if taken."""
        while True:
            number = self.number()
            if self.run(f"{sql} ON CONFLICT (id) DO NOTHING", number, *values):
                return number

    def random_id(self) -> bytes:
        """A new 256-bit id: 32 bytes."""
        return self.random.randbytes(32)

    def dated_id(self) -> bytes:
        """As `random_id`, its first 48 bits the time: for rows that lie together, see `number`."""
        return self.now.to_bytes(6, "big") + self.random.randbytes(26)
