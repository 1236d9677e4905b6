"""Thousands of connections, few descriptors, and slowhttptest: who asks for something is served."""

from __future__ import annotations

import csv
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud, Part
from tests.functional.observing import PAUSE_SECONDS, descriptors, resident, until, until_at_rest
from tests.functional.processes import run
from tests.functional.solo import ROOT
from tests.functional.test_overload import connect

MIB = 2**20
CROWD = 10_000
#: of this test, beside the crowd
SPARE_DESCRIPTORS = 100
#: what a service does for its connections every second falls among them
SWEEP_LOOKS = round(1.5 / PAUSE_SECONDS)


class CrowdTests(SynchronousTestCase):
    def setUp(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.most = min(CROWD, hard - SPARE_DESCRIPTORS)
        self.cloud = Cloud(self.mktemp())
        self.addCleanup(self.cloud.stop)

    def crowd(self, part: Part, count: int, first: bytes) -> None:
        """Many connect, send `first` and stay: all others are served meanwhile, and then the
        service is idle."""
        data = os.urandom(100_000)
        before = descriptors(part.pid)
        crowd = []
        try:
            for _ in range(count):
                crowd.append(connect(part.port))
                crowd[-1].sendall(first)
            self.assertEqual(self.cloud.put("film", data), 201)
            self.assertEqual(self.cloud.get("film"), (200, data))
            self.assertGreater(descriptors(part.pid), before + 50)  # they are still there
            until_at_rest(part.pid, SWEEP_LOOKS)
            self.assertLess(resident(part.pid), 80 * MIB)
        finally:
            for one in crowd:
                one.close()
        until(lambda: descriptors(part.pid) <= before + 2)
        self.assertEqual(self.cloud.get("film"), (200, data))
        self.assertEqual(run(*self.cloud.curl_command("film", "-X", "DELETE")).stdout, b"")

    def test_ten_thousand(self) -> None:
        """10,000 connections that ask for nothing, at the coordinator and at a host: others store
        and read at once, no processor time is lost, memory stays below 80 MiB (E1)."""
        self.cloud.start()
        for part in (self.cloud.coordinator, self.cloud.host):
            self.crowd(part, self.most, b"")
        for part in (self.cloud.host, self.cloud.coordinator):
            self.assertEqual(part.stop(), 0)
            self.assertNotIn("Traceback", part.log())

    def test_256_descriptors(self) -> None:
        """1,000 connections, with half a head each, to services that may open 256 files (E1)."""
        for part in (self.cloud.coordinator, self.cloud.host):
            part.wrapper = ("prlimit", "--nofile=256")
        self.cloud.start()
        for part in (self.cloud.coordinator, self.cloud.host):
            self.crowd(part, 1000, b"GET / HTTP/1.1\r\nX: ")
            self.assertLess(descriptors(part.pid), 256)
        for part in (self.cloud.host, self.cloud.coordinator):
            self.assertEqual(part.stop(), 0)
            self.assertNotIn("Traceback", part.log())


#: 300 connections each: headers that never end, bodies, answers read byte by byte
ATTACKS = {
    "headers": ("-H", "-i", "3", "-x", "24"),
    "bodies": ("-B", "-s", "40000", "-i", "3", "-x", "24"),
    "readers": ("-X", "-w", "1", "-y", "2", "-z", "1", "-n", "2", "-k", "3"),
}


class SlowHttpTests(SynchronousTestCase):
    def test_slowhttptest(self) -> None:
        """slowhttptest's three attacks at once, 900 connections: the service is available to its
        probes and to us all the time (E1)."""
        if shutil.which("slowhttptest") is None:
            raise SkipTest("slowhttptest is not installed")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        with (folder / "large").open("wb") as file:
            file.truncate(100 * MIB)
        url = f"http://127.0.0.1:{self.serve(folder)}"
        attacks = [self.attack(folder, name, url) for name in ATTACKS]
        while any(attack.poll() is None for attack in attacks):
            done = run("curl", "-sS", "-T", "/dev/null", f"{url}/sink")
            self.assertEqual(done.stdout, b"0", done.stderr)
        for name, attack in zip(ATTACKS, attacks, strict=True):
            said, _ = attack.communicate()
            with (folder / f"{name}.csv").open() as report:
                rows = list(csv.DictReader(report))
            self.assertGreater(len(rows), 5, said)
            self.assertEqual({row["Service Available"] for row in rows}, {"300"}, (name, rows))
            self.assertGreater(max(int(row["Connected"]) for row in rows), 250, (name, rows))

    def serve(self, folder: Path) -> int:
        """:return: the port of a server with the usual limits."""
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.functional.file_server", str(folder)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        assert server.stdout is not None
        return int(server.stdout.readline().split()[0])

    def attack(self, folder: Path, name: str, url: str) -> subprocess.Popen[bytes]:
        path = "file/large" if name == "readers" else "sink"
        attack = subprocess.Popen(
            ["slowhttptest", *ATTACKS[name], "-c", "300", "-r", "200", "-l", "8", "-p", "3",
             "-g", "-o", name, "-u", f"{url}/{path}"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.addCleanup(attack.wait)
        self.addCleanup(attack.kill)
        return attack
