"""A reactor for threads: what they tell it waits until a test lets it turn."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue

#: a test that waits so long has failed
PATIENCE = 10


class Told:
    """As much of a reactor as threads need."""

    def __init__(self) -> None:
        self.waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.stops: list[Callable[[], None]] = []

    def callFromThread(self, function: Callable[[], None]) -> None:
        self.waiting.put(function)

    def addSystemEventTrigger(self, phase: str, event: str, function: Callable[[], None]) -> None:
        assert (phase, event) == ("during", "shutdown")
        self.stops.append(function)

    def turn(self) -> None:
        self.waiting.get(timeout=PATIENCE)()

    def stop(self) -> None:
        for function in self.stops:
            function()
