"""Due: what must be looked at, by the second, with one timer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.host.due import Due
from pigpen.host.rows import KEY_BYTES


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


class DueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[tuple[int, float]] = []
        self.due = Due(self.clock, self.look)

    def look(self, found: bytes, now: float) -> None:
        self.seen.append((int.from_bytes(found, "big"), now))

    def test_in_order(self) -> None:
        """Each is looked at once, in the second after it is due, and one timer does it."""
        for number, when in enumerate((5.5, 1.2, 5.9, 3)):
            self.due.watch(when, key(number))
        self.assertEqual((len(self.clock.getDelayedCalls()), len(self.due)), (1, 3))
        for _ in range(8):
            self.clock.advance(1)
        self.assertEqual([number for number, _ in self.seen], [1, 3, 0, 2])
        for number, now in self.seen:
            self.assertTrue(0 <= now - (5.5, 1.2, 5.9, 3)[number] <= 2)
        self.assertEqual((len(self.due), self.clock.getDelayedCalls()), (0, []))

    def test_watched_while_it_is_looked_at(self) -> None:
        """What is looked at may be due again."""

        def again(found: bytes, now: float) -> None:
            self.look(found, now)
            if len(self.seen) < 3:
                due.watch(now + 10, found)

        due = Due(self.clock, again)
        due.watch(1, key(7))
        for _ in range(30):
            self.clock.advance(1)
        self.assertEqual(self.seen, [(7, 1), (7, 11), (7, 21)])

    def test_close(self) -> None:
        """Nothing is looked at any more."""
        self.due.watch(1, key(1))
        self.due.close()
        self.due.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
