"""A database at a PostgreSQL server: group commit, refusals, conflicts, lost connections (K3).

Threads run inline; `env.held = []` holds them back so that calls wait and share a batch.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Any

import psycopg
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.catalog.postgresql import PostgresqlCatalog
from pigpen.database.batches import Call
from pigpen.database.postgresql.changes import Changes
from pigpen.database.postgresql.database import WRITE
from pigpen.database.postgresql.lease import LEASE_SECONDS, RENEW_SECONDS, LeaseLost
from pigpen.database.postgresql.link import Link, PostgresqlTransaction, Unreachable
from pigpen.database.postgresql.setup import Setup
from pigpen.database.schema import read_schema
from pigpen.database.transaction import Transaction
from pigpen.errors import BadRequest, ConfigError, Conflict, Unavailable
from tests.catalog_kit import InlineEnv
from tests.database_kit import (
    CommitContract,
    ConcurrencyContract,
    DatabaseCase,
    add,
    add_and_refuse,
    names,
)
from tests.functional.observing import until
from tests.functional.postgresql import ServerCase, programs, shared_server
from tests.functional.solo import ROOT

SCHEMA = read_schema(PostgresqlCatalog.package)
NEXT = max(SCHEMA) + 1
NEXT_SCHEMA = {
    **SCHEMA,
    NEXT: "CREATE TABLE extra (a INTEGER) STRICT;\nCREATE INDEX e ON extra (a);",
}


class PostgresqlCase(SynchronousTestCase, DatabaseCase):
    """A test with an empty database."""

    if programs() is None:
        skip = "PostgreSQL is not installed"

    def setUp(self) -> None:
        self.env = InlineEnv()
        self.server = shared_server()
        self.address = self.server.make_database()

    def opening(self, **more: Any) -> Deferred[PostgresqlCatalog]:
        return Deferred.fromCoroutine(PostgresqlCatalog.open(self.env, self.address, **more))

    def open(self, **more: Any) -> PostgresqlCatalog:
        catalog = self.successResultOf(self.opening(**more))
        self.addCleanup(catalog.drop)
        return catalog

    def refused_at_opening(self, **more: Any) -> str:
        opening = self.opening(**more)
        self.env.clock.pump([1] * 2 * LEASE_SECONDS)
        return str(self.failureResultOf(opening, ConfigError).value)

    def other(self) -> psycopg.Connection[Any]:
        """Somebody else at the same database."""
        connection = psycopg.connect(self.address, autocommit=True)
        self.addCleanup(connection.close)
        return connection


class OpenCase(PostgresqlCase):
    """Has an open catalog."""

    def setUp(self) -> None:
        super().setUp()
        self.catalog = self.open()


class ConcurrencyTests(ConcurrencyContract, OpenCase):
    """Rules of many clients in the same commit."""


class CommitTests(CommitContract, OpenCase):
    twice = psycopg.errors.UniqueViolation
    missing = psycopg.errors.UndefinedTable

    def test_rows_one_by_one(self) -> None:
        """A listing that is left in the middle does not disturb those after it in its batch."""

        def fill(tx: Transaction) -> None:
            for number in range(1000):
                add(tx, f"{number:04}")

        def first(tx: Transaction, count: int) -> list[str]:
            rows = tx.each("SELECT name FROM leases WHERE name LIKE 'x%' ORDER BY name")
            return [next(rows)[0] for _ in range(count)]

        self.successResultOf(self.catalog.write(fill))
        self.env.held = []
        left, whole = self.catalog.read(first, 3), self.catalog.read(first, 1000)
        self.env.run_threads()
        self.assertEqual(self.successResultOf(left), ["x0000", "x0001", "x0002"])
        self.assertEqual(self.successResultOf(whole)[-1], "x0999")

    def test_what_no_text_can_be(self) -> None:
        """A character that PostgreSQL does not store is the client's mistake."""
        self.failureResultOf(self.catalog.write(add, "a\0"), BadRequest)
        self.successResultOf(self.catalog.write(add, "a"))

    def test_close_finishes_what_waits(self) -> None:
        """A clean stop loses nothing, and the next one need not wait."""
        self.env.held = []
        waiting = self.catalog.write(add, "a")
        closing = Deferred.fromCoroutine(self.catalog.close())
        self.env.run_threads()
        self.successResultOf(waiting)
        self.env.run_threads()
        self.successResultOf(closing)
        self.env.held = None
        self.assertEqual(self.names(self.open()), ["a"])
        self.assertEqual(len(self.env.clock.getDelayedCalls()), 1)

    def test_a_statement_that_failed_before(self) -> None:
        """A rule of ours that goes on after an error has done nothing, and does not pass for done:
        the server answers its COMMIT by a rollback."""

        def go_on(tx: Transaction) -> None:
            add(tx, "a")
            with contextlib.suppress(psycopg.Error):
                tx.one("SELECT nothing FROM nowhere")

        self.failureResultOf(self.catalog.write(go_on), Unavailable)
        self.assertEqual(self.names(), [])

    def test_too_long_for_an_index(self) -> None:
        """A row that no index takes is refused alone."""
        long = "".join(map(chr, self.env.random.choices(range(0x4E00, 0x9FFF), k=3000)))
        self.env.held = []
        good, large = self.catalog.write(add, "a"), self.catalog.write(add, long)
        self.env.run_threads()
        self.successResultOf(good)
        self.failureResultOf(large, psycopg.errors.ProgramLimitExceeded)


class ConflictTests(OpenCase):
    """Somebody else changes the same rows in the same moment (40001)."""

    def setUp(self) -> None:
        super().setUp()
        self.successResultOf(self.catalog.write(add, "a"))
        self.runs = 0

    def count(self, tx: Transaction, conflicts: int) -> int:
        """Read a row, let somebody else change it, and change it."""
        row = tx.one("SELECT expires FROM leases WHERE name = 'xa'")
        assert row is not None
        self.runs += 1
        if self.runs <= conflicts:
            self.other().execute("UPDATE leases SET expires = expires + 1 WHERE name = 'xa'")
        tx.run("UPDATE leases SET expires = ? WHERE name = 'xa'", row[0] + 1)
        total: int = row[0] + 1
        return total

    def test_tried_again(self) -> None:
        """The change is made once, over what the other one made."""
        self.env.held = []
        before = self.catalog.write(add, "b")
        counted = self.catalog.write(self.count, 2)
        after = self.catalog.write(add, "c")
        self.env.run_threads()
        for done in (before, after):
            self.successResultOf(done)
        self.assertEqual(self.successResultOf(counted), 3)
        self.assertEqual(self.runs, 3)
        self.assertEqual(self.names(), ["a", "b", "c"])

    def test_not_for_ever(self) -> None:
        """Five times, then 503, and nothing of it has happened (CLD-101)."""
        self.failureResultOf(self.catalog.write(self.count, 99), Unavailable)
        self.assertEqual(self.runs, 5)
        self.assertEqual(self.successResultOf(self.catalog.write(self.count, 0)), 6)


class CutLink(Link):
    """Loses its connection in a COMMIT, before or after it happened."""

    #: None: works
    cut: str | None = None

    def commit(self) -> None:
        cut, self.cut = self.cut, None
        if cut == "after":
            super().commit()
        if cut is not None:
            self.drop()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        super().commit()


class LossTests(OpenCase):
    def cut(self, when: str) -> None:
        self.catalog._changes.link.drop()
        self.catalog._changes.link = self.cut_link(when)

    def cut_link(self, when: str) -> CutLink:
        link = CutLink(self.address, WRITE)
        self.addCleanup(link.drop)
        link.cut = when
        return link

    def test_cut_before_the_commit(self) -> None:
        """It did not happen, so it is done again."""
        self.cut("before")
        self.successResultOf(self.catalog.write(add, "a"))
        self.assertEqual(self.names(), ["a"])

    def test_cut_after_the_commit(self) -> None:
        """It happened, so it is not done again."""
        self.cut("after")
        runs = []

        def count(tx: Transaction) -> None:
            runs.append(add(tx, f"{len(runs)}"))

        self.successResultOf(self.catalog.write(count))
        self.assertEqual(self.names(), ["0"])
        self.assertEqual(runs, ["0"])

    def test_cut_after_a_commit_that_began_again(self) -> None:
        """A refused change had its batch run again before: it is known all the same what happened,
        and nothing is done twice."""
        self.cut("after")
        self.env.held = []
        good = self.catalog.write(add, "a")
        refused = self.catalog.write(add_and_refuse, "b")
        self.env.run_threads()
        self.failureResultOf(refused, Conflict)
        self.successResultOf(good)
        self.assertEqual(self.names(), ["a"])

    def test_frozen(self) -> None:
        """The server's machine answers, it does not: nobody waits for ever."""
        self.catalog._changes.link.drop()
        link = self.catalog._changes.link = Link(self.address, WRITE, silence_seconds=0.5)
        self.addCleanup(link.drop)

        def freeze(tx: Transaction) -> None:
            add(tx, "b")
            if not frozen:
                [pid] = tx.one("SELECT pg_backend_pid()") or (0,)
                frozen.append(pid)
                os.kill(pid, signal.SIGSTOP)
                self.addCleanup(thaw)
            add(tx, "c")

        def thaw() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(frozen[0], signal.SIGCONT)

        frozen: list[int] = []
        # the frozen one keeps the lease's row locked
        self.failureResultOf(self.catalog.write(freeze), Unavailable)
        self.assertEqual(self.names(), [])
        thaw()
        self.successResultOf(self.catalog.write(add, "a"))
        self.assertEqual(self.names(), ["a"])

    def test_an_operator_is_told(self) -> None:
        """A task beside a coordinator has no lease to ask: it says that it may have been done."""
        beside = self.open(beside=True)
        beside._changes.link = self.cut_link("after")
        failure = self.failureResultOf(beside.write(add, "a"), Unavailable)
        self.assertIn("whether it was done", str(failure.value))

    def test_ended_by_the_server(self) -> None:
        """An administrator ends all connections (57P01): nobody notices."""
        self.successResultOf(self.catalog.write(add, "a"))
        self.assertEqual(self.names(), ["a"])
        self.other().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        self.assertEqual(self.names(), ["a"])
        self.successResultOf(self.catalog.write(add, "b"))
        self.assertEqual(self.names(), ["a", "b"])

    def test_ended_in_a_change(self) -> None:
        """In the middle of a batch: all of it is done once."""
        ended = []

        def end(tx: Transaction) -> None:
            add(tx, "b")
            if not ended:
                ended.append(True)
                row = tx.one("SELECT pg_backend_pid()")
                assert row is not None
                self.other().execute(f"SELECT pg_terminate_backend({row[0]}, 5000)".encode())
            add(tx, "c")

        self.env.held = []
        waiting = [self.catalog.write(add, "a"), self.catalog.write(end)]
        self.env.run_threads()
        for done in waiting:
            self.successResultOf(done)
        self.assertEqual(self.names(), ["a", "b", "c"])


class LeaseTests(PostgresqlCase):
    def test_second_is_refused(self) -> None:
        """Two coordinators on one database: the second does not start, the first goes on (K2)."""
        first = self.open()
        self.assertIn("another coordinator", self.refused_at_opening())
        self.successResultOf(first.write(add, "a"))

    def test_operator_beside(self) -> None:
        """A task of an operator goes on beside a coordinator, which sees what it did."""
        first, beside = self.open(), self.open(beside=True)
        self.successResultOf(beside.write(add, "a"))
        self.successResultOf(Deferred.fromCoroutine(beside.close()))
        self.successResultOf(first.write(add, "b"))
        self.assertEqual(self.names(first), ["a", "b"])

    def test_after_a_kill(self) -> None:
        """The next one waits as long as the dead one could be thought alive, and takes over."""
        first = self.open()
        self.successResultOf(first.write(add, "a"))
        first.drop()
        opening = self.opening()
        self.env.clock.pump([1] * (LEASE_SECONDS - 1))
        self.assertNoResult(opening)
        self.env.clock.pump([1])
        second = self.successResultOf(opening)
        self.addCleanup(second.drop)
        self.assertEqual(self.names(second), ["a"])

    def test_taken_for_dead(self) -> None:
        """One that was held up for long changes nothing and tells nothing any more."""
        first = self.open()
        late = InlineEnv(seed=1)
        opening = Deferred.fromCoroutine(PostgresqlCatalog.open(late, self.address))
        late.clock.pump([1] * LEASE_SECONDS)
        second = self.successResultOf(opening)
        self.addCleanup(second.drop)
        self.failureResultOf(first.write(add, "a"), LeaseLost)
        self.assertRaises(LeaseLost, first.read, names)
        self.successResultOf(second.write(add, "b"))
        with capturedLogs() as told:
            self.env.clock.pump([RENEW_SECONDS] * 3)
        said = [formatEvent(event) for event in told]
        self.assertEqual(sum("stop this one" in line for line in said), 1, said)
        self.assertEqual(self.env.clock.getDelayedCalls(), [])
        self.assertEqual(self.names(second), ["b"])

    def test_taken_over_while_a_batch_begins_again(self) -> None:
        """Another coordinator waited for the lease's row, and gets it when a refused change has the
        batch run again: nothing of it is done."""
        first, other = self.open(), self.other()

        class TakenOver(Link):
            def rollback(self) -> None:
                super().rollback()
                other.execute("UPDATE leases SET holder = 'x' WHERE name = 'coordinator'")

        first._changes.link.drop()
        link = first._changes.link = TakenOver(self.address, WRITE)
        self.addCleanup(link.drop)
        self.env.held = []
        good, refused = first.write(add, "a"), first.write(add_and_refuse, "b")
        self.env.run_threads()
        for done in (good, refused):
            self.failureResultOf(done, LeaseLost)
        rows = other.execute("SELECT name FROM leases").fetchall()
        self.assertEqual(rows, [("coordinator",)])


class AwayTests(OpenCase):
    """A server to which no connection can be made, and each try takes its time."""

    def away(self) -> Link:
        tried = self.tried

        class Away(Link):
            def begin(self) -> None:
                tried.append(True)
                raise Unreachable("timeout expired")

        return Away(self.address, WRITE)

    def setUp(self) -> None:
        super().setUp()
        self.tried: list[bool] = []
        self.env.held = []

    def test_writes(self) -> None:
        """All that wait hear of one try."""
        self.catalog._changes.link.drop()
        self.catalog._changes.link = self.away()
        waiting = [self.catalog.write(add, str(n)) for n in range(100)]
        self.env.run_threads()
        for done in waiting:
            self.failureResultOf(done, Unavailable)
        self.assertEqual(len(self.tried), 1)

    def test_reads(self) -> None:
        """All that wait for one connection hear of one try."""
        link = self.away()
        waiting = [Call(names, ()) for _ in range(50)]
        left = iter(waiting)
        self.catalog._read_batch(link, lambda: next(left, None))
        for call in waiting:
            self.assertIsInstance(call.error, Unavailable)
        self.assertEqual(len(self.tried), 1)


class OpenTests(PostgresqlCase):
    def test_made_by_two(self) -> None:
        """An operator's task on an empty database while the coordinator starts: whoever is second
        takes the tables of the first."""
        link = Link(self.address, WRITE)
        self.addCleanup(link.drop)
        changes = Changes(link, lambda link: PostgresqlTransaction(link, self.env.random, 1), "it")
        setup = Setup("it", SCHEMA, "coordinator", PostgresqlCatalog.log)
        first: list[PostgresqlCatalog] = []

        def second(tx: Transaction) -> None:
            tx.one("SELECT 1")  # from here on it sees no changes of others
            if not first:
                first.append(self.open())
            setup.prepare(tx)

        changes.run(second)
        self.successResultOf(first[0].write(add, "a"))

    def test_newer_schema_is_refused(self) -> None:
        """An older program leaves a newer catalog as it is (U1)."""
        self.successResultOf(Deferred.fromCoroutine(self.open(schema=NEXT_SCHEMA).close()))
        self.assertIn("newer", self.refused_at_opening())

    def test_migration(self) -> None:
        """A newer program brings the tables along, and keeps the rows."""
        old = self.open()
        self.successResultOf(old.write(add, "a"))
        self.assertIn("start it again", self.refused_at_opening(schema=NEXT_SCHEMA, beside=True))
        self.successResultOf(Deferred.fromCoroutine(old.close()))
        new = self.open(schema=NEXT_SCHEMA)
        self.assertEqual(self.names(new), ["a"])
        self.assertEqual(self.successResultOf(new.read(_extra)), [])

    def test_migration_that_fails(self) -> None:
        """Half a change of schema leaves the old one."""
        self.successResultOf(Deferred.fromCoroutine(self.open().close()))
        broken = {**SCHEMA, NEXT: "CREATE TABLE extra (a INTEGER);\nfault;"}
        self.assertIn("fault", self.refused_at_opening(schema=broken))
        self.env.clock.pump([1] * LEASE_SECONDS)
        opening = self.opening()
        self.env.clock.pump([1] * LEASE_SECONDS)
        catalog = self.successResultOf(opening)
        self.addCleanup(catalog.drop)
        self.failureResultOf(catalog.read(_extra), psycopg.errors.UndefinedTable)

    def test_unknown_database(self) -> None:
        """A mistyped address is one sentence without login and password."""
        self.address = self.address.replace("postgres@", "postgres:hush@").replace("test", "nope")
        said = self.refused_at_opening()
        self.assertIn("nope", said)
        self.assertNotIn("hush", said)

    def test_other_texts(self) -> None:
        """A database that does not keep texts as UTF-8 is refused."""
        self.other().execute("CREATE DATABASE odd ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        self.address = self.server.address("odd")
        self.assertIn("UTF8", self.refused_at_opening())

    def test_not_durable(self) -> None:
        """Settings that lose acknowledged changes in a power cut are told in the log (REL 4)."""
        self.address += "&options=-csynchronous_commit%3Doff"
        with capturedLogs() as told:
            self.open()
        settings = [event["setting"] for event in told if "setting" in event]
        self.assertEqual(settings, ["synchronous_commit"])


def _extra(tx: Transaction) -> list[Any]:
    return tx.all("SELECT * FROM extra")


#: writes rows from 16 callers and prints the name of each when its commit is acknowledged
WRITER = """
import sys
from twisted.internet import defer, task
from pigpen.coordinator.catalog.postgresql import PostgresqlCatalog
from pigpen.errors import Unavailable
from pigpen.system import SystemEnv

def add(tx, name):
    tx.run("INSERT INTO leases (name, holder, expires) VALUES (?, ?, 0)", name, "x" * 500)
    tx.run("INSERT INTO leases (name, holder, expires) VALUES (?, '', 0)", name + "-twin")

async def main(reactor):
    catalog = await PostgresqlCatalog.open(SystemEnv(reactor), sys.argv[1])
    print("open", flush=True)
    async def caller(number):
        for n in range(1_000_000):
            try:
                await catalog.write(add, f"x{number}-{n}")
            except Unavailable as error:
                print("refused", error, flush=True)
                await task.deferLater(reactor, 0.05)
            else:
                print(f"x{number}-{n}", flush=True)
    await defer.gatherResults([defer.Deferred.fromCoroutine(caller(n)) for n in range(16)])

task.react(lambda reactor: defer.Deferred.fromCoroutine(main(reactor)))
"""


class KillTests(ServerCase):
    """The server itself dies."""

    def setUp(self) -> None:
        super().setUp()
        self.address = self.server.make_database()

    def test_killed_and_back(self) -> None:
        """kill -9 of the server while 16 clients write: 503 until it is back, then it goes on; what
        was acknowledged is there, nothing is there in part."""
        output = self.mktemp()
        with open(output, "wb") as out:
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITER, self.address], stdout=out, stderr=out, cwd=ROOT
            )
        self.addCleanup(_end, writer)

        def said() -> list[str]:
            with open(output) as file:
                return file.read().splitlines()

        until(lambda: len(said()) > 200, "the first rows")
        self.server.kill()
        until(lambda: any(line.startswith("refused") for line in said()), "a refusal")
        self.server.recover()
        before = len(said())
        until(lambda: sum(line[0] == "x" for line in said()[before:]) > 200, "more rows")
        _end(writer)
        acknowledged = {line for line in said() if line[0] == "x"}
        with psycopg.connect(self.address) as connection:
            rows = connection.execute("SELECT name FROM leases WHERE name LIKE 'x%'").fetchall()
        found = {name for (name,) in rows}
        whole = {name for name in found if not name.endswith("-twin")}
        self.assertEqual(acknowledged - found, set())
        self.assertEqual(found, whole | {f"{name}-twin" for name in whole})
        strange = [line for line in said() if not line.startswith(("x", "refused", "open"))]
        self.assertEqual([line for line in strange if "Traceback" in line], [])


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
