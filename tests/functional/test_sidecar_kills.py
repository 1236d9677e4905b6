"""kill -9 of a gateway with a sidecar, in the middle of MOVE, COPY, DELETE and PUT (DAV-136).

In simulation it dies at every step (`test_stores_sidecar_jobs`); here it is a process, the sidecar
a file on a disk, and the store another process that lives on.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.observing import until
from tests.functional.solo import ROOT, free_ports

FILES = 30
NAMES = [f"f{number}" for number in range(FILES)]


class Part:
    """A process of `sidecar_server`."""

    def __init__(self, folder: str | Path, port: int, *store_url: str) -> None:
        module = "tests.functional.sidecar_server"
        command = [sys.executable, "-m", module, str(folder), str(port), *store_url]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().decode().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class KillTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pigpen-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        store_port, self.port = free_ports(2)
        self.store_url = f"http://127.0.0.1:{store_port}/"
        self.url = f"http://127.0.0.1:{self.port}/"
        store = Part("--store", store_port)
        self.addCleanup(store.kill)
        self.session = requests.Session()
        self.addCleanup(self.session.close)
        self.gateway = self.start()
        self.addCleanup(lambda: self.gateway.kill())

    def start(self) -> Part:
        gateway = Part(self.folder, self.port, self.store_url)
        self.assertEqual(gateway.said, "listening")
        self.session.close()
        return gateway

    def ask(self, method: str, path: str, **more: Any) -> int:
        return self.session.request(method, self.url + path, timeout=30, **more).status_code

    def read(self, folder: str) -> dict[str, bytes]:
        """The files of a folder, as a client finds them."""
        found = {}
        for name in NAMES:
            answer = self.session.get(f"{self.url}{folder}/{name}", timeout=30)
            self.assertIn(answer.status_code, {200, 404})
            if answer.status_code == 200:
                found[name] = answer.content
        return found

    def gate(self, count: str | None = None) -> list[str]:
        """See `GatedStore`. :param count: of requests that it lets in; "": all."""
        method, data = ("GET", None) if count is None else ("POST", count.encode())
        return requests.request(
            method, self.store_url + "-gate", data=data, timeout=30
        ).text.split()

    def dies_during(self, method: str, path: str, what: Callable[[], bool], **more: Any) -> None:
        """Begin a request; the gateway is killed once `what` is so, and started again."""

        def begin() -> None:
            with contextlib.suppress(requests.RequestException):
                requests.request(method, self.url + path, timeout=30, **more)

        client = threading.Thread(target=begin)
        client.start()
        try:
            until(what, f"{method} to be under way")
        finally:
            self.gateway.kill()
            client.join()
        self.gate("")

    def dies_in_job(self, method: str, after: int) -> None:
        """Between the job's requests to the store."""
        headers = {"Destination": self.url + "t"} if method != "DELETE" else {}
        self.gate(str(after))
        self.dies_during(method, "s", lambda: "halted" in self.gate(), headers=headers)
        with contextlib.closing(sqlite3.connect(self.folder / "sidecar.sqlite")) as connection:
            (count,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
        self.assertEqual(count, 1)
        self.gateway = self.start()

    def test_killed(self) -> None:
        """Old or new, whole; the lock is kept; nothing stays in the way."""
        old = {name: name.encode() * 1000 for name in NAMES}
        other = {name: b"other" + name.encode() for name in NAMES[:5]}
        self.assertEqual(self.ask("PUT", "locked", data=b"mine"), 201)
        self.assertEqual(self.ask("LOCK", "locked", data=LOCK, headers={"Timeout": "Second-3000"}),
                         200)  # fmt: skip
        for method, after in itertools.product(("MOVE", "COPY", "DELETE"), (1, 10, 25)):
            self.fill("s", old)
            self.fill("t", other)
            self.dies_in_job(method, after)
            found = self.read("s"), self.read("t")
            before, after = (old, other), ({} if method != "COPY" else old, old)
            if method == "DELETE":
                after = ({}, other)
            self.assertIn(found, (before, after), method)
            self.assertEqual(self.ask("PUT", "locked", data=b"not mine"), 423)
        self.fill("s", old)
        self.gate("")
        self.dies_during("PUT", "s/f1", lambda: "PUT" in self.gate(), data=self.half(b"new" * 1000))
        self.gateway = self.start()
        self.assertEqual(self.read("s"), old)

    def half(self, data: bytes) -> Iterator[bytes]:
        """A body that comes to its end when the gateway is dead."""
        yield data[: len(data) // 2]
        until(lambda: self.gateway.process.poll() is not None)
        yield data[len(data) // 2 :]

    def fill(self, folder: str, files: dict[str, bytes]) -> None:
        self.assertIn(self.ask("DELETE", folder), {204, 404})
        self.assertEqual(self.ask("MKCOL", folder), 201)
        for name, data in files.items():
            self.assertEqual(self.ask("PUT", f"{folder}/{name}", data=data), 201)

    def test_second_gateway(self) -> None:
        """A second process on the same sidecar ends at once, and says why."""
        second = Part(self.folder, free_ports(1)[0], self.store_url)
        self.assertIn("another gateway uses it", second.said)
        second.process.wait(10)
        second.kill()
        self.assertEqual(self.ask("PUT", "a", data=b"1"), 201)


LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
