"""The HTTP server as a process, and other people's clients: curl, requests, raw sockets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import select
import socket
import ssl
import subprocess
import sys
from http.client import HTTPResponse
from pathlib import Path

import requests
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.observing import descriptors, until, until_at_rest

ROOT = Path(__file__).parent.parent.parent
MIB = 1024 * 1024
#: what the server may take, whatever passes through it
MAX_MEMORY = 80 * MIB


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["curl", "-sS", "--max-time", "60", *arguments], capture_output=True, check=False
    )


class FileServerTests(SynchronousTestCase):
    options: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.server = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.functional.file_server", str(self.folder)),
                *self.options,
            ],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self.addCleanup(self.stop)
        assert self.server.stdout is not None
        self.port, self.tls_port = map(int, self.server.stdout.readline().split())
        self.url = f"http://127.0.0.1:{self.port}"
        self.tls_url = f"https://localhost:{self.tls_port}"

    def stop(self) -> None:
        self.server.kill()
        self.server.communicate()

    def memory(self) -> int:
        """The server's peak of resident memory so far, in bytes."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        (line,) = (text for text in status.splitlines() if text.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.addCleanup(connection.close)
        return connection

    def make_file(self, name: str, size: int) -> Path:
        """A file of `size` bytes, all holes."""
        path = self.folder / name
        with path.open("wb") as file:
            file.truncate(size)
        return path


class RefusalTests(FileServerTests):
    """A refused upload: the client gets the answer, not a reset."""

    STATUSES = (401, 413, 507, 307)

    def test_curl(self) -> None:
        """curl sees the status, with and without waiting for 100 Continue, of a file or a pipe."""
        path = str(self.make_file("upload", 100 * MIB))
        for status in self.STATUSES:
            for options in ([], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked"]):
                done = curl(
                    "-T", path, *options, "-o", "/dev/null", "-w", "%{http_code}",
                    f"{self.url}/{status}",
                )  # fmt: skip
                self.assertEqual(done.stdout, b"%d" % status, done.stderr)

    def test_client_that_writes_before_it_reads(self) -> None:
        """A client that only reads after it has written all 100 MB, or failed to, still finds the
        answer."""
        for status in self.STATUSES[:2]:
            connection = self.connect()
            head = f"PUT /{status} HTTP/1.1\r\nHost: a\r\nContent-Length: {100 * MIB}\r\n\r\n"
            connection.sendall(head.encode())
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    connection.sendall(bytes(MIB))
            answer = connection.recv(65536)
            self.assertEqual(answer[:12], b"HTTP/1.1 %d" % status)

    def test_requests(self) -> None:
        """Python's requests, which also writes first, sees the status."""
        with self.make_file("upload", 100 * MIB).open("rb") as body:
            answer = requests.put(f"{self.url}/413", data=body, timeout=30)
        self.assertEqual(answer.status_code, 413)


class MemoryTests(FileServerTests):
    """Memory is flat, whatever the size and whoever is slow."""

    def test_huge(self) -> None:
        """2 GiB up, and down from a file and from a generator, cost no memory."""
        path = str(self.make_file("huge", 2048 * MIB))
        done = curl("-T", path, "-H", "Expect:", f"{self.url}/sink")
        self.assertEqual(done.stdout, b"%d" % (2048 * MIB), done.stderr)
        for name in ("file/huge", f"zeros/{2048 * MIB}"):
            done = curl("-o", "/dev/null", "-w", "%{size_download}", f"{self.url}/{name}")
            self.assertEqual(done.stdout, b"%d" % (2048 * MIB), done.stderr)
        self.assertLess(self.memory(), MAX_MEMORY)

    def test_tls(self) -> None:
        """The same over TLS, where sendfile cannot be used."""
        path = str(self.make_file("large", 128 * MIB))
        done = curl("-k", "-T", path, "-H", "Expect:", f"{self.tls_url}/sink")
        self.assertEqual(done.stdout, b"%d" % (128 * MIB), done.stderr)
        for name in ("file/large", f"zeros/{128 * MIB}"):
            done = curl("-k", "-o", "/dev/null", "-w", "%{size_download}", f"{self.tls_url}/{name}")
            self.assertEqual(done.stdout, b"%d" % (128 * MIB), done.stderr)
        self.assertLess(self.memory(), MAX_MEMORY)

    def test_readers_that_stop(self) -> None:
        """100 clients that ask for 2 GiB and read nothing."""
        self.make_file("huge", 2048 * MIB)
        for number in range(100):
            name = "file/huge" if number % 2 else f"zeros/{2048 * MIB}"
            self.connect().sendall(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        self.assertEqual(curl("-T", "/dev/null", f"{self.url}/sink").stdout, b"0")
        self.assertLess(self.memory(), MAX_MEMORY)

    def test_handlers_that_stop(self) -> None:
        """20 uploads that their handler does not read: the clients are stopped."""
        connections: list[socket.socket] = []
        for _ in range(20):
            connection = self.connect()
            connection.sendall(
                b"PUT /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000\r\n\r\n"
            )
            connection.setblocking(False)
            connections.append(connection)
        until(lambda: not self.send_more(connections), "the server to take no more")
        self.assertEqual(curl("-T", "/dev/null", f"{self.url}/sink").stdout, b"0")
        self.assertLess(self.memory(), MAX_MEMORY)

    def send_more(self, connections: list[socket.socket]) -> int:
        """:return: how many bytes were taken while the server did what it could."""
        until_at_rest(self.server.pid)
        sent = 0
        for connection in connections:
            with contextlib.suppress(BlockingIOError):
                sent += connection.send(bytes(MIB))
        return sent


class SendingTests(FileServerTests):
    """Files by sendfile: the right bytes, or an abort."""

    def test_bytes(self) -> None:
        """Files of sizes around each limit arrive exactly, at a slow reader too."""
        source = random.Random(1)
        for size in (0, 1, 16 * 1024, 16 * 1024 + 1, 65_537, 20 * MIB + 1):
            data = source.randbytes(size)
            (self.folder / "data").write_bytes(data)
            for url in (self.url, self.tls_url):
                self.assertEqual(curl("-k", f"{url}/file/data").stdout, data)
        connection = self.connect()
        request = b"GET /file/data HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        connection.sendall(request)
        until_at_rest(self.server.pid)
        received = bytearray()
        while piece := connection.recv(50_000):
            received += piece
        _, _, body = bytes(received).partition(b"\r\n\r\n")
        self.assertEqual(hashlib.sha256(body).digest(), hashlib.sha256(data).digest())

    def test_keep_alive(self) -> None:
        """Large and small responses take turns on one connection."""
        (self.folder / "large").write_bytes(os.urandom(3 * MIB))
        (self.folder / "small").write_bytes(b"small")
        with requests.Session() as session:
            for name in ("large", "small", "large", "small"):
                answer = session.get(f"{self.url}/file/{name}", timeout=30)
                self.assertEqual(answer.content, (self.folder / name).read_bytes())

    def test_file_is_short(self) -> None:
        """A file that is shorter than promised is an error for the client, never a clean end."""
        for size in (10, 3 * MIB):
            (self.folder / "data").write_bytes(bytes(size))
            self.assertIn(curl(f"{self.url}/short/data").returncode, {18, 52, 56})


class CrowdTests(FileServerTests):
    options = ("--few",)

    def slow_reader(self, port: int) -> socket.socket:
        """One that has asked for 30,000 bytes, all of which are sent, and reads none of them."""
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", port))
        if port == self.tls_port:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            # nothing comes after the handshake but the answer
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            connection = context.wrap_socket(connection)
        connection.sendall(b"GET /file/small HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: select.select([connection], [], [], 0)[0], "the answer's beginning")
        until_at_rest(self.server.pid)
        return connection

    def read(self, connection: socket.socket) -> None:
        """Its whole answer. :raises ConnectionResetError: it was cut."""
        connection.settimeout(30)
        answer = HTTPResponse(connection)
        answer.begin()
        self.assertEqual(len(answer.read()), 30_000)

    def test_slow_reader_stays(self) -> None:
        """A newcomer takes the place of one who waits for nothing, not of one who has yet to read
        its answer, though that was asked for before."""
        self.make_file("small", 30_000)
        for port in (self.port, self.tls_port):
            slow = self.slow_reader(port)
            before = descriptors(self.server.pid)
            idle = self.connect()
            until(lambda before=before: descriptors(self.server.pid) > before)  # type: ignore[misc]
            requests.get(f"{self.url}/401", timeout=10)
            self.assertRaises(ConnectionResetError, idle.recv, 1)
            self.read(slow)
            slow.close()

    def test_slow_readers_only(self) -> None:
        """A crowd that does not read what it asked for keeps nobody out."""
        self.make_file("small", 30_000)
        readers = [self.slow_reader(self.port) for _ in range(2)]
        self.assertEqual(requests.get(f"{self.url}/401", timeout=10).status_code, 401)
        self.assertRaises(ConnectionResetError, self.read, readers[0])
        self.read(readers[1])
