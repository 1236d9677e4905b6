"""Processes that are killed or stopped at the worst time: what was acknowledged is there."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud, Part
from tests.functional.faults import strace, strace_from_start
from tests.functional.observing import until

MIB = 2**20
#: one that the host begins to write before its end, one that it writes in one go, and one that
#: comes in one piece
SIZES = (300_000, 40_000, 300_000, 6_000)


class KillTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud(self.mktemp())
        self.addCleanup(self.cloud.stop)
        self.cloud.start()

    def test_host_killed_in_put(self) -> None:
        """kill -9 of a host at any step of an upload: the new version whole or the old one, no
        half upload is kept, and trying again works (C1)."""
        cloud, old = self.cloud, os.urandom(50_000)
        self.assertEqual(cloud.put("film", old), 201)
        points = [
            *(("openat", 1), ("write", 2), ("mkdir", 1), ("fsync", 1), ("fsync", 2)),
            *(("rename", 1), ("fsync", 3), ("sendto", 2), ("sendto", 3), ("sendto", 4)),
        ]
        for number, (call, when) in enumerate(points):
            new = os.urandom(SIZES[number % 4])
            with strace(cloud.host.pid, call, f"signal=KILL:when={when}"):
                status = cloud.put("film", new)
            assert cloud.host.process is not None
            self.assertEqual(cloud.host.process.wait(5), -signal.SIGKILL, (call, when))
            cloud.host.kill()
            cloud.host.start()
            point = (call, when, status)
            found = cloud.get("film")
            self.assertIn(found, [(200, old), (200, new)], point)
            if status in {201, 204}:
                self.assertEqual(found[1], new, point)
            left = cloud.incoming()
            self.assertEqual([one for one in left if f"{one}.json" not in left], [], point)
            old = os.urandom(SIZES[number % 4])
            self.assertIn(cloud.put("film", old), {201, 204}, point)
            self.assertEqual(cloud.get("film"), (200, old), point)

    def test_all_killed(self) -> None:
        """All are killed, and killed again while they start; then all come up, in any order, with
        everything (C4)."""
        cloud = self.cloud
        stored = {name: os.urandom(size) for name, size in (("a", 100), ("b", 100_000))}
        for name, data in stored.items():
            self.assertEqual(cloud.put(name, data), 201)
        for part in (cloud.host, cloud.coordinator):
            part.kill()
        for call, when in (("pwrite64", 1), ("pwrite64", 3), ("pread64", 6)):
            self.killed_in_start(cloud.coordinator, call, when)
        for call, when in (("flock", 1), ("mkdir", 9)):
            self.killed_in_start(cloud.host, call, when)
        cloud.coordinator.start()
        # as it writes down what the coordinator said
        self.killed_in_start(cloud.host, "rename", 1)
        cloud.coordinator.kill()
        cloud.host.launch()
        cloud.coordinator.start()
        until(lambda: "has accepted this host" in cloud.host.log(latest=True))
        for name, data in stored.items():
            self.assertEqual(cloud.get(name), (200, data))
        self.assertEqual(cloud.put("c", stored["b"]), 201)

    def killed_in_start(self, part: Part, call: str, when: int) -> None:
        part.wrapper = strace_from_start(call, f"signal=KILL:when={when}")
        process = part.launch()
        with contextlib.suppress(subprocess.TimeoutExpired):  # strace may miss the very last end
            process.wait(5)
        self.assertIn(process.poll(), (None, -signal.SIGKILL))
        self.assertNotIn(part.ready, part.log(latest=True))
        part.kill()
        part.wrapper = ()


class StopTests(SynchronousTestCase):
    def test_sigterm_in_transfers(self) -> None:
        """SIGTERM during a large upload and a large download: each process ends in the grace time
        with status 0, the one who downloads knows that it was cut, no connection is left hanging;
        after the start nothing is lost, and nothing is left of the upload once it is done (C6)."""
        cloud = Cloud(self.mktemp())
        self.addCleanup(cloud.stop)
        cloud.start()
        data = os.urandom(20 * MIB)
        (cloud.home / "data").write_bytes(data)
        self.assertEqual(cloud.put("down", data), 201)
        down = self.begin_download(cloud)
        up = self.in_background(
            cloud.curl_command(
                "up", "-T", str(cloud.home / "data"), "--fail", "--limit-rate", "500K"
            )
        )
        until(lambda: any(size > MIB for size in self.sizes(cloud)))
        self.assertEqual(cloud.host.stop(), 0)
        self.assertEqual(cloud.coordinator.stop(), 0)
        self.assertNotEqual(up.wait(10), 0)
        received = 0
        with contextlib.suppress(ConnectionError):
            while chunk := down.recv(MIB):
                received += len(chunk)
        self.assertLess(received, len(data))
        self.assertNotIn("Traceback", cloud.host.log() + cloud.coordinator.log())
        cloud.coordinator.start()
        cloud.host.start()
        self.assertEqual(cloud.get("up")[0], 404)
        self.assertEqual(cloud.get("down"), (200, data))
        self.assertEqual(cloud.put("up", data), 201)
        left = cloud.incoming()
        self.assertEqual(
            [one for one in left if f"{one.removesuffix('.json')}.json" not in left], []
        )

    def begin_download(self, cloud: Cloud) -> socket.socket:
        """Ask for it, and read nothing yet."""
        asking = cloud.curl_command("down", "-o", os.devnull, "-w", "%{redirect_url}")
        asking.remove("-L")
        url = subprocess.run(asking, capture_output=True, check=True).stdout.decode()
        connection = socket.create_connection(("127.0.0.1", cloud.host.port), timeout=20)
        self.addCleanup(connection.close)
        path = "/" + url.split("/", 3)[3]
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        self.assertEqual(connection.recv(12), b"HTTP/1.1 200")
        return connection

    def in_background(self, command: list[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def sizes(self, cloud: Cloud) -> list[int]:
        return [one.stat().st_size for one in (cloud.blobs / "incoming").iterdir()]
