"""A reactor for threads: what they tell it waits until a test lets it turn."""

from __future__ import annotations

import select
from collections.abc import Callable
from queue import Empty, SimpleQueue

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface import implementer

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

    @property
    def told(self) -> int:
        """How often it was told since the last turn."""
        return self.waiting.qsize()

    def stop(self) -> None:
        for function in self.stops:
            function()


@implementer(IReactorFDSet)
class Watching(Told):
    """A reactor that also watches descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        self.watched.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self.watched.remove(reader)

    def turn(self) -> None:
        try:
            self.waiting.get_nowait()()
        except Empty:
            readable, _, _ = select.select(self.watched, [], [], PATIENCE)
            readable[0].doRead()

    @property
    def told(self) -> int:
        return super().told + len(select.select(self.watched, [], [], 0)[0])

    def addWriter(self, writer: object) -> None:
        raise AssertionError("nothing is written")

    removeWriter = addWriter

    def removeAll(self) -> list[object]:
        raise AssertionError("others are watched too")

    getReaders = getWriters = removeAll
