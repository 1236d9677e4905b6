"""What ``pigpen locks`` prints and breaks, against a coordinator in a simulated world."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.client import lock_commands
from pigpen.client.session import Session
from pigpen.errors import BadAnswer, Refused
from pigpen.http import wire
from pigpen.http.key import Key
from tests.cloud_kit import COORDINATOR, Cloud


class LockCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)
        self.session = Session(self.cloud.user, self.cloud.client, COORDINATOR, self.cloud.key)

    def show(self) -> list[str]:
        shown: list[str] = []
        self.cloud.run(lock_commands.show_locks(self.session, shown.append))
        return shown

    def test_shown_and_broken(self) -> None:
        """Each lock is a line, by key, with the token that breaks it, in <> or without."""
        self.assertEqual(self.show(), [])
        self.cloud.ask("PUT", "/api/ann/d/b%20c", b"1")
        for path, fields in (("d/b%20c", {"Pigpen_Principal": "bob%20%C3%BC"}), ("d/a", {})):
            self.cloud.ask("POST", f"/api/ann/{path}?lock", b'{"exclusive": false}', **fields)
        self.cloud.ask("POST", "/api/ann/?lock", b'{"exclusive": false}')
        lines = self.show()
        self.assertRegex(
            lines[0],
            r"^urn:uuid:\S+  until \d{4}-\d\d-\d\d \d\d:\d\d  ann  shared  / and all below$",
        )
        self.assertTrue(lines[1].endswith("  ann  shared  d/a"))
        self.assertTrue(lines[2].endswith("  bob ü  shared  d/b c"))
        token = lines[1].split()[0]
        self.cloud.run(lock_commands.break_lock(self.session, f"<{token}>"))
        self.assertEqual(self.show(), [lines[0], lines[2]])
        again = lock_commands.break_lock(self.session, token)
        error = self.assertRaises(Refused, self.cloud.run, again)
        self.assertIn("no lock of this token", error.message)

    def test_nonsense(self) -> None:
        """A place that is none is the coordinator's fault, and said so."""
        lock = wire.LockInfo("t", "nowhere", True, True, "", "", 0)
        self.assertRaises(BadAnswer, lock_commands._key, lock)
        lock = wire.LockInfo("t", "/api/ann/x", True, False, "", "", 0)
        self.assertIn("  -  exclusive  x", lock_commands.describe(Key(("x",)), lock))
