"""Link: one connection to a PostgreSQL server, made again when it was lost. It blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any, Final

import psycopg
from psycopg import RawCursor
from psycopg.abc import RV, PQGen
from psycopg.types.numeric import Int8Dumper, IntLoader

from pigpen.database.postgresql.dialect import translate
from pigpen.database.transaction import Row, Transaction, Value
from pigpen.errors import BadRequest

#: seconds until a server that does not answer is given up; libpq asks idle connections too
CONNECT_SECONDS: Final = 10
STATEMENT_SECONDS: Final = 30
#: a server whose machine answers, but not itself, ends no statement either
SILENCE_SECONDS: Final = 45
assert SILENCE_SECONDS > STATEMENT_SECONDS, "what the server ends itself is told apart"
#: statements a connection keeps prepared
PREPARED: Final = 512
#: rows that `PostgresqlTransaction.each` asks for at a time
FETCH: Final = 250

_SETTINGS: Final = f"SET statement_timeout = {STATEMENT_SECONDS * 1000}"


class _BoolDumper(Int8Dumper):
    """Columns of yes and no are numbers here."""

    def dump(self, obj: Any) -> bytes:
        return b"1" if obj else b"0"


class Unreachable(Exception):
    """No connection can be made. ``why``: for whoever runs the service; it tells of the server."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class _Connection(psycopg.Connection[Row]):
    """Waits so long for one answer."""

    silence_seconds: float = SILENCE_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, timeout or self.silence_seconds)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.close()  # its answer may still come, and would be taken for the next one's
            raise


class Link:
    """The `Connection` of transactions at a server, and a `Writer`."""

    __slots__ = ("_address", "_begin", "_connection", "_silence_seconds", "changes", "cursors")

    def __init__(self, address: str, begin: str, silence_seconds: float = SILENCE_SECONDS) -> None:
        """:param begin: the statement that begins a transaction. :param silence_seconds: how long
        to wait for an answer."""
        self._silence_seconds = silence_seconds
        self._address = address
        self._begin = begin
        self._connection: _Connection | None = None
        self.changes = 0
        #: that the transaction has declared
        self.cursors = 0

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection to go on with."""
        return self._connection is None or self._connection.broken or self._connection.closed

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun, be it a failed one."""
        if self._connection is None or self.is_lost:
            return False
        return self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    def begin(self) -> None:
        """:raises Unreachable: there is no connection, and none can be made."""
        if self.is_lost:
            self._connect()
        self.cursors = 0
        self._run(self._begin)

    def commit(self) -> None:
        """:raises psycopg.Error: it did not happen; if the link is lost now, it may have."""
        # a transaction in which a statement failed is rolled back without an error
        if self._run("COMMIT") != "COMMIT":
            raise psycopg.InternalError("a statement had failed before")

    def rollback(self) -> None:
        """Whatever happened, leave no transaction open."""
        if not self.in_transaction:
            return
        try:
            self._run("ROLLBACK")
        except psycopg.Error:
            self.drop()

    def drop(self) -> None:
        """Close the connection; the server rolls an open transaction back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    # -- statements -------------------------------------------------------------------------------

    def execute(self, sql: str, values: Sequence[Value] = ()) -> psycopg.Cursor[Row]:
        assert self._connection is not None, "a transaction has begun"
        try:
            cursor = self._connection.execute(translate(sql).encode(), values)
        except psycopg.DataError as error:
            if error.sqlstate is not None:
                raise
            # the driver sent nothing: PostgreSQL's texts have no NUL
            raise BadRequest(reason="a text has a character that cannot be stored") from None
        if cursor.description is None:
            self.changes += max(cursor.rowcount, 0)
        return cursor

    def executemany(self, sql: str, rows: Iterable[Sequence[Value]]) -> psycopg.Cursor[Row]:
        assert self._connection is not None, "a transaction has begun"
        cursor = self._connection.cursor()
        cursor.executemany(translate(sql).encode(), rows)
        self.changes += max(cursor.rowcount, 0)
        return cursor

    def mark(self) -> None:
        self._run("SAVEPOINT change")

    def keep(self) -> None:
        self._run("RELEASE SAVEPOINT change")

    def undo(self) -> None:
        self._run("ROLLBACK TO SAVEPOINT change")

    def is_fatal(self, error: Exception) -> bool:
        return is_fatal(error)

    def spoils(self, error: Exception) -> bool:
        """The server lets a transaction in which a statement failed do nothing more."""
        return isinstance(error, psycopg.Error)

    def _run(self, command: str) -> str | None:
        """:return: what the server says it did."""
        assert self._connection is not None
        return self._connection.execute(command.encode()).statusmessage

    def _connect(self) -> None:
        self.drop()
        try:
            self._connection = self._connected()
        except psycopg.Error as error:
            raise Unreachable(str(error).strip().partition("\n")[0]) from None

    def _connected(self) -> _Connection:
        connection = _Connection.connect(
            self._address,
            autocommit=True,  # begin and commit are said
            cursor_factory=RawCursor,
            connect_timeout=CONNECT_SECONDS,
            keepalives_idle=CONNECT_SECONDS,
            keepalives_interval=CONNECT_SECONDS,
            keepalives_count=3,
            tcp_user_timeout=STATEMENT_SECONDS * 2000,
            application_name="pigpen",
            client_encoding="utf-8",
        )
        connection.silence_seconds = self._silence_seconds
        connection.execute(_SETTINGS.encode())
        connection.prepared_max = PREPARED
        adapters = connection.adapters
        adapters.register_dumper(int, Int8Dumper)
        adapters.register_dumper(bool, _BoolDumper)
        adapters.register_loader("numeric", IntLoader)  # sums of numbers
        return connection


class PostgresqlTransaction(Transaction):
    """A transaction at a server, which sends all rows of a query at once if it is let."""

    __slots__ = ("_link",)

    def __init__(self, link: Link, random: Random, now: int) -> None:
        super().__init__(link, random, now)
        self._link = link

    def each(self, sql: str, *values: Value) -> Iterator[Row]:
        link = self._link
        link.cursors += 1
        name = f"each_{link.cursors}"
        link.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}", values)
        while rows := link.execute(f"FETCH {FETCH} FROM {name}").fetchall():
            yield from rows
            if len(rows) < FETCH:
                break
        link.execute(f"CLOSE {name}")


# -- errors ---------------------------------------------------------------------------------------

#: SQLSTATE classes: data, integrity, wrong SQL and too long rows, which only fail who met them
_OWN_FAULTS = ("22", "23", "42", "54")
#: two transactions met, and one may try again
_MET = ("40001", "40P01")
#: the server goes down, comes up, or does not know what became of a COMMIT
_LOST = ("08", "57P", "40003")


def is_fatal(error: Exception) -> bool:
    """Whether it fails the whole transaction, not only the statement that met it."""
    if not isinstance(error, psycopg.Error):
        return False
    # some errors are the driver's own, before anything was sent
    own = isinstance(error, psycopg.DataError | psycopg.IntegrityError | psycopg.ProgrammingError)
    return not own and (error.sqlstate or "")[:2] not in _OWN_FAULTS


def is_met(error: psycopg.Error) -> bool:
    """Whether the same transaction can be tried again at once (CLD-101)."""
    return error.sqlstate in _MET


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone: what was not committed did not happen."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_LOST)
