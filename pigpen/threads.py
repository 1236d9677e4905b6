"""Threads: where functions run that may wait for the disk, and how the reactor hears of their ends.

Twisted's own pool takes some hundred steps of Python for each call, on both sides, which is as much
as a small transaction: here a call is one item of a queue, and its result one of another. Waking
the reactor by its own means takes another turn of it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_Work = tuple[Callable[[], Any], Deferred[Any]]


class Threads:
    """A pool of threads, for the calls of a reactor: all but `_work` runs in the reactor's thread.

    Threads are started as calls wait for one, and stay until the reactor stops.
    """

    def __init__(self, reactor: Any, limit: int) -> None:
        """:param limit: threads, at most; further calls wait for one."""
        self._reactor = reactor
        self._limit = limit
        self._waiting: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        #: calls whose result is not delivered
        self._under_way = 0
        self._done: deque[tuple[Deferred[Any], Any]] = deque()
        #: tells the reactor; called in threads
        self._tell: Callable[[], None] = self._call_from_thread
        self._bell: Bell | None = None
        #: whether the reactor was told that there is something in `_done`
        self._told = False

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Call a function in a thread. Cancelling the Deferred does not stop it."""
        done: Deferred[Any] = Deferred()
        self._under_way += 1
        if self._under_way > len(self._threads) < self._limit:
            self._start()
        self._waiting.put((partial(function, *args, **kwargs), done))
        return done

    def _start(self) -> None:
        if not self._threads:
            self._open()
        # a daemon: a reactor that never ran, or ended by an error, does not stop it
        name = f"pigpen-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _open(self) -> None:
        self._reactor.addSystemEventTrigger("during", "shutdown", self._stop)
        if hasattr(os, "eventfd") and IReactorFDSet.providedBy(self._reactor):
            self._bell = Bell(self._deliver)
            self._tell = self._bell.ring
            self._reactor.addReader(self._bell)

    def _stop(self) -> None:
        """Let what has begun end: it may be about to write."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._waiting.put(None)
        for thread in threads:
            thread.join()
        bell, self._bell = self._bell, None
        if bell is not None:
            self._tell = self._call_from_thread
            self._reactor.removeReader(bell)
            bell.close()
            if self._done:  # it rang in vain
                self._call_from_thread()

    def _call_from_thread(self) -> None:
        self._reactor.callFromThread(self._deliver)

    def _work(self) -> None:
        """In a thread."""
        while (work := self._waiting.get()) is not None:
            function, done = work
            result: Any
            try:
                result = function()
            except BaseException:  # noqa: BLE001 - whoever waits for the result is told
                result = Failure()  # type: ignore[no-untyped-call]
            self._done.append((done, result))
            del work, function, done, result  # nobody's while this thread waits
            if not self._told:
                self._told = True
                self._tell()

    def _deliver(self) -> None:
        # first: what is added from now on is told of anew
        self._told = False
        for _ in range(len(self._done)):
            done, result = self._done.popleft()
            self._under_way -= 1
            if isinstance(result, Failure):
                done.errback(result)
            else:
                done.callback(result)


@implementer(IReadDescriptor)
class Bell:
    """What a reactor watches, so that a thread can wake it. It must be closed, by `close`."""

    def __init__(self, heard: Callable[[], None]) -> None:
        """:param heard: called in the reactor's thread, once for all that rang since the last."""
        self._heard = heard
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ring(self) -> None:
        """In a thread."""
        os.eventfd_write(self._descriptor, 1)

    def close(self) -> None:
        """When no thread is left that may ring."""
        os.close(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        os.eventfd_read(self._descriptor)
        self._heard()

    def logPrefix(self) -> str:
        return "threads"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor lets go of all it watches, while threads may still ring."""
