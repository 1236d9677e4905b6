"""Batches: everything is worked on, once, in order, and nothing is gathered without bound.

`env.run(work)` moves the clock until the work is done; threads of the simulation end at once.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.batches import LEAST_BYTES, WINDOW_BYTES, Batches
from pigpen.testing.env import SimEnv

PIECE = LEAST_BYTES // 4


class SlowThread(SimEnv):
    """An Env whose threads end when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[Deferred[None]] = []

    def in_thread(self, function, *args, **kwargs):  # type: ignore[no-untyped-def, override]
        done: Deferred[None] = Deferred()
        self.ends.append(done)
        return done.addCallback(lambda _: function(*args, **kwargs))

    def end(self) -> None:
        self.ends.pop(0).callback(None)


class BatchesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SlowThread()
        self.done: list[list[int]] = []
        self.batches = Batches(self.env, self.done.append)

    def put(self, item: int, size: int = PIECE) -> Deferred[None]:
        return Deferred.fromCoroutine(self.batches.put(item, size))

    def test_gathered(self) -> None:
        """A thread is called when there is enough for it; what comes meanwhile goes together."""
        for item in range(3):
            self.successResultOf(self.put(item))
        self.assertEqual(self.env.ends, [])
        for item in range(3, 9):
            self.successResultOf(self.put(item))
        self.assertEqual(len(self.env.ends), 1)
        self.env.end()
        self.env.end()
        self.assertEqual(self.done, [[0, 1, 2, 3], [4, 5, 6, 7, 8]])

    def test_flush(self) -> None:
        """The end waits for everything, the last few bytes too."""
        for item in range(5):
            self.successResultOf(self.put(item))
        flushed = Deferred.fromCoroutine(self.batches.flush())
        self.env.end()
        self.assertNoResult(flushed)
        self.env.end()
        self.successResultOf(flushed)
        self.assertEqual(self.done, [[0, 1, 2, 3], [4]])
        self.successResultOf(Deferred.fromCoroutine(self.batches.flush()))

    def test_window(self) -> None:
        """Who brings more than a slow disk takes must wait."""
        self.successResultOf(self.put(0, LEAST_BYTES))
        waiting = self.put(1, WINDOW_BYTES)
        self.assertNoResult(waiting)
        self.env.end()
        self.successResultOf(waiting)

    def test_failure(self) -> None:
        """A failure reaches who puts next, and whoever asked to be told at once."""
        batches = Batches(self.env, lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
        told: list[bool] = []
        batches.on_failure = lambda: told.append(True)
        self.successResultOf(Deferred.fromCoroutine(batches.put(0, LEAST_BYTES)))
        waiting = Deferred.fromCoroutine(batches.put(1, WINDOW_BYTES))
        self.env.end()
        self.failureResultOf(waiting, ZeroDivisionError)
        self.assertEqual(told, [True])
        self.failureResultOf(Deferred.fromCoroutine(batches.put(2, 1)), ZeroDivisionError)
        self.failureResultOf(Deferred.fromCoroutine(batches.flush()), ZeroDivisionError)
        self.assertEqual(self.env.ends, [])

    def test_cancelled(self) -> None:
        """Who is cancelled while waiting can still wait for the thread's own end."""
        self.successResultOf(self.put(0, LEAST_BYTES))
        waiting = self.put(1, WINDOW_BYTES)
        waiting.cancel()
        self.failureResultOf(waiting)
        resting = Deferred.fromCoroutine(self.batches.rest())
        self.assertNoResult(resting)
        self.env.end()
        self.successResultOf(resting)
        self.assertEqual((self.done, self.env.ends), ([[0]], []))


class PatienceTests(SynchronousTestCase):
    def test_few_bytes(self) -> None:
        """The reader of a pipe gets a few bytes soon, also if no more come."""
        env = SimEnv()
        done: list[list[int]] = []
        batches = Batches(env, done.append, 0.02)
        self.successResultOf(Deferred.fromCoroutine(batches.put(0, 1)))
        self.successResultOf(Deferred.fromCoroutine(batches.put(1, 1)))
        self.assertEqual(done, [])
        env.world.clock.advance(0.03)
        self.assertEqual(done, [[0, 1]])
        env.run(batches.rest())
        self.assertEqual(env.world.clock.getDelayedCalls(), [])

    def test_few_behind_a_batch(self) -> None:
        """What comes while a thread is at work, and is little, is not handed over before its time
        either, and does not stay longer."""
        env = SlowThread()
        done: list[list[int]] = []
        batches = Batches(env, done.append, 0.02)
        self.successResultOf(Deferred.fromCoroutine(batches.put(0, LEAST_BYTES)))
        self.successResultOf(Deferred.fromCoroutine(batches.put(1, 1)))
        env.end()
        self.assertEqual(env.ends, [])
        env.world.clock.advance(0.03)
        env.end()
        self.assertEqual(done, [[0], [1]])
        env.run(batches.rest())
        self.assertEqual(env.world.clock.getDelayedCalls(), [])
