"""Whoever shows a login and an access key sees that account, and no other."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.client import visitors
from pigpen.client.visitors import KNOWN_SECONDS, Visitors
from pigpen.errors import NoAnswer, Unauthorized
from pigpen.testing.env import SimEnv
from tests.client_kit import COORDINATOR, KEY, FakeCloud


class VisitorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        self.cloud = FakeCloud()
        self.visitors = Visitors(self.env, self.cloud, COORDINATOR)

    def ask(self, login: str, key: str) -> object:
        return self.env.run(self.visitors.namespace_of(login, key))

    def test_known(self) -> None:
        """The coordinator is asked once in a while, not at each request."""
        first = self.ask("me", KEY)
        self.assertIs(self.ask("me", KEY), first)
        self.assertEqual(self.cloud.log, ["c GET /account"])
        self.env.clock.advance(KNOWN_SECONDS + 1)
        self.assertIsNot(self.ask("me", KEY), first)
        self.assertEqual(len(self.cloud.log), 2)

    def test_wrong(self) -> None:
        """A wrong key, another account's, and what can be no key: all the same, and not kept."""
        self.ask("me", KEY)
        for login, key in (("me", "pp_no"), ("you", KEY), ("me", ""), ("me", "a\nb"), ("", KEY)):
            self.assertRaises(Unauthorized, self.ask, login, key)
        self.assertEqual(len(self.visitors._known), 1)

    def test_unreachable(self) -> None:
        """If the coordinator cannot be asked, nobody is told that the key is wrong."""
        self.cloud.down.add("coordinator")
        self.assertRaises(NoAnswer, self.ask, "me", KEY)

    def test_bounded(self) -> None:
        """However many come, few are remembered, and who came last is one of them."""
        self.patch(visitors, "MAX_KNOWN", 2)
        self.ask("me", KEY)
        [(shown, known)] = self.visitors._known.items()
        for n in range(3):
            self.visitors._known[b"%d" % n] = known
        self.env.clock.advance(KNOWN_SECONDS + 1)
        self.ask("me", KEY)
        self.assertEqual(list(self.visitors._known), [b"2", shown])
