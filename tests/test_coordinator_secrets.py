"""The cluster secret, on a simulated disk; `disk.crash()` is a power cut."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.secrets import load_cluster_secret
from pigpen.errors import ConfigError
from pigpen.testing import SimEnv


class SecretTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        self.env.disk.make_folder("c")

    def control(self) -> str:
        return load_cluster_secret(self.env, "c").control_secret(7, 1)

    def write(self, data: bytes) -> None:
        file = self.env.disk.create("c/cluster-secret")
        file.write(data)
        file.close()

    def test_kept(self) -> None:
        """Hosts know the coordinator again after its restart, even one by a power cut."""
        before = self.control()
        self.env.power_cut()
        self.env = self.env.boot()
        self.assertEqual(self.control(), before)

    def test_for_one_host_and_epoch(self) -> None:
        """One host's secret opens no other host, and none of its own later sessions."""
        secret = load_cluster_secret(self.env, "c")
        known = {
            secret.control_secret(7, 1),
            secret.control_secret(7, 2),
            secret.control_secret(71, 1),
        }
        self.assertEqual(len(known), 3)

    def test_damaged(self) -> None:
        """A damaged file stops the start and says what to do; nothing is overwritten."""
        self.write(b"abc")
        error = self.assertRaises(ConfigError, self.control)
        self.assertIn("restore it", error.message)
        self.assertEqual(self.env.disk.read("c/cluster-secret", 100), b"abc")

    def test_hidden(self) -> None:
        """It shows in no log."""
        secret = load_cluster_secret(self.env, "c")
        text = self.env.disk.read("c/cluster-secret", 100).decode()[:16]
        self.assertNotIn(text, repr(secret))

    def test_disk_fails(self) -> None:
        """A disk that fails at any step of the first start: an error, then a clean second try."""
        for step in range(1, 20):
            env = self.env = SimEnv(step)
            env.disk.make_folder("c")
            env.disk.fail_at(step, OSError(errno.ENOSPC, "full"))
            try:
                self.control()
            except OSError:
                # if the folder's own sync failed, the file is there and whole
                names = [entry.name for entry in env.disk.entries("c")]
                self.assertIn(names, ([], ["cluster-secret"]))
                env.disk.clear()
                self.control()
            else:
                break
        self.assertGreater(step, 5)

    def test_open_to_others(self) -> None:
        """A secret that others can read stops the start and says what to do."""
        self.write(b"0" * 64)
        self.env.disk._file("c/cluster-secret").mode = 0o640
        error = self.assertRaises(ConfigError, self.control)
        self.assertIn("chmod 600", error.message)

    def test_anothers(self) -> None:
        """So does one that somebody else may have put there; what is said can be done."""
        self.write(b"0" * 64)
        self.env.disk._file("c/cluster-secret").mine = False
        self.assertIn("chown", self.assertRaises(ConfigError, self.control).message)
        self.env.disk.rename("c/cluster-secret", "c/else")
        self.env.disk.plant_link("c/cluster-secret", "else")
        self.assertIn("regular file", self.assertRaises(ConfigError, self.control).message)
