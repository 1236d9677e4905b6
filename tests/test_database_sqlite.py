"""The catalog's file: group commit, refusals, failures, schema changes.

Threads run inline; `env.held = []` holds them back so that calls wait and share a batch.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.catalog import accounts
from pigpen.coordinator.catalog.sqlite import SqliteCatalog
from pigpen.database.batches import Batches
from pigpen.database.schema import read_schema
from pigpen.database.transaction import Transaction
from pigpen.errors import CatalogFull, ConfigError, Conflict, Unavailable
from tests.catalog_kit import FileCase, InlineEnv
from tests.database_kit import CommitContract, ConcurrencyContract, add, add_and_refuse, names

SCHEMA = read_schema(SqliteCatalog.package)
NEXT = max(SCHEMA) + 1
EXTRA = "CREATE TABLE extra (a INTEGER);\nCREATE INDEX e ON extra (a);"
NEXT_SCHEMA = {**SCHEMA, NEXT: EXTRA}


class FullDisk(sqlite3.OperationalError):
    sqlite_errorcode = sqlite3.SQLITE_FULL


class SqliteCase(FileCase):
    """Has an open catalog."""

    def setUp(self) -> None:
        super().setUp()
        self.catalog = self.open()


class CommitTests(CommitContract, SqliteCase):
    twice = sqlite3.IntegrityError
    missing = sqlite3.OperationalError

    def test_slow_reads(self) -> None:
        """A long listing does not keep those behind it in its batch waiting too."""
        self.assertEqual(self.hops_of_slow(self.catalog.read), [0, 1, 2])

    def test_results_come_after_the_commit(self) -> None:
        """Nobody hears of a change that another process could not see yet."""
        seen: list[Any] = []

        def look(_: object) -> None:
            with sqlite3.connect(self.path) as other:
                seen.append(other.execute("SELECT count(*) FROM leases").fetchone()[0])
            other.close()

        self.env.held = []
        for name in "ab":
            self.catalog.write(add, name).addCallback(look)
        self.env.run_threads()
        self.assertEqual(seen, [2, 2])

    def test_what_waits_for_the_disk(self) -> None:
        """An ending that may be lost does not wait for the disk, unless it goes with what does; and
        what may not be lost always waits."""

        def synced(tx: Transaction) -> tuple[int, bool]:
            (level,) = tx.one("PRAGMA synchronous") or ()
            return self.env.hops, level == 2

        def refused(tx: Transaction) -> None:
            raise Conflict

        soon, write = self.catalog.write_soon, self.catalog.write
        self.env.held = []
        waiting = [lane(synced) for lane in (soon, soon, write, soon, write)]
        bad = soon(refused)
        self.env.run_threads()
        self.failureResultOf(bad, Conflict)
        hops, levels = zip(*map(self.successResultOf, waiting), strict=True)
        self.assertEqual(levels, (False, False, True, True, True))
        self.assertEqual([hop - hops[0] for hop in hops], [0, 0, 1, 1, 1])
        later = write(synced)
        self.env.run_threads()
        self.assertTrue(self.successResultOf(later)[1])

    def test_unsynced_is_committed(self) -> None:
        """What does not wait for the disk can be seen by all when it is told of, and outlives the
        process."""
        self.successResultOf(self.catalog.write_soon(add, "a"))
        with sqlite3.connect(self.path) as other:
            self.assertEqual(other.execute("SELECT count(*) FROM leases").fetchone(), (1,))
        other.close()
        self.catalog.drop()
        self.catalog = self.open()
        self.assertEqual(self.names(), ["a"])

    def test_full_disk_fails_the_batch(self) -> None:
        """The disk is full in mid-batch: nobody is told yes, and the next change works."""

        def no_room(tx: Transaction) -> None:
            raise FullDisk

        self.env.held = []
        one = self.catalog.write(add, "a")
        refused = self.catalog.write(add_and_refuse, "b")
        other = self.catalog.write(no_room)
        later = self.catalog.write(add, "c")
        self.env.run_threads()
        self.failureResultOf(one, CatalogFull)
        self.failureResultOf(refused, CatalogFull)
        self.failureResultOf(other, CatalogFull)
        self.successResultOf(later)
        self.assertEqual(self.names(), ["c"])
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_really_full(self) -> None:
        """SQLite itself has no room for a page: 503, reads go on, and room heals it (D6)."""

        def add_much(tx: Transaction, name: str) -> None:
            add(tx, name + "x" * 100_000)

        assert self.catalog._writer is not None
        pages = self.catalog._writer.execute("PRAGMA page_count").fetchone()[0]
        self.catalog._writer.execute(f"PRAGMA max_page_count = {pages}")
        self.env.held = []
        small, much = self.catalog.write(add, "a"), self.catalog.write(add_much, "b")
        self.env.run_threads()
        self.failureResultOf(small, CatalogFull)
        self.failureResultOf(much, CatalogFull)
        self.assertEqual(self.names(), [])
        self.catalog._writer.execute("PRAGMA max_page_count = 1000000")
        for rule, name in ((add, "a"), (add_much, "b")):
            done = self.catalog.write(rule, name)
            self.env.run_threads()
            self.successResultOf(done)
        self.assertEqual(len(self.names()), 2)

    def test_busy(self) -> None:
        """Another program holds the file: 503 for writes, reads go on, then all is well."""
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        assert self.catalog._writer is not None
        self.catalog._writer.execute("PRAGMA busy_timeout = 1")
        other.execute("BEGIN IMMEDIATE")
        self.failureResultOf(self.catalog.write(add, "a"), Unavailable)
        self.assertEqual(self.names(), [])
        other.execute("ROLLBACK")
        self.successResultOf(self.catalog.write(add, "a"))
        self.assertEqual(self.names(), ["a"])

    def test_close_finishes_what_waits(self) -> None:
        """A clean stop loses nothing, and takes nothing more."""
        self.env.held = []
        waiting = self.catalog.write(add, "a")
        closing = Deferred.fromCoroutine(self.catalog.close())
        self.assertRaises(Unavailable, self.catalog.write, add, "b")
        self.env.run_threads()
        self.successResultOf(waiting)
        self.env.run_threads()
        self.successResultOf(closing)
        self.assertFalse(os.path.exists(self.path + "-wal"))

    def test_survives_a_kill(self) -> None:
        """What was acknowledged is there after the process died (C5)."""
        for n in range(20):
            self.successResultOf(self.catalog.write(add, str(n)))
        self.catalog.drop()
        self.catalog = self.open()
        self.assertEqual(len(self.names()), 20)

    def test_errors_name_the_condition(self) -> None:
        """Users hear whether to wait or to free space."""
        full, busy, broken = FullDisk(), sqlite3.OperationalError(), sqlite3.DatabaseError()
        busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
        broken.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        found = [SqliteCatalog.error_of(error).status for error in (full, busy, broken)]
        self.assertEqual(found, [503, 503, 503])


class ConcurrencyTests(ConcurrencyContract, SqliteCase):
    """Rules of many clients in the same commit."""


class BatchesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = InlineEnv()
        self.env.held = []
        self.sizes: list[int] = []

    def make_batches(self, batch_limit: int = 10, waiting_limit: int = 100) -> Batches:
        return Batches(self.env, self.run_batch, batch_limit, waiting_limit)

    def run_batch(self, take: Any) -> None:
        self.sizes.append(0)
        while (call := take()) is not None:
            self.sizes[-1] += 1
            call.result = call.function(*call.arguments)

    def test_bounded_queue(self) -> None:
        """The caller too many is told at once; the others are served."""
        batches = self.make_batches(waiting_limit=3)
        waiting = [batches.call(len, ("abc",)) for _ in range(3)]
        self.assertRaises(Unavailable, batches.call, len, ("abc",))
        self.env.run_threads()
        self.assertEqual([self.successResultOf(d) for d in waiting], [3, 3, 3])

    def test_bounded_batch(self) -> None:
        """A flood is cut into batches, so that the first are not held up by the last."""
        batches = self.make_batches(batch_limit=10)
        waiting = [batches.call(len, ("abc",)) for _ in range(25)]
        self.env.run_threads()
        self.assertEqual(self.sizes, [10, 10, 5])
        self.assertEqual([self.successResultOf(d) for d in waiting], [3] * 25)

    def test_a_batch_that_dies(self) -> None:
        """If the thread itself fails, callers hear of it and later ones are served."""
        batches = self.make_batches()
        first = batches.call(lambda: 1 / 0, ())
        second = batches.call(len, ("abc",))
        self.env.run_threads()
        self.failureResultOf(first, ZeroDivisionError)
        self.assertEqual(self.successResultOf(second), 3)

    def test_a_thread_that_never_starts(self) -> None:
        """The pool refuses: each waiting call fails, none is tried for ever."""

        def refuse(*args: object) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            done.errback(RuntimeError("no threads"))
            return done

        self.env.in_thread = refuse  # type: ignore[method-assign]
        batches = self.make_batches()
        self.failureResultOf(batches.call(len, ("abc",)), RuntimeError)
        self.assertEqual(batches.waiting, 0)


class OpenTests(FileCase):
    def test_durability_is_read_back(self) -> None:
        """The settings that durability rests on are in force."""
        catalog = self.open()
        assert catalog._writer is not None
        found = [
            catalog._writer.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "busy_timeout", "trusted_schema")
        ]
        self.assertEqual(found, ["wal", 2, 5000, 0])

    def test_second_process_is_refused(self) -> None:
        """Two coordinators on one file: the second does not start, the first goes on (K2)."""
        first = self.open()
        self.assertIn("another coordinator", self.open_failing(ConfigError))
        self.successResultOf(first.write(add, "a"))
        first.drop()
        self.assertEqual(self.successResultOf(self.open().read(names)), ["a"])

    def test_newer_schema_is_refused_untouched(self) -> None:
        """An older program leaves a newer catalog as it is (U1)."""
        self.successResultOf(Deferred.fromCoroutine(self.open(schema=NEXT_SCHEMA).close()))
        with open(self.path, "rb") as file:
            before = file.read()
        self.assertIn("newer", self.open_failing(ConfigError))
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_migration_keeps_a_backup(self) -> None:
        """Before a schema change the old catalog is copied; both have all rows (U1)."""
        old = self.open()
        self.successResultOf(old.write(add, "a"))
        old.drop()
        new = self.open(schema=NEXT_SCHEMA)
        self.assertEqual(self.successResultOf(new.read(names)), ["a"])
        new.drop()
        self.path += f".backup-{NEXT - 1}"
        self.assertEqual(self.successResultOf(self.open().read(names)), ["a"])

    def test_locks_of_an_old_catalog(self) -> None:
        """Locks that were taken before they were counted are counted."""
        old = self.open(schema={1: SCHEMA[1]})
        self.successResultOf(old.write(_old_lock))
        old.drop()
        self.assertEqual(self.successResultOf(self.open().read(_locks)), [(1,)])

    def test_migration_killed_at_each_statement(self) -> None:
        """A change of schema that dies half-way leaves the old one, and is tried again (U1)."""
        self.successResultOf(self.open().write(add, "a"))
        self.doCleanups()
        for broken in ("CREATE TABLE extra (a INTEGER);\nfault;", "fault;"):
            self.open_failing(ConfigError, schema={**SCHEMA, NEXT: broken})
            catalog = self.open()
            self.assertEqual(self.successResultOf(catalog.read(names)), ["a"])
            self.assertRaises(AssertionError, self.successResultOf, catalog.read(_extra))
            catalog.drop()
        catalog = self.open(schema=NEXT_SCHEMA)
        self.assertEqual(self.successResultOf(catalog.read(_extra)), [])
        backups = [name for name in os.listdir(os.path.dirname(self.path)) if "backup" in name]
        self.assertEqual(
            sorted(backups), [f"catalog.sqlite.backup-{NEXT - 1}{end}" for end in ("", ".1", ".2")]
        )

    def test_damaged_file_names_the_backup(self) -> None:
        """A corrupt page: no start, and a sentence that says what to do (D6)."""
        catalog = self.open()
        for n in range(500):
            self.successResultOf(catalog.write(add, "x" * 100 + str(n)))
        self.successResultOf(Deferred.fromCoroutine(catalog.close()))
        size = os.path.getsize(self.path)
        with open(self.path, "r+b") as file:
            file.seek(size // 2)
            file.write(b"\xff" * 8192)
        self.assertIn("backup", self.open_failing(ConfigError))
        with open(self.path, "wb") as file:
            file.write(b"no database at all" * 1000)
        self.assertIn("backup", self.open_failing(ConfigError))

    def test_no_folder(self) -> None:
        """A path that cannot be opened is a sentence, not a traceback."""
        self.path = os.path.join(self.path, "below", "a-file")
        self.assertIn(self.path, self.open_failing(ConfigError))


def _old_lock(tx: Transaction) -> None:
    accounts.make_account(tx, "me")
    tx.run(
        "INSERT INTO locks (token, account_id, node_id, depth, exclusive, principal, owner,"
        " expires) SELECT 't', id, root_id, 0, 1, '', '', 0 FROM accounts"
    )


def _locks(tx: Transaction) -> list[Any]:
    return tx.all("SELECT locks FROM accounts")


def _extra(tx: Transaction) -> list[Any]:
    return tx.all("SELECT * FROM extra")


_is_catalog: type[SqliteCatalog] = SqliteCatalog
