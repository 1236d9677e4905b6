"""Attempts: how often, and after which pauses."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.attempts import MAX_PAUSE_SECONDS, MAX_TRIES, Attempts
from pigpen.errors import PigpenError, Unavailable, Untrusted
from pigpen.testing.env import SimEnv


class AttemptsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        self.attempts = Attempts(self.env)
        self.error: PigpenError = Unavailable(reason="no")

    def pause(self, retry_after: object = None) -> float:
        before = self.env.clock.seconds()
        self.env.run(self.attempts.again(self.error, retry_after))
        return self.env.clock.seconds() - before

    def test_pauses(self) -> None:
        """They grow, spread, and after the last try the error itself is raised."""
        pauses = [self.pause() for _ in range(MAX_TRIES - 1)]
        for pause, middle in zip(pauses, (0.3, 0.6, 1.2, 2.4), strict=True):
            self.assertTrue(0.79 * middle <= pause <= 1.21 * middle, pauses)
        raised = self.assertRaises(Unavailable, self.pause)
        self.assertIs(raised, self.error)

    def test_final(self) -> None:
        """A certificate does not get better by waiting."""
        self.error = Untrusted(peer="a", reason="b")
        self.assertRaises(Untrusted, self.pause)
        self.assertEqual(self.env.clock.seconds(), 0)

    def test_progress(self) -> None:
        """A transfer that gets on, however slowly, is never given up."""
        for _ in range(3 * MAX_TRIES):
            self.assertLess(self.pause(), 0.4)
            self.attempts.progress()

    def test_asked_to_wait(self) -> None:
        """Retry-After is kept to, within reason."""
        self.assertGreaterEqual(self.pause(4), 4)
        self.assertLessEqual(self.pause(100_000), MAX_PAUSE_SECONDS + 0.001)

    def test_cancelled(self) -> None:
        """Ctrl-C in a pause ends it, and no timer is left."""
        waiting = Deferred.fromCoroutine(self.attempts.again(self.error))
        waiting.cancel()
        self.failureResultOf(waiting)
        self.assertEqual(self.env.world.clock.getDelayedCalls(), [])
