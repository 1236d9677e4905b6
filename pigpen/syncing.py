"""Syncers: a few threads that wait for the disk together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

Step = Callable[[], None]


class _Round:
    """Steps of one caller; who helps takes the next one until there are none."""

    __slots__ = ("_left", "done", "results")

    def __init__(self, steps: list[Step]) -> None:
        self._left = deque(enumerate(steps))
        self.results: list[OSError | None] = [None] * len(steps)
        #: one item for each helper that has found nothing more to do
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()

    def work(self) -> None:
        while True:
            try:
                place, step = self._left.popleft()
            except IndexError:
                return
            try:
                step()
            except OSError as error:
                self.results[place] = error


class Syncers:
    """Runs blocking steps side by side: fsyncs that wait at the same time share the disk's flush.

    Much of what a `concurrent.futures` pool does for each task would cost more than an fsync that
    another one's flush has done already.
    """

    def __init__(self, helpers: int) -> None:
        """:param helpers: threads beside the caller's; started when they are first needed."""
        self._helpers = helpers
        self._rounds: SimpleQueue[_Round] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0

    def run(self, steps: list[Step]) -> list[OSError | None]:
        """:return: why each failed, or None, in their order."""
        current = _Round(steps)
        helpers = min(self._helpers, len(steps) - 1)
        if helpers > self._started:
            self._start(helpers)
        for _ in range(helpers):
            self._rounds.put(current)
        try:
            current.work()
        finally:  # what was not waited for would go on with files that the caller closes
            errors = [current.done.get() for _ in range(helpers)]
        for error in errors:
            if error is not None:
                raise error
        return current.results

    def _start(self, helpers: int) -> None:
        with self._lock:
            while self._started < helpers:
                # a daemon: the caller waits for what it does, nothing is lost with an idle one
                name = f"pigpen-sync-{self._started}"
                threading.Thread(target=self._help, name=name, daemon=True).start()
                self._started += 1

    def _help(self) -> None:
        while True:
            current = self._rounds.get()
            error: BaseException | None = None
            try:
                current.work()
            except BaseException as caught:  # noqa: BLE001 - the caller raises it
                error = caught
            current.done.put(error)
            del current
