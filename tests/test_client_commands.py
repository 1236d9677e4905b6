"""What ls, rm and account print and refuse."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.client import commands
from pigpen.client.session import Session
from pigpen.errors import Refused
from pigpen.http import wire
from pigpen.http.key import Key
from pigpen.testing.env import SimEnv
from tests.client_kit import COORDINATOR, KEY, FakeCloud, problem


class CommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = FakeCloud()
        self.cloud.put("a", b"hello")
        self.env = SimEnv()
        self.session = Session(self.env, self.cloud, COORDINATOR, KEY)
        self.shown: list[str] = []

    def list(self, key: Key, *, long: bool = False) -> list[str]:
        self.env.run(
            commands.show_list(self.session, key, self.shown.append, long=long, recursive=False)
        )
        return self.shown

    def test_names(self) -> None:
        self.assertEqual(self.list(Key((), True)), ["a"])

    def test_long(self) -> None:
        [line] = self.list(Key((), True), long=True)
        self.assertRegex(line, r"^ +5  \d{4}-\d\d-\d\d \d\d:\d\d  a$")

    def test_one_object(self) -> None:
        """`ls` of a file shows the file."""
        self.cloud.coordinator_says = [problem(404, "not-found")]
        self.assertEqual(self.list(Key.from_text("a")), ["a"])

    def test_remove(self) -> None:
        self.env.run(commands.remove(self.session, Key.from_text("a"), recursive=False))
        self.assertEqual(self.cloud.objects, {})
        removal = commands.remove(self.session, Key.from_text("a"), recursive=False)
        self.assertRaises(Refused, self.env.run, removal)

    def test_account(self) -> None:
        key = wire.KeyInfo("id1", "laptop", 0, 86_400_000, None)
        account = wire.Account("me", 1536, 0, 1, 1, [key], 2**30)
        lines = commands.describe(account)
        self.assertEqual(lines[0], "login     me")
        self.assertEqual(lines[1], "stored    1.5 KiB in 1 object")
        self.assertEqual(lines[3], "quota     1.0 GiB")
        self.assertRegex(lines[4], "id1  laptop  made .*, never used, ends ")
