"""The catalog in real processes: killed in mid-commit, opened twice, without a /tmp."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.faults import mount_full, unmount

#: the checkout, from which pigpen is imported whether installed or not
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

#: writes rows from 16 callers and prints the name of each when its commit is acknowledged
WRITER = """
import sys
from twisted.internet import defer, task
from pigpen.coordinator.catalog.sqlite import SqliteCatalog
from pigpen.system import SystemEnv

def add(tx, name):
    tx.run("INSERT INTO leases (name, holder, expires) VALUES (?, ?, 0)", name, "x" * 500)

async def main(reactor):
    catalog = await SqliteCatalog.open(SystemEnv(reactor), sys.argv[1])
    print("open", flush=True)
    async def caller(number):
        for n in range(100_000):
            await catalog.write(add, f"{number}-{n}")
            print(f"{number}-{n}", flush=True)
    await defer.gatherResults([defer.Deferred.fromCoroutine(caller(n)) for n in range(16)])

task.react(lambda reactor: defer.Deferred.fromCoroutine(main(reactor)))
"""

#: changes many pages while another change of the same commit is undone, then sorts what it wrote
SORTER = """
import sys
from twisted.internet import defer, task
from pigpen.coordinator.catalog.sqlite import SqliteCatalog
from pigpen.system import SystemEnv

def fill(tx):
    for n in range(5000):
        tx.run("INSERT INTO leases (name, holder, expires) VALUES (?, ?, 0)", str(n), "x" * 500)

def refused(tx):
    tx.run("DELETE FROM leases WHERE name = '0'")
    raise LookupError

def change(tx):
    tx.run("UPDATE leases SET holder = hex(randomblob(250))")

async def main(reactor):
    catalog = await SqliteCatalog.open(SystemEnv(reactor), sys.argv[1])
    await catalog.write(fill)
    calls = [catalog.write(refused), catalog.write(change)]
    print(await defer.DeferredList(calls, consumeErrors=True))
    print(len(await catalog.read(lambda tx: tx.all("SELECT * FROM leases ORDER BY holder"))))

task.react(lambda reactor: defer.Deferred.fromCoroutine(main(reactor)))
"""


class FullTemporaryTests(SynchronousTestCase):
    def test_temporary_folder_full(self) -> None:
        """A full /tmp: large changes and sorts of the catalog, whose disk has room, go on (D6)."""
        folder = Path(self.mktemp()).absolute()
        full = folder / "tmp"
        mount_full(full)
        self.addCleanup(unmount, full)
        done = subprocess.run(
            [sys.executable, "-c", SORTER, str(folder / "catalog.sqlite")],
            capture_output=True,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(full)},
            check=False,
        )
        said = done.stdout.decode()
        self.assertIn("(True, None)", said, done.stderr)
        self.assertTrue(said.endswith("\n5000\n"), (said, done.stderr))


class KillTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = os.path.join(os.path.abspath(self.mktemp()), "catalog.sqlite")
        os.makedirs(os.path.dirname(self.path))

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, self.path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()

    def rows(self) -> set[str]:
        connection = sqlite3.connect(self.path)
        self.addCleanup(connection.close)
        check = connection.execute("PRAGMA integrity_check").fetchone()
        self.assertEqual(check, ("ok",))
        return {row[0] for row in connection.execute("SELECT name FROM leases")}

    def test_killed_in_mid_commit(self) -> None:
        """kill -9 under load: every acknowledged change is there, the file is whole (C5)."""
        process = self.start()
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(501)]
        process.send_signal(signal.SIGKILL)
        # not communicate(): it passes over what readline() has in its buffer
        rest = process.stdout.read()
        # the last line may be torn
        acknowledged = {line.strip() for line in [*lines[1:], *rest.splitlines(True)[:-1]]}
        self.assertEqual(lines[0], "open\n")
        self.assertGreaterEqual(len(acknowledged), 500)
        self.assertEqual(acknowledged - self.rows(), set())

    def test_second_process(self) -> None:
        """A second coordinator on the same file says so and ends; the first goes on (K2)."""
        first = self.start()
        assert first.stdout is not None
        self.assertEqual(first.stdout.readline(), "open\n")
        second = self.start()
        _, errors = second.communicate(timeout=20)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn("another coordinator", errors)
        self.assertNotEqual(first.stdout.readline(), "")
        # the lock goes with the process, however it ends
        first.kill()
        first.wait()
        third = self.start()
        assert third.stdout is not None
        self.assertEqual(third.stdout.readline(), "open\n")
