"""Files that somebody else put where a host keeps blobs, or a service its secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud, Part


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero never ends
    except PermissionError:  # only root may
        os.mkfifo(path)


#: what may lie in a blob's place: none of it may be read, or keep the host waiting
STRANGE: dict[str, Callable[[Path], object]] = {
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": device,
    "nothing": lambda path: None,
    "shorter": lambda path: path.write_bytes(b"x"),
    "longer": lambda path: path.write_bytes(bytes(200_000)),
}


class BlobTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud(self.mktemp())
        self.addCleanup(self.cloud.stop)
        self.cloud.start()

    def blobs(self) -> dict[int, Path]:
        """By size."""
        found = [path for path in (self.cloud.blobs / "blobs").rglob("*") if path.is_file()]
        return {path.stat().st_size: path for path in found}

    def test_no_blob(self) -> None:
        """Whatever lies there, its reader hears 503 at once, no byte of it leaves the machine, and
        the host goes on; what is no file is put aside (P2, D4)."""
        cloud = self.cloud
        kept = os.urandom(90_000)
        self.assertEqual(cloud.put("kept", kept), 201)
        for size, name in enumerate(STRANGE, 100_000):
            self.assertEqual(cloud.put(name, os.urandom(size)), 201)
        self.assertEqual(cloud.host.stop(), 0)  # else it would have them open
        blobs = self.blobs()
        for size, make in enumerate(STRANGE.values(), 100_000):
            blobs[size].unlink()
            make(blobs[size])
        cloud.host.start()
        for size, name in enumerate(STRANGE, 100_000):
            for _ in range(2):
                status, body = cloud.get(name)
                self.assertEqual((status, body[:1]), (503, b"{"), name)
            if name in {"link", "pipe", "folder", "device"}:
                self.assertFalse(os.path.lexists(blobs[size]), name)
        self.assertEqual(cloud.host_status()["state"], "up")
        self.assertEqual(cloud.get("kept"), (200, kept))
        self.assertIn(cloud.put("link", kept), {201, 204})
        self.assertEqual(cloud.get("link"), (200, kept))
        self.assertNotIn("Traceback", cloud.host.log() + cloud.coordinator.log())

    def test_no_identity(self) -> None:
        """Blobs without pigpen-host.json: the disk is not the one that was meant (D4)."""
        self.assertEqual(self.cloud.host.stop(), 0)
        (self.cloud.blobs / "pigpen-host.json").unlink()
        self.assertEqual(self.cloud.host.launch().wait(20), 1)
        self.assertIn("is the disk mounted?", self.cloud.host.log(latest=True))


class SecretTests(SynchronousTestCase):
    """Secrets that others can read, or may have written: no start, and what to do (G2)."""

    def setUp(self) -> None:
        self.cloud = Cloud(self.mktemp())
        self.addCleanup(self.cloud.stop)
        self.cloud.configure()

    def refused(self, part: Part) -> str:
        self.assertIn(part.launch().wait(20), {1, 2})
        said = part.log(latest=True)
        self.assertNotIn("Traceback", said)
        return said

    def test_cluster_secret(self) -> None:
        part = self.cloud.coordinator
        part.start()
        self.assertEqual(part.stop(), 0)
        assert part.folder is not None
        secret = part.folder / "cluster-secret"
        secret.chmod(0o640)
        self.assertIn(f"chmod 600 {secret}", self.refused(part))
        secret.chmod(0o600)
        secret.rename(part.folder / "else")
        secret.symlink_to("else")
        self.assertIn("regular file", self.refused(part))

    def test_host_key(self) -> None:
        """Who can read it can be that host."""
        part = self.cloud.host
        self.cloud.coordinator.start()
        part.start()
        self.assertEqual(part.stop(), 0)
        identity = self.cloud.blobs / "pigpen-host.json"
        identity.chmod(0o644)
        self.assertIn(f"chmod 600 {identity}", self.refused(part))

    def test_configuration(self) -> None:
        """In a service's file, and in one that it names."""
        folder = self.cloud.home
        (folder / "key").write_text(self.cloud.key)
        file = folder / "pigpen.yaml"
        self.cloud.host.options.append(f"--config={file}")
        for text, secret in (
            (f"host: {{access_key: {self.cloud.key}}}", file),
            (f"host: {{access_key: '${{file:{folder}/key}}'}}", folder / "key"),
        ):
            file.write_text(text)
            file.chmod(0o600)
            secret.chmod(0o604)
            said = self.refused(self.cloud.host)
            self.assertIn(f"chmod 600 {secret}", said)
            self.assertNotIn(self.cloud.key, said)
