"""Processes killed, gone, or without room below a gateway: old or new, whole (DAV-136)."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import quote, unquote

import requests
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud, Part
from tests.functional.faults import mount_small, strace, unmount
from tests.functional.gateways import gateway_to
from tests.functional.observing import until
from tests.functional.webdav import ALL_TESTS

MIB = 2**20
LOCK = (
    '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
    "<locktype><write/></locktype></lockinfo>"
)
PROPERTY = (
    '<propertyupdate xmlns="DAV:"><set><prop><k xmlns="n:">v</k></prop></set></propertyupdate>'
)


class FaultCase(SynchronousTestCase):
    """A cloud of its own, with a gateway."""

    def setUp(self) -> None:
        self.cloud = Cloud(self.mktemp())
        self.addCleanup(self.cloud.stop)
        self.start_cloud()
        self.gateway = gateway_to(self.cloud.home, "--infinity")
        self.addCleanup(self.gateway.kill)
        self.gateway.start()
        self.url = f"http://127.0.0.1:{self.gateway.port}/"

    def start_cloud(self) -> None:
        self.cloud.start()

    def ask(
        self, method: str, name: str, data: bytes | str = b"", **headers: str
    ) -> requests.Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, self.url + name, data=data, headers=fields, timeout=60)

    def do(self, method: str, name: str, data: bytes | str = b"", **headers: str) -> None:
        answer = self.ask(method, name, data, **headers)
        assert answer.ok, (method, name, answer.status_code, answer.text)

    def get(self, name: str) -> bytes:
        answer = self.ask("GET", name)
        assert answer.status_code == 200, (name, answer.status_code)
        return answer.content

    def names(self, name: str = "") -> set[str]:
        """All below a collection; empty if it is not there."""
        answer = self.ask("PROPFIND", name, Depth="infinity")
        if answer.status_code == 404:
            return set()
        assert answer.status_code == 207, answer.text
        paths = re.findall("<D:response><D:href>([^<]*)</D:href>", answer.text)
        return {unquote(path).removeprefix("/" + name) for path in paths} - {""}

    def restart(self, *parts: Part) -> None:
        """Kill them all, then start them one after the other."""
        for part in parts:
            part.kill()
        for part in parts:
            part.start()

    def slow_put(self, name: str, data: bytes, seconds: int) -> subprocess.Popen[bytes]:
        """Returns when a host has some of it."""
        path = self.cloud.home / "data"
        path.write_bytes(data)
        process = subprocess.Popen(
            ["curl", "-s", "-T", str(path), "--limit-rate", str(len(data) // seconds),
             "-o", os.devnull, "-w", "%{http_code}", self.url + name],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until(self.is_arriving)
        return process

    def status_of(self, upload: subprocess.Popen[bytes]) -> int:
        """Of its answer; 0 for none: a 100 before a cut is none."""
        said, _ = upload.communicate(timeout=60)
        return int(said) if upload.returncode == 0 else 0

    def is_arriving(self) -> bool:
        """Whether a host has some bytes of an upload under way."""
        folder = self.cloud.blobs / "incoming"
        with contextlib.suppress(FileNotFoundError):
            return any(path.stat().st_size > 100_000 for path in folder.iterdir())
        return False


class KilledPutTests(FaultCase):
    """kill -9 in the middle of an upload."""

    def test_gateway(self) -> None:
        """The old file stays, whole, no other name appears, and the next upload works."""
        old, new = os.urandom(300_000), os.urandom(2 * MIB)
        self.do("PUT", "f", old)
        for name in ("f", "g"):
            upload = self.slow_put(name, new, 5)
            self.restart(self.gateway)
            assert self.status_of(upload) == 0
            assert self.get("f") == old
            assert self.names() == {"f"}
        self.do("PUT", "f", new)
        assert self.get("f") == new

    def test_coordinator(self) -> None:
        """Killed and started again, the coordinator costs no upload."""
        old, new = os.urandom(300_000), os.urandom(2 * MIB)
        self.do("PUT", "f", old)
        upload = self.slow_put("f", new, 3)
        self.restart(self.cloud.coordinator)
        assert self.get("f") == old
        assert self.status_of(upload) == 204
        assert self.get("f") == new
        assert self.names() == {"f"}

    if ALL_TESTS:

        def test_coordinator_gone(self) -> None:
            """Gone for longer, the client is told that nobody knows, and what it then finds is the
            old file or the new one."""
            old, new = os.urandom(300_000), os.urandom(2 * MIB)
            self.do("PUT", "f", old)
            upload = self.slow_put("f", new, 1)
            self.cloud.coordinator.kill()
            assert self.status_of(upload) in {503, 504}
            self.cloud.coordinator.start()
            assert self.get("f") in (old, new)
            assert self.names() == {"f"}
            self.do("PUT", "f", old)
            assert self.get("f") == old


class KilledTreeTests(FaultCase):
    """kill -9 in MOVE, COPY and DELETE of a tree with many members."""

    def setUp(self) -> None:
        super().setUp()
        self.do("MKCOL", "first/")
        for number in range(20):
            self.do("PUT", f"first/{number}", bytes(number * 300))
        self.do("MKCOL", "kept/")
        for number in range(20):
            self.do("COPY", "first/", Destination=f"{self.url}kept/{number}/")
        self.whole = self.names("kept/")
        assert len(self.whole) == 420
        self.do("COPY", "kept/", Destination=self.url + "t/")

    def change(self, method: str, part: Part, call: str, when: int) -> None:
        """t/ is moved or copied to u/, or deleted, while a process is killed at a system call."""
        fields = {} if method == "DELETE" else {"Destination": self.url + "u/"}
        status = 0
        with (
            strace(part.pid, call, f"signal=KILL:when={when}"),
            contextlib.suppress(requests.ConnectionError),
        ):
            status = self.ask(method, "t/", **fields).status_code
        point = (method, part.name, call, when, status)
        assert part.process is not None
        assert part.process.wait(5) == -9, point
        assert status in {0, 201, 204, 503, 504}, point
        self.restart(part)
        found = (self.names("t/"), self.names("u/"))
        whole, none = self.whole, set[str]()
        new = {"MOVE": (none, whole), "COPY": (whole, whole), "DELETE": (none, none)}[method]
        # what was answered is so
        states = [new] if status in {201, 204} else [new, (whole, none)]
        assert found in states, (point, [len(names) for names in found])
        for name, names in zip(("t/", "u/"), found, strict=True):
            if names:
                assert self.get(name + "19/19") == bytes(19 * 300), point
        if found != (whole, none):
            for name in ("t/", "u/"):
                if self.ask("HEAD", name).status_code != 404:
                    self.do("DELETE", name)
            self.do("COPY", "kept/", Destination=self.url + "t/")

    def test_coordinator(self) -> None:
        """The coordinator, at steps of the catalog's commit."""
        for method in ("MOVE", "COPY", "DELETE"):
            for call, when in (("pwrite64", 2), ("fdatasync", 1), ("sendto", 1)):
                self.change(method, self.cloud.coordinator, call, when)

    def test_gateway(self) -> None:
        """The gateway, before it asks and before it answers."""
        for method in ("MOVE", "COPY", "DELETE"):
            for when in (1, 2):
                self.change(method, self.gateway, "sendto", when)


class LockTests(FaultCase):
    def test_restarts(self) -> None:
        """A lock is still held after gateway and coordinator were killed and started again, and
        its holder goes on with it (DAV-45)."""
        self.do("MKCOL", "d/")
        self.do("PUT", "d/f", b"one")
        answer = self.ask("LOCK", "d/", LOCK, Timeout="Second-3000")
        token = answer.headers["Lock-Token"]
        self.restart(self.cloud.coordinator, self.gateway)
        assert self.ask("PUT", "d/f", b"two").status_code == 423
        assert self.ask("DELETE", "d/").status_code == 423
        assert token.strip("<>") in self.ask("PROPFIND", "d/f", Depth="0").text
        self.do("PUT", "d/f", b"three", If=f"<{self.url}d/> ({token})")
        self.do("UNLOCK", "d/", Lock_Token=token)
        self.do("PUT", "d/f", b"four")
        assert self.get("d/f") == b"four"


class GoneTests(FaultCase):
    """No answer from below is 503 or 504, never 404, never an empty or cut listing (DAV-4)."""

    def test_coordinator_gone(self) -> None:
        """Every method says 503 and when to try again; all works when it is back."""
        self.do("PUT", "f", bytes(200))
        self.do("PUT", "large", bytes(300_000))
        self.do("MKCOL", "d/")
        token = self.ask("LOCK", "d/", LOCK).headers["Lock-Token"]
        self.cloud.coordinator.kill()
        destination = {"Destination": self.url + "g"}
        for method, name, data, fields in (
            ("PROPFIND", "", "", {"Depth": "1"}),
            ("PROPFIND", "d/", "", {"Depth": "0"}),
            ("GET", "", "", {}),
            ("GET", "f", "", {}),
            ("HEAD", "f", "", {}),
            ("GET", "large", "", {}),
            ("GET", "nothing", "", {}),
            ("PUT", "f", "new", {}),
            ("DELETE", "f", "", {}),
            ("MKCOL", "e/", "", {}),
            ("MOVE", "f", "", destination),
            ("COPY", "f", "", destination),
            ("PROPPATCH", "f", PROPERTY, {}),
            ("LOCK", "f", LOCK, {}),
            ("LOCK", "d/", "", {"If": f"({token})"}),
            ("UNLOCK", "d/", "", {"Lock_Token": token}),
        ):
            answer = self.ask(method, name, data, **fields)
            assert answer.status_code in {503, 504}, (method, name, answer.status_code)
            assert int(answer.headers["Retry-After"]) > 0, (method, name)
        assert self.ask("OPTIONS", "f").status_code == 200
        self.cloud.coordinator.start()
        self.assertEqual(self.names(), {"f", "large", "d/"})
        assert self.get("f") == bytes(200)

    def test_in_a_listing(self) -> None:
        """A listing that cannot be completed is cut, so that no client takes it for whole."""
        self.do("MKCOL", "d/")
        long = quote("€" * 80)
        self.do("PUT", f"d/{long}", b"1")
        for number in range(400):
            self.do("COPY", f"d/{long}", Destination=f"{self.url}d/{number}{long}")
        whole = self.ask("PROPFIND", "d/", Depth="1")
        assert whole.text.count("<D:response>") == 402
        with strace(
            self.cloud.coordinator.pid, "sendto,sendmsg,writev,write", "signal=KILL:when=3"
        ):
            try:
                answer = self.ask("PROPFIND", "d/", Depth="1")
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                pass  # it was cut
            else:
                assert answer.status_code in {503, 504}, (answer.status_code, answer.text[:1000])
        self.restart(self.cloud.coordinator)
        assert self.ask("PROPFIND", "d/", Depth="1").text == whole.text

    def test_host_gone(self) -> None:
        """What needs a host is refused with 503, and nothing is changed; the rest goes on. A host
        that comes back in time costs no download."""
        large = os.urandom(4 * MIB)
        self.do("PUT", "large", large)
        self.cloud.host.kill()
        for method in ("GET", "PUT"):
            answer = self.ask(method, "large", bytes(300_000) if method == "PUT" else b"")
            assert answer.status_code == 503, (method, answer.status_code)
            assert int(answer.headers["Retry-After"]) > 0, method
        assert self.ask("HEAD", "large").headers["Content-Length"] == str(len(large))
        self.do("PUT", "small", b"1")
        assert self.names() == {"large", "small"}
        self.cloud.host.start()
        assert self.get("large") == large


class FullTests(FaultCase):
    """Disks that fill up."""

    def start_cloud(self) -> None:
        self.disks = {}
        for name, size in (("host", "48M"), ("coordinator", "12M")):
            disk = self.cloud.home / f"{name}-disk"
            mount_small(disk, size)
            self.addCleanup(unmount, disk)
            self.disks[name] = disk
        self.cloud.host.folder = self.cloud.blobs = self.disks["host"] / "host"
        self.cloud.coordinator.folder = self.disks["coordinator"] / "coordinator"
        self.cloud.start("--floor=0")

    def fill(self, disk: Path) -> Path:
        other = disk / "other"
        with other.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        return other

    def test_host(self) -> None:
        """A large file is refused, the old one stays, small files go on."""
        old = os.urandom(MIB)
        self.do("PUT", "f", old)
        self.fill(self.disks["host"])
        self.refuses("PUT", "f", bytes(3 * MIB))
        assert self.get("f") == old
        assert self.names() == {"f"}
        self.do("PUT", "small", b"1")

    def test_catalog(self) -> None:
        """Every change is refused and leaves all as it was; reading goes on."""
        self.do("PUT", "f", b"1" * 200)
        self.do("PUT", "large", bytes(100_000))
        self.do("MKCOL", "d/")
        other = self.fill(self.disks["coordinator"])
        # its log may have some room left in its file
        until(lambda: not self.ask("PROPPATCH", "f", PROPERTY).ok)
        before = self.listing()
        self.refuses("PUT", "f", b"new")
        destination = {"Destination": self.url + "g"}
        self.refuses("MKCOL", "e/")
        self.refuses("PROPPATCH", "f", PROPERTY)
        self.refuses("LOCK", "f", LOCK)
        self.refuses("COPY", "f", **destination)
        self.refuses("MOVE", "f", **destination)
        self.refuses("DELETE", "f")
        assert self.listing() == before
        assert self.get("f") == b"1" * 200
        assert self.get("large") == bytes(100_000)
        other.unlink()
        until(lambda: self.ask("PUT", "f", b"2").ok)
        assert self.get("f") == b"2"

    def refuses(self, method: str, name: str, data: bytes | str = b"", **headers: str) -> None:
        answer = self.ask(method, name, data, **headers)
        assert answer.status_code in {503, 507}, (method, answer.status_code, answer.text)

    def listing(self) -> str:
        return self.ask("PROPFIND", "", Depth="infinity").text
