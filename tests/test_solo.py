"""Solo's first words, and where it leaves the access key."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from pigpen.solo import Kept, Places, keep_for_user, welcome
from pigpen.system import SystemDisk

PLACES = Places("/pool", "http://127.0.0.1:2573", "http://127.0.0.1:2574")


class WelcomeTests(SynchronousTestCase):
    def test_first(self) -> None:
        """The key is shown once, and every command can be typed as it stands."""
        text = "\n".join(welcome(".venv/bin/pigpen", PLACES, Kept("/home/.pigpen"), "pp_secret"))
        self.assertIn("access key  pp_secret", text)
        self.assertIn("in this folder", text)
        self.assertIn("echo hello | .venv/bin/pigpen put hello.txt\n", text)
        self.assertIn("curl -T FILE http://127.0.0.1:2574/FILE\n", text)

    def test_later(self) -> None:
        text = "\n".join(welcome("pigpen", PLACES, Kept("/home/.pigpen"), None))
        self.assertNotIn("access key  ", text)
        self.assertNotIn("in this folder", text)
        self.assertIn("kept in     /home/.pigpen", text)

    def test_width(self) -> None:
        """It fits a terminal."""
        lines = welcome("pigpen", PLACES, Kept("/home/.pigpen"), "pp_" + "x" * 60)
        self.assertEqual([line for line in lines if len(line) > 80], [])

    def test_mounting(self) -> None:
        """The line that mounts the cloud is the one of this system, to be typed as it is."""
        for system, line in (
            ("linux", "sudo mount -t davfs http://127.0.0.1:2574/ /mnt"),
            ("freebsd14", "gio mount dav://127.0.0.1:2574/"),
            ("darwin", "mkdir -p ~/cloud && mount_webdav -S http://127.0.0.1:2574/ ~/cloud"),
            ("win32", "net use P: http://127.0.0.1:2574/"),
        ):
            lines = welcome("pigpen", PLACES, Kept("/home/.pigpen"), None, system)
            self.assertIn(f"  {line}", lines)


class KeepTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, ".pigpen")
        self.other = os.path.join(self.folder, "my pool", "pigpen.yaml")
        os.mkdir(os.path.dirname(self.other))

    def keep(self) -> Kept:
        disk = SystemDisk(None)  # type: ignore[arg-type]  # it is not asked for a thread
        return keep_for_user(disk, self.path, self.other, "pp_k", "http://127.0.0.1:1")

    def test_new(self) -> None:
        """For its owner alone, and the same again at the next start."""
        for _ in range(2):
            self.assertEqual(self.keep(), Kept(self.path))
            self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)

    def test_other_cloud(self) -> None:
        """A key for another cloud stays; what is to be typed names another file."""
        for text, part in [
            ("accesskey: pp_other\n", "about another cloud"),
            ("accesskey: [\n", "left as it is"),
        ]:
            with open(self.path, "w") as file:
                file.write(text)
            kept = self.keep()
            self.assertEqual(kept.path, self.other)
            self.assertEqual(kept.options, f"--config='{self.other}' ")
            self.assertIn(part, str(kept.reason))
            self.assertEqual(os.stat(self.other).st_mode & 0o777, 0o600)
            with open(self.path) as file:
                self.assertEqual(file.read(), text)
            said = "\n".join(welcome("pigpen", PLACES, kept, None))
            self.assertIn(f"pigpen get --config='{self.other}' hello.txt", said)
            self.assertIn(str(kept.reason), said)

    def test_no_home(self) -> None:
        """Where ~/.pigpen cannot be written, the pool has the key."""
        self.path = os.path.join(self.folder, "nowhere", ".pigpen")
        self.assertEqual(self.keep().path, self.other)
