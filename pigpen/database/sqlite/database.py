"""SqliteDatabase: a file under rules, with group commit.

NAME.sqlite            WAL, synchronous=FULL: a commit that returned survives a power cut
NAME.sqlite.lock       held while a service runs on it: a second one is refused; an operator's
                       short tasks go on beside it
NAME.sqlite.backup-N   made before schema N is changed
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec, Self, TypeVar

from twisted.internet.defer import Deferred

from pigpen.database.batches import Call, Take
from pigpen.database.database import READ_BATCH, READ_SECONDS, WRITE_SECONDS, Database
from pigpen.database.schema import check_known, check_old_enough, read_schema
from pigpen.database.sqlite.migrations import migrate, schema_number
from pigpen.database.sqlite.writer import SqliteWriter, is_fatal, primary_code
from pigpen.database.transaction import Transaction
from pigpen.database.write_batch import run_changes
from pigpen.env import Env
from pigpen.errors import ConfigError, PigpenError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

#: pages of 4 KiB after which the WAL is copied into the database, by the commit that passes it
CHECKPOINT_PAGES = 4_000
BUSY_MS = 5_000
#: what the writing connection keeps in memory: random ids touch pages all over the file
WRITER_CACHE_KIB = 8_000
#: where sorts and savepoints keep what they set aside: a full /tmp is then nothing to us
IN_MEMORY = 2
#: PRAGMA synchronous of a WAL: each commit is synced, or only what a checkpoint copies
FULL, NORMAL = 2, 1


class SqliteDatabase(Database):
    """Rules over an SQLite file. Made by `open`; one per process and file."""

    def __init__(self, env: Env, path: str) -> None:
        super().__init__(env)
        self._path = path
        #: whether another process may have it, whose schema is ours too
        self._beside = False
        self._connections: list[sqlite3.Connection] = []
        self._reader: sqlite3.Connection | None = None
        #: whether the writer's commits wait for the disk now
        self._durable = True
        self._writer: sqlite3.Connection | None = None
        self._reads = self._lane(self._read_batch, READ_BATCH)

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
        assert not kwargs
        return self._reads.call(rule, args)

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
        if not alone:
            check_old_enough(number, self._path, schema, self.user)
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
            if primary_code(error) != sqlite3.SQLITE_BUSY:
                raise
            if self._beside:
                return False
            reason = f"another {self.user} uses it; stop that one first"
            raise ConfigError(path=self._path, reason=reason) from None
        return True

    # -- batches, in a thread ---------------------------------------------------------------------

    def _transaction(self, connection: sqlite3.Connection) -> Transaction:
        return Transaction(connection, self._env.random, self._now())

    def _read_batch(self, take: Take) -> None:
        assert self._reader is not None
        reader = self._reader
        transaction = self._transaction(reader)
        reader.execute("BEGIN")
        try:
            for call in self._taken(take, [], READ_SECONDS):
                self._read(call, transaction)
        finally:
            with contextlib.suppress(sqlite3.Error):  # an I/O error ended it already
                reader.execute("COMMIT")

    def _read(self, call: Call, transaction: Transaction) -> None:
        try:
            call.result = call.function(transaction, *call.arguments)
        except sqlite3.Error as error:
            call.error = self.error_of(error) if is_fatal(error) else error
        except Exception as error:  # noqa: BLE001  # handed to the caller, whole
            call.error = error

    def _write_batch(self, take: Take) -> None:
        assert self._writer is not None
        if (first := take()) is None:
            return
        writer = SqliteWriter(self._writer)
        calls = [first]
        try:
            self._sync_commits(first.durable)
            writer.begin()
            transaction = self._transaction(self._writer)
            taken = self._taken(take, calls, WRITE_SECONDS)
            run_changes(writer, transaction, taken, writer.begin_again)
            writer.commit()
        except sqlite3.Error as error:
            self._refuse(calls, error, self.error_of(error))
        finally:
            writer.end()

    def _sync_commits(self, durable: bool) -> None:
        """Whether commits wait for the disk from now on. Unsynced ones lie in the WAL before the
        next synced one, and a checkpoint syncs it first (SQLite, PRAGMA synchronous): a power cut
        takes the last commits, never one that a later one was told to rest on."""
        if durable is not self._durable:
            assert self._writer is not None
            self._writer.execute(f"PRAGMA synchronous = {FULL if durable else NORMAL}")
            self._durable = durable

    @classmethod
    def error_of(cls, error: sqlite3.Error) -> PigpenError:
        """What a user hears of a database error; the log has the rest."""
        code = primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            return cls.full()
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return Unavailable(reason=f"the {cls.noun} is busy")
        return Unavailable(reason=f"the {cls.noun} cannot be used")


def _configure(connection: sqlite3.Connection, path: str) -> None:
    """Set what durability and safety rest on, and read it back (REL 4)."""
    wanted = {
        "journal_mode": "wal",
        "synchronous": FULL,
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
