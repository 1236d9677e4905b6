"""Database: an SQLite file under rules, with group commit.

    NAME.sqlite            WAL, synchronous=FULL: a commit that returned survives a power cut
    NAME.sqlite.lock       held while a service runs on it: a second one is refused; an operator's
                           short tasks go on beside it
    NAME.sqlite.backup-N   made before schema N is changed

`read` and `write` run a rule in a thread, inside a transaction. Waiting reads share one snapshot,
waiting writes one commit. A rule judges first and changes rows then; if one is refused after it
has changed some, its batch is rolled back and run again with a savepoint for each rule. Results are
delivered after the commit.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from typing import ClassVar, Concatenate, ParamSpec, Self, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pigpen.database.batches import Batches, Call, Take
from pigpen.database.migrations import check_known, migrate, read_schema, schema_number
from pigpen.database.transaction import Transaction
from pigpen.env import Env
from pigpen.errors import ConfigError, PigpenError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

#: calls that wait at most, reads and writes each; the next one gets 503
MAX_WAITING = 10_000
#: a batch holds its first caller up, so it ends after this many calls, or seconds
READ_BATCH = 64
WRITE_BATCH = 512
READ_SECONDS = 0.01
WRITE_SECONDS = 0.05
#: pages of 4 KiB after which the WAL is copied into the database, by the commit that passes it
CHECKPOINT_PAGES = 4_000
BUSY_MS = 5_000
#: what the writing connection keeps in memory: random ids touch pages all over the file
WRITER_CACHE_KIB = 8_000
#: where sorts and savepoints keep what they set aside: a full /tmp is then nothing to us
IN_MEMORY = 2

_FULL_DISK = {sqlite3.SQLITE_FULL}
#: the database can go on after these: only the call that met one fails
_OWN_FAULTS = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_MISUSE,
    None,
}


class Database:
    """Rules over an SQLite file. Made by `open`; one per process and file."""

    log = Logger()
    #: what users know it as, and the service that uses it
    noun: ClassVar[str]
    user: ClassVar[str]
    #: where its folder ``schema`` lies
    package: ClassVar[str]
    #: what is raised when its disk is full
    full: ClassVar[Callable[[], PigpenError]]

    def __init__(self, env: Env, path: str) -> None:
        self._env = env
        self._path = path
        #: whether another process may have it, whose schema is ours too
        self._beside = False
        self._connections: list[sqlite3.Connection] = []
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._reads = Batches(env, self._read_batch, READ_BATCH, MAX_WAITING, self.noun)
        self._writes = Batches(env, self._write_batch, WRITE_BATCH, MAX_WAITING, self.noun)

    @classmethod
    async def open(
        cls,
        env: Env,
        path: str,
        schema: Mapping[int, str] | None = None,
        *,
        beside: bool = False,
    ) -> Self:
        """Open a database, or make a new one.

        :param beside: for a moment, while a service may be running on it.
        :raises ConfigError: another process has it, a newer program made it, or it is damaged.
        """
        database = cls(env, path)
        database._beside = beside
        known = read_schema(cls.package) if schema is None else schema
        await env.in_thread(database._open, known)
        return database

    def read(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run a rule that changes nothing.

        :raises Unavailable: too many wait, or it cannot be read now.
        """
        assert not kwargs
        return self._reads.call(rule, args)

    def write(
        self, rule: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run a rule that may change things; fires when its changes are durable.

        A rule that raises changes nothing. Cancelling before it began stops it, later not.

        :raises Unavailable: too many wait, or it cannot be written now: nothing changed.
        """
        assert not kwargs
        return self._writes.call(rule, args)

    @property
    def waiting(self) -> int:
        """Calls that have not begun."""
        return self._reads.waiting + self._writes.waiting

    async def close(self) -> None:
        """Finish what waits, then leave the file in one piece."""
        await self._reads.close()
        await self._writes.close()
        await self._env.in_thread(self.drop)

    def drop(self) -> None:
        """Close at once, as the death of the process would: nothing that committed is lost."""
        while self._connections:
            self._connections.pop().close()

    # -- opening, in a thread ---------------------------------------------------------------------

    def _open(self, schema: Mapping[int, str]) -> None:
        try:
            self._open_checked(schema)
        except sqlite3.Error as error:
            self.drop()
            reason = f"{error}; put a backup in its place ({self._path}.backup-*, or your own)"
            raise ConfigError(path=self._path, reason=reason) from None
        except BaseException:
            self.drop()
            raise

    def _open_checked(self, schema: Mapping[int, str]) -> None:
        alone = self._lock()
        writer = self._connect(self._path)
        number = schema_number(writer)
        check_known(number, self._path, schema)
        if not alone and number < max(schema):
            reason = f"the {self.user} that runs is older than this program: start it again first"
            raise ConfigError(path=self._path, reason=reason)
        _configure(writer, self._path)
        if alone:
            self._check_and_migrate(writer, schema)
        reader = self._connect(self._path)
        reader.execute("PRAGMA query_only = ON")
        reader.execute("PRAGMA trusted_schema = OFF")
        reader.execute(f"PRAGMA temp_store = {IN_MEMORY}")
        self._writer, self._reader = writer, reader

    def _check_and_migrate(self, writer: sqlite3.Connection, schema: Mapping[int, str]) -> None:
        problem = writer.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(f"the {self.noun} is damaged: {problem}")
        backup = migrate(writer, self._path, schema)
        if backup is not None:
            self.log.info(
                "the {noun} has a new schema; the old one is {backup}",
                noun=self.noun,
                backup=backup,
            )

    def _connect(self, path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path,
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,  # `Batches` lets one thread at a time in
            cached_statements=512,
        )
        self._connections.append(connection)
        return connection

    def _lock(self) -> bool:
        """SQLite's own lock on a file beside: it ends with the process, and works everywhere.

        :return: False: a service runs on it, and `beside` allows for that.
        """
        connection = self._connect(self._path + ".lock")
        try:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if _primary_code(error) != sqlite3.SQLITE_BUSY:
                raise
            if self._beside:
                return False
            reason = f"another {self.user} uses it; stop that one first"
            raise ConfigError(path=self._path, reason=reason) from None
        return True

    # -- batches, in a thread ---------------------------------------------------------------------

    def _transaction(self, connection: sqlite3.Connection) -> Transaction:
        return Transaction(connection, self._env.random, int(self._env.wall() * 1000))

    def _read_batch(self, take: Take) -> None:
        assert self._reader is not None
        reader = self._reader
        transaction = self._transaction(reader)
        reader.execute("BEGIN")
        end = self._env.clock.seconds() + READ_SECONDS
        try:
            while self._env.clock.seconds() <= end and (call := take()) is not None:
                _run(call, transaction, self.error_of)
        finally:
            with contextlib.suppress(sqlite3.Error):  # an I/O error ended it already
                reader.execute("COMMIT")

    def _write_batch(self, take: Take) -> None:
        assert self._writer is not None
        writer = self._writer
        calls: list[Call] = []
        try:
            writer.execute("BEGIN IMMEDIATE")
            transaction = self._transaction(writer)
            end = self._env.clock.seconds() + WRITE_SECONDS
            whole = True
            while self._env.clock.seconds() <= end and (call := take()) is not None:
                calls.append(call)
                if not whole:
                    _run_in_savepoint(call, transaction, writer)
                elif not _run_whole(call, transaction, writer):
                    whole = False
                    _run_again(calls, transaction, writer)
            writer.execute("COMMIT")
        except sqlite3.Error as error:
            if not calls and (call := take()) is not None:
                calls.append(call)
            self._fail(calls, error)
        finally:
            if writer.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    writer.execute("ROLLBACK")

    def _fail(self, calls: list[Call], error: sqlite3.Error) -> None:
        """The commit failed: none of its calls has changed anything."""
        self.log.error(
            "the {noun} refused {count} changes: {error}",
            noun=self.noun,
            count=len(calls),
            error=error,
        )
        for call in calls:
            if not isinstance(call.error, PigpenError):
                call.error = self.error_of(error)

    @classmethod
    def error_of(cls, error: sqlite3.Error) -> PigpenError:
        """What a user hears of a database error; the log has the rest."""
        code = _primary_code(error)
        if code in _FULL_DISK:
            return cls.full()
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return Unavailable(reason=f"the {cls.noun} is busy")
        return Unavailable(reason=f"the {cls.noun} cannot be used")


def _configure(connection: sqlite3.Connection, path: str) -> None:
    """Set what durability and safety rest on, and read it back (REL 4)."""
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "busy_timeout": BUSY_MS,
        "trusted_schema": 0,
        "foreign_keys": 1,
        "wal_autocheckpoint": CHECKPOINT_PAGES,
        "cache_size": -WRITER_CACHE_KIB,
        "temp_store": IN_MEMORY,
    }
    for name, value in wanted.items():
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
        if (found := connection.execute(f"PRAGMA {name}").fetchone()[0]) != value:
            reason = f"SQLite keeps {name} at {found}; use a local disk, not a network one"
            raise ConfigError(path=path, reason=reason)


def _run(
    call: Call, transaction: Transaction, error_of: Callable[[sqlite3.Error], PigpenError]
) -> None:
    try:
        call.result = call.function(transaction, *call.arguments)
    except sqlite3.Error as error:
        call.error = error if _primary_code(error) in _OWN_FAULTS else error_of(error)
    except Exception as error:  # noqa: BLE001  # handed to the caller, whole
        call.error = error


def _run_whole(call: Call, transaction: Transaction, writer: sqlite3.Connection) -> bool:
    """Run a rule without a savepoint, which costs a copy of every page that it changes.

    :return: whether all it changed may stay; no: it was refused when it had changed rows.
    :raises sqlite3.Error: the whole batch failed.
    """
    before = writer.total_changes
    _run_change(call, transaction)
    return call.error is None or writer.total_changes == before


def _run_again(calls: list[Call], transaction: Transaction, writer: sqlite3.Connection) -> None:
    """Begin a batch anew, so that what one of its calls has half done is undone.

    :raises sqlite3.Error: the whole batch failed.
    """
    writer.execute("ROLLBACK")
    writer.execute("BEGIN IMMEDIATE")
    for call in calls:
        call.result = call.error = None
        _run_in_savepoint(call, transaction, writer)


def _run_in_savepoint(call: Call, transaction: Transaction, writer: sqlite3.Connection) -> None:
    """:raises sqlite3.Error: the whole batch failed."""
    writer.execute("SAVEPOINT change")
    _run_change(call, transaction)
    if call.error is not None:
        writer.execute("ROLLBACK TO change")
    writer.execute("RELEASE change")


def _run_change(call: Call, transaction: Transaction) -> None:
    """:raises sqlite3.Error: the whole batch failed."""
    try:
        call.result = call.function(transaction, *call.arguments)
    except Exception as error:
        if isinstance(error, sqlite3.Error) and _primary_code(error) not in _OWN_FAULTS:
            raise
        call.error = error


def _primary_code(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
