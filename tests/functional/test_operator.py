"""An operator's tasks in processes of their own, beside a coordinator that is at work."""

from __future__ import annotations

import os
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud
from tests.functional.processes import run


class OperatorTests(SynchronousTestCase):
    def make_cloud(self) -> Cloud:
        return Cloud(self.mktemp())

    def setUp(self) -> None:
        self.cloud = self.make_cloud()
        self.addCleanup(self.cloud.stop)
        self.cloud.start()

    def operate(self, *task: str) -> str:
        done = self.cloud.operate(*task)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.decode().strip()

    def put(self, key: str, login: str = "me", size: int = 100) -> str:
        """:return: the status."""
        url = f"{self.cloud.url}/api/{login}/{os.urandom(4).hex()}"
        upload = ("curl", "-sS", "-L", "-u", f"{login}:{key}", "-T", "-", "-o", os.devnull,
                  "-H", f"Content-Length: {size}", "-H", "Transfer-Encoding:")  # fmt: skip
        return run(*upload, "-w", "%{http_code}", url, input=bytes(size)).stdout.decode()

    def test_while_it_runs(self) -> None:
        """New accounts and keys, quotas and suspensions hold at once, while somebody else writes
        all the time; none of his writes fails."""
        other = self.operate("--make-account=other", "--quota=10K")
        busy = [self.writer() for _ in range(3)]
        self.assertEqual(self.put(other, "other"), "201")
        self.assertEqual(self.put(other, "other", size=20_000), "507")
        self.operate("--set-quota=other", "--quota=none")
        self.assertEqual(self.put(other, "other", size=20_000), "201")
        more = self.operate("--add-key=other")
        self.assertEqual(self.put(more, "other"), "201")
        self.operate("--suspend=other")
        self.assertEqual([self.put(key, "other") for key in (other, more)], ["401", "401"])
        self.operate("--resume=other")
        self.assertEqual(self.put(more, "other"), "201")
        for one in busy:
            said, errors = one.communicate(timeout=60)
            self.assertEqual(said.decode(), "201\n" * 60, errors)
        done = self.cloud.operate("--port=1")
        self.assertIn(b"another coordinator uses it", done.stderr)
        self.assertEqual(self.cloud.coordinator.stop(), 0)
        self.assertNotIn("busy", self.cloud.coordinator.log())
        self.cloud.coordinator.start()
        self.assertEqual(self.put(more, "other"), "201")

    def writer(self) -> subprocess.Popen[bytes]:
        """Sixty small objects, one after the other."""
        url = f"{self.cloud.url}/api/me/{os.urandom(4).hex()}/[1-60]"
        small = self.cloud.home / "small"
        small.write_bytes(b"x")
        command = ["curl", "-sS", "-u", f"me:{self.cloud.key}", "-T", str(small), "--rate", "15/s",
                   "-o", os.devnull, "-w", "%{http_code}\n", url]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process
