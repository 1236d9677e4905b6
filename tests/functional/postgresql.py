"""A PostgreSQL server of the tests: its own cluster, on a socket in a folder, under no root."""

from __future__ import annotations

import atexit
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.observing import until

#: durable as it would be for users; small, and quick to begin
SETTINGS = (
    "listen_addresses=",
    "shared_buffers=16MB",
    "max_connections=50",
    "log_min_messages=fatal",
)


def programs() -> Path | None:
    """The folder of its programs, newest version; None: not installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return Path(found[-1]).parent if found else None


class Server:
    """A cluster that starts, stops and dies as a test wants it."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self.folder = Path(tempfile.mkdtemp(prefix="pigpen-postgresql-"))
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.folder, self._user, self._user)
        self._data = self.folder / "data"
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-E", "UTF8", "-U", "postgres",
                  "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        self._databases = 0

    def start(self) -> None:
        options = " ".join(f"-c {one}" for one in SETTINGS) + f" -k {self.folder}"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        """:param how: "fast": connections end with 57P01; "immediate": as in a crash."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", how, "stop")

    def kill(self) -> None:
        """SIGKILL of the server and all its processes."""
        first = int((self._data / "postmaster.pid").read_text().split()[0])
        listed = subprocess.run(
            ["pgrep", "-P", str(first)], capture_output=True, text=True, check=False
        )
        for pid in (first, *map(int, listed.stdout.split())):
            os.kill(pid, signal.SIGKILL)

    def recover(self) -> None:
        """Start after `kill`, once its processes have left their shared memory."""

        def started() -> bool:
            try:
                self.start()
            except subprocess.CalledProcessError:
                return False
            return True

        until(started, "PostgreSQL after a kill")

    def address(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def make_database(self) -> str:
        """The address of a new, empty one."""
        self._databases += 1
        name = f"test{self._databases}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.address(name)

    def close(self) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", self._user, "--", *command]
        # its log is a file: a pipe would stay open as long as the server
        with open(self.folder / "output", "ab") as output:
            subprocess.run(
                command, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd="/", timeout=60,
            )  # fmt: skip


_shared: list[Server] = []


def shared_server() -> Server:
    """One for all tests that leave it running."""
    if not _shared:
        server = Server()
        atexit.register(server.close)
        server.start()
        _shared.append(server)
    return _shared[0]


class ServerCase(SynchronousTestCase):
    """A test with a server of its own, which it may stop and kill."""

    if programs() is None:
        skip = "PostgreSQL is not installed"

    def setUp(self) -> None:
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
