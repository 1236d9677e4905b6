"""Watch: advance the clock, nothing to flush."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.web.watch import Watch


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.late: list[tuple[str, float]] = []

    def watch(self, deadline: float | None = None) -> Watch:
        watch = Watch(
            self.clock, deadline, lambda seconds: self.late.append((watch.phase, seconds))
        )
        return watch

    def test_phase(self) -> None:
        """A phase that lasts too long is named, once."""
        self.watch().expect("a", 5)
        self.clock.pump([1] * 20)
        self.assertEqual(self.late, [("a", 5)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_progress(self) -> None:
        """Progress gives the same time again."""
        watch = self.watch()
        watch.expect("a", 5)
        for _ in range(4):
            self.clock.advance(4)
            watch.progress()
        self.assertEqual(self.late, [])
        self.clock.pump([1] * 5)
        self.assertEqual(self.late, [("a", 5)])

    def test_next_phase(self) -> None:
        """Each phase has its own limit, a shorter one too, with one timer for all."""
        watch = self.watch()
        watch.expect("long", 30)
        self.clock.advance(1)
        watch.expect("short", 2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(2)
        self.assertEqual(self.late, [("short", 2)])

    def test_rest(self) -> None:
        """While it rests no time counts."""
        watch = self.watch()
        watch.expect("a", 5)
        watch.rest("ours")
        self.clock.pump([10] * 5)
        self.assertEqual((self.late, self.clock.getDelayedCalls()), ([], []))
        watch.expect("b", 5)
        self.clock.advance(5)
        self.assertEqual(self.late, [("b", 5)])

    def test_deadline(self) -> None:
        """The deadline comes whatever the progress, and while it rests."""
        watch = self.watch(deadline=12)
        watch.expect("a", 10)
        self.clock.advance(9)
        watch.rest("ours")
        self.clock.advance(3)
        self.assertEqual(self.late, [("ours", 12)])

    def test_stop(self) -> None:
        watch = self.watch(deadline=12)
        watch.expect("a", 5)
        watch.stop()
        watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
