"""Clients that are slow or far too many: they are cut, and others are served all the time."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud
from tests.functional.observing import connected, descriptors, until, until_at_rest
from tests.functional.processes import run
from tests.functional.solo import ROOT

MIB = 2**20


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def closed(connection: socket.socket) -> bool:
    """Whether the server has ended it; what it said before is dropped."""
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


class SlowTests(SynchronousTestCase):
    """The limits are those of `ServerLimits`, with seconds in place of minutes."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        with (folder / "large").open("wb") as file:
            file.truncate(100 * MIB)
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.functional.file_server", str(folder), "--hasty"],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self.addCleanup(self.server.communicate)
        self.addCleanup(self.server.kill)
        assert self.server.stdout is not None
        self.port = int(self.server.stdout.readline().split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.open: list[socket.socket] = []
        self.addCleanup(self.close)

    def close(self) -> None:
        for one in self.open:
            one.close()

    def many(self, count: int, first: bytes) -> list[socket.socket]:
        """Connections that have each sent `first`."""
        made = []
        for _ in range(count):
            made.append(connect(self.port))
            made[-1].sendall(first)
        self.open += made
        return made

    def serves(self) -> None:
        """Somebody else is served."""
        done = run("curl", "-sS", "-T", "/dev/null", f"http://127.0.0.1:{self.port}/sink")
        self.assertEqual(done.stdout, b"0", done.stderr)

    def cut(self, dribbling: set[socket.socket], idle: set[socket.socket]) -> bool:
        """Each sends one more byte, somebody is served; who was cut leaves the set.

        :return: whether all were.
        """
        for one in dribbling:
            with contextlib.suppress(OSError):
                one.send(b"a")
        self.serves()
        for waiting in (dribbling, idle):
            waiting.difference_update(list(filter(closed, waiting)))
        return not dribbling | idle

    def test_slow_clients(self) -> None:
        """800 clients that send their headers or bodies byte by byte, or do not read what they
        asked for: each is cut at its deadline, however it dribbles; the next one is served all the
        while, also with 1,100 connections, beyond the limit once some of them were cut (E1)."""
        self.serves()
        until_at_rest(self.server.pid)
        before = descriptors(self.server.pid)
        put = b"PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
        heads = self.many(300, b"GET /sink HTTP/1.1\r\nHost: a\r\nX: ")
        bodies = self.many(300, put)
        readers = self.many(20, b"GET /file/large HTTP/1.1\r\nHost: a\r\n\r\n")
        idle = self.many(200, b"")
        self.serves()
        until(partial(self.cut, {*heads, *bodies}, {*idle}), "all to be cut")
        # only who reads nothing is left: those have a longer time, and end with less than all
        until(lambda: descriptors(self.server.pid) <= before, "the readers to be cut")
        for one in readers:
            one.settimeout(5)
            received = 0
            with contextlib.suppress(ConnectionError):
                while chunk := one.recv(MIB):
                    received += len(chunk)
            self.assertLess(received, 100 * MIB)
        self.serves()
        more = self.many(1100, b"")
        until(lambda: sum(map(closed, more)) >= 100)
        until(lambda: all(map(closed, more)))
        self.serves()


class CrowdTests(SynchronousTestCase):
    def test_crowd(self) -> None:
        """Hundreds come in one moment, while the coordinator does something else: nobody is left
        to the retries of his own system, which come after 1, 3, 7 seconds."""
        cloud = Cloud(self.mktemp())
        self.addCleanup(cloud.stop)
        cloud.coordinator.start()
        assert cloud.coordinator.process is not None
        cloud.coordinator.process.send_signal(signal.SIGSTOP)
        # while it stands still, one more than it may keep waiting would never be connected
        crowd = [connect(cloud.coordinator.port) for _ in range(300)]
        cloud.coordinator.process.send_signal(signal.SIGCONT)
        for one in crowd:
            with one:
                one.sendall(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(one.recv(12), b"HTTP/1.1 200")


class DescriptorTests(SynchronousTestCase):
    def test_few_descriptors(self) -> None:
        """A coordinator and a host that may open 80 files, and 100 clients at once on each: who
        is not served waits or gets a 503; nothing breaks, and when they leave all is well (D6)."""
        cloud = Cloud(self.mktemp())
        self.addCleanup(cloud.stop)
        for part in (cloud.coordinator, cloud.host):
            part.wrapper = ("prlimit", "--nofile=80")
        cloud.start()
        data = os.urandom(100_000)
        for number in range(8):
            self.assertEqual(cloud.put(f"film{number}", data), 201)
        crowd = [connect(part.port) for part in (cloud.coordinator, cloud.host) for _ in range(100)]
        try:
            (cloud.home / "data").write_bytes(data)
            uploads = [self.upload(cloud, number) for number in range(20)]
            until(
                lambda: all(one.poll() is not None or connected(one.pid) for one in uploads),
                "all uploads to be connected",
            )
            for part in (cloud.coordinator, cloud.host):
                until_at_rest(part.pid)
        finally:
            for one in crowd:
                one.close()
        for upload in uploads:
            said, errors = upload.communicate(timeout=30)
            self.assertIn(said, {b"201", b"503", b"507", b"000"}, errors)
        until(lambda: cloud.get("film0") == (200, data))
        for number in range(8):
            self.assertEqual(cloud.get(f"film{number}"), (200, data))
        until(lambda: cloud.put("after", data) in {201, 204})
        self.assertEqual(cloud.incoming(), [])
        self.assertEqual(cloud.host_status()["state"], "up")
        for part in (cloud.host, cloud.coordinator):
            self.assertNotIn("Traceback", part.log())
            self.assertEqual(part.stop(), 0)

    def upload(self, cloud: Cloud, number: int) -> subprocess.Popen[bytes]:
        upload = subprocess.Popen(
            cloud.curl_command(
                f"new{number}", "-T", "data", "-o", os.devnull, "-w", "%{http_code}"
            ),
            cwd=cloud.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(upload.wait)
        self.addCleanup(upload.kill)
        return upload
