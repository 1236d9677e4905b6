"""Disks that fail, are full, or lose power under a real cloud."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud
from tests.functional.faults import cut_power, mount_full, mount_image, mount_small, strace, unmount
from tests.functional.observing import until

MIB = 2**20


class ErrorTests(SynchronousTestCase):
    def test_fsync_fails(self) -> None:
        """A host whose disk fails a flush or a rename: the upload is refused, the old version
        stays, the host takes no more writes and says so until it is started again (D2)."""
        cloud = Cloud(self.mktemp())
        self.addCleanup(cloud.stop)
        cloud.start()
        old = os.urandom(50_000)
        self.assertEqual(cloud.put("film", old), 201)
        for call, when in (("fsync", 1), ("rename", 1), ("fsync", 3)):
            with strace(cloud.host.pid, call, f"error=EIO:when={when}"):
                status = cloud.put("film", os.urandom(300_000))
            self.assertGreaterEqual(status, 500, (call, when))
            self.assertEqual(cloud.host_status()["state"], "read-only", (call, when))
            self.assertIn("this host is read-only", cloud.host.log(latest=True))
            self.assertEqual(cloud.incoming(), [])
            self.assertEqual(cloud.host_status()["reserved"], 0)
            self.assertIn(cloud.put("film", os.urandom(50_000)), {503, 507})
            self.assertEqual(cloud.get("film"), (200, old))
            self.assertEqual(cloud.host.stop(), 0)
            cloud.host.start()
            self.assertEqual(cloud.get("film"), (200, old))
        self.assertIn(cloud.put("film", old[::-1]), {201, 204})
        self.assertEqual(cloud.get("film"), (200, old[::-1]))


class FullTests(SynchronousTestCase):
    def test_disk_full(self) -> None:
        """A disk that fills up during an upload: 507, nothing is left of it, what is stored can be
        read, small uploads go on, and large ones as soon as there is room again (D1)."""
        home = Path(self.mktemp()).absolute()
        disk = home / "disk"
        mount_small(disk, "64M")
        self.addCleanup(unmount, disk)
        cloud = Cloud(home)
        cloud.host.folder = cloud.blobs = disk / "host"
        self.addCleanup(cloud.stop)
        cloud.start("--floor=0")
        old = os.urandom(50_000)
        self.assertEqual(cloud.put("film", old), 201)
        upload = subprocess.Popen(
            cloud.curl_command(
                "film", "-T", "-", "-H", f"Content-Length: {12 * MIB}", "-H", "Transfer-Encoding:",
                "-o", os.devnull, "-w", "%{http_code}",
            ),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.addCleanup(upload.communicate)
        self.addCleanup(upload.kill)
        assert upload.stdin is not None
        upload.stdin.write(os.urandom(4 * MIB))
        upload.stdin.flush()
        until(cloud.incoming)
        # somebody else takes all the rest
        with (disk / "other").open("wb", buffering=0) as other:
            try:
                while other.write(bytes(MIB)) == MIB:
                    pass
            except OSError:
                pass
        said, _ = upload.communicate(os.urandom(8 * MIB))
        self.assertEqual(said, b"507")
        self.assertEqual(cloud.incoming(), [])
        self.assertEqual(cloud.host_status()["reserved"], 0)
        self.assertEqual(cloud.get("film"), (200, old))
        # what it gave back is room for small ones
        self.assertIn(cloud.put("film", old[::-1]), {201, 204})
        self.assertEqual(cloud.get("film"), (200, old[::-1]))
        self.assertEqual(cloud.put("large", os.urandom(12 * MIB)), 507)
        (disk / "other").unlink()
        until(lambda: cloud.put("large", os.urandom(12 * MIB)) == 201)

    def test_temporary_folder_full(self) -> None:
        """A full /tmp is nothing to coordinator, host and commands: none of them uses it (D6)."""
        home = Path(self.mktemp()).absolute()
        full = home / "tmp"
        mount_full(full)
        self.addCleanup(unmount, full)
        cloud = Cloud(home)
        cloud.environment["TMPDIR"] = str(full)
        self.addCleanup(cloud.stop)
        cloud.start()
        stored = {"small": os.urandom(300), "middle": os.urandom(300_000), "large": bytes(9 * MIB)}
        for key, data in stored.items():
            self.assertEqual(cloud.put(f"curl/{key}", data), 201)
            done = cloud.pigpen("put", f"own/{key}", data=data)
            self.assertEqual(done.returncode, 0, done.stderr)
        for key, data in stored.items():
            self.assertEqual(cloud.get(f"own/{key}"), (200, data))
            self.assertEqual(cloud.pigpen("get", f"curl/{key}").stdout, data)
        self.assertEqual(len(cloud.pigpen("ls", "-r").stdout.splitlines()), 8)
        self.assertEqual(cloud.pigpen("rm", "-r", "own/").returncode, 0)
        for part in (cloud.host, cloud.coordinator):
            self.assertEqual(part.stop(), 0)
            self.assertNotIn("Traceback", part.log())


class PowerCutTests(SynchronousTestCase):
    def test_power_cut(self) -> None:
        """The power fails right after an upload was acknowledged: after the next start it and all
        before it are there, byte for byte, and the catalog is whole (C2, C5)."""
        home = Path(self.mktemp()).absolute()
        home.mkdir(parents=True)
        image = home / "image"
        self.mount(image, home / "before")
        cloud = Cloud(home, store=home / "before")
        self.addCleanup(cloud.stop)
        cloud.start("--floor=0")
        stored: dict[str, bytes] = {}
        cuts: list[tuple[Path, dict[str, bytes]]] = []
        for number in range(24):
            name, data = f"{number % 4}/{number}", os.urandom([300_000, 200, 20_000][number % 3])
            self.assertEqual(cloud.put(name, data), 201)
            stored[name] = data
            if number in {0, 10, 23}:
                cut = home / f"cut{number}"
                cut_power(image, cut)
                cuts.append((cut, dict(stored)))
        cloud.stop()
        for cut, acknowledged in cuts:
            self.check(cloud, cut, acknowledged)

    def check(self, cloud: Cloud, cut: Path, acknowledged: dict[str, bytes]) -> None:
        store = cut.with_suffix(".mounted")
        self.mount(cut, store)
        cloud.move(store)
        cloud.coordinator.start()
        cloud.host.start()
        for name, data in acknowledged.items():
            status, found = cloud.get(name)
            self.assertEqual((status, len(found)), (200, len(data)), (cut, name))
            self.assertEqual(hashlib.sha256(found).digest(), hashlib.sha256(data).digest())
        self.assertEqual(cloud.put("after", b"x" * 50_000), 201)
        self.assertEqual(cloud.incoming(), [])
        cloud.stop()
        connection = sqlite3.connect(store / "coordinator" / "catalog.sqlite")
        self.addCleanup(connection.close)
        self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    def mount(self, image: Path, folder: Path) -> None:
        mount_image(image, folder)
        self.addCleanup(unmount, folder)
