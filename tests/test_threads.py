"""Threads: each call's result comes back, once, in the reactor's thread.

`turn` waits for the next that a thread tells the reactor, and lets it happen.
"""

from __future__ import annotations

import os
import threading
import weakref
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.threads import Threads
from tests.threads_kit import PATIENCE, Told, Watching


class ThreadsTests(SynchronousTestCase):
    """A reactor that is called from threads."""

    reactor: Told

    def make_reactor(self) -> Told:
        return Told()

    def setUp(self) -> None:
        self.reactor = self.make_reactor()
        self.threads = Threads(self.reactor, 4)
        self.addCleanup(self.reactor.stop)

    def result(self, done: Deferred[Any]) -> Any:
        while not done.called:
            self.reactor.turn()
        return self.successResultOf(done)

    def test_result(self) -> None:
        """Whoever called a function is told what it returned or raised, a bug of any kind too;
        the thread goes on."""
        names = [self.result(self.threads.run(lambda: threading.current_thread().name))]
        for error in (ZeroDivisionError, SystemExit):
            done = self.threads.run(partial(self._raise, error))
            self.reactor.turn()
            self.failureResultOf(done, error)
        self.assertEqual(self.result(self.threads.run(int, "f", base=16)), 15)
        names.append(self.result(self.threads.run(lambda: threading.current_thread().name)))
        self.assertEqual(names, ["pigpen-0"] * 2)

    def _raise(self, error: type[BaseException]) -> None:
        raise error

    def test_side_by_side(self) -> None:
        """As many calls wait at once as there may be threads; the next ones follow."""
        meeting = threading.Barrier(4, timeout=PATIENCE)
        calls = [self.threads.run(lambda: meeting.wait() >= 0) for _ in range(12)]
        self.assertEqual([self.result(call) for call in calls], [True] * 12)
        here = {thread.name for thread in threading.enumerate()}
        self.assertNotIn("pigpen-4", here)

    def test_told_once(self) -> None:
        """A busy reactor is woken once for all that ends meanwhile; then again for what is next."""
        threads = Threads(self.reactor, 1)
        for _ in range(2):
            third = threading.Event()
            calls = [threads.run(int), threads.run(int), threads.run(third.set)]
            self.assertTrue(third.wait(PATIENCE))
            self.assertEqual(self.reactor.told, 1)
            self.reactor.turn()
            self.assertTrue(calls[0].called and calls[1].called)
            self.result(calls[2])

    def test_while_told(self) -> None:
        """What ends while results are delivered is not forgotten."""
        again: list[Deferred[int]] = []
        first = self.threads.run(int, 1)
        first.addCallback(lambda _: again.append(self.threads.run(int, 2)))
        self.result(first)
        self.assertEqual(self.result(again[0]), 2)

    def test_cancelled(self) -> None:
        """Nobody waits any more for a call that was cancelled, yet what it began goes on."""
        begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            may_end.wait(PATIENCE)
            ended.set()

        call = self.threads.run(work)
        self.assertTrue(begun.wait(PATIENCE))
        call.cancel()
        self.failureResultOf(call, CancelledError)
        may_end.set()
        self.assertTrue(ended.wait(PATIENCE))
        self.assertEqual(self.result(self.threads.run(int, 3)), 3)

    def test_nothing_is_kept(self) -> None:
        """A thread that waits for work holds nothing of the last."""

        class Thing:
            pass

        thing = Thing()
        gone = weakref.ref(thing)
        self.assertIs(self.result(self.threads.run(lambda one: one, thing)), thing)
        del thing
        self.assertIsNone(gone())

    def test_stop(self) -> None:
        """A reactor that stops waits for what was begun; then no thread is left."""
        before = set(threading.enumerate())
        may_end, ended = threading.Event(), threading.Event()
        self.threads.run(lambda: may_end.wait(PATIENCE) and ended.set())
        self.threads.run(int)
        ours = set(threading.enumerate()) - before
        self.assertEqual(len(ours), 2)
        may_end.set()
        self.reactor.stop()
        self.assertTrue(ended.is_set())
        self.assertEqual([thread for thread in ours if thread.is_alive()], [])

    def test_after_stop(self) -> None:
        """A stop is no end: what had ended is told, and what else has to be done is done."""
        late = self.threads.run(int, 3)
        self.reactor.stop()
        self.assertEqual(self.result(late), 3)
        self.assertEqual(self.result(self.threads.run(int, 4)), 4)


class WatchingTests(ThreadsTests):
    """A reactor that watches what threads ring."""

    def make_reactor(self) -> Told:
        return Watching()

    def test_closed(self) -> None:
        """Nothing is watched after a stop, and no descriptor left open."""
        reactor = self.reactor
        assert isinstance(reactor, Watching)
        self.result(self.threads.run(int))
        [bell] = reactor.watched
        reactor.stop()
        self.assertEqual(reactor.watched, [])
        self.assertRaises(OSError, os.fstat, bell.fileno())
