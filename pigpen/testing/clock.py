"""Simulated time: one clock for a world, and each node's own view of it."""

from __future__ import annotations

import contextlib
from bisect import insort
from collections.abc import Callable, Iterable, Sequence

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer

from pigpen.testing.faults import Killed


class SimCall(DelayedCall):
    """A delayed call that knows whose it is."""

    owner: NodeClock | None = None


def _due(call: DelayedCall) -> float:
    return call.time


class SimClock(Clock):
    """A `Clock` that also runs one call at a time, and stays quick with thousands of calls.

    ``calls`` is in the order of ``call.time``; a call that was put off keeps its place until it
    comes up, as in Twisted's reactors. Equal times run first in, first out.
    """

    def __init__(self) -> None:
        super().__init__()
        #: how many calls ran
        self.steps = 0

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> SimCall:
        assert delay >= 0, f"{delay} is not a delay"
        due = self.rightNow + delay
        call = SimCall(due, callable, args, kw, self._dropped, self._moved, self.seconds)
        insort(self.calls, call, key=_due)
        return call

    def _dropped(self, call: DelayedCall) -> None:
        with contextlib.suppress(ValueError):  # a dead node's call was never here
            self.calls.remove(call)

    def _moved(self, call: DelayedCall) -> None:
        self._dropped(call)
        insort(self.calls, call, key=_due)

    def next_time(self) -> float | None:
        """When the next call is due; None if there is none."""
        while self.calls:
            call = self.calls[0]
            if not call.delayed_time:
                return call.time
            call.activate_delay()
            self._moved(call)
        return None

    def step(self) -> bool:
        """Jump to the next call and run it; False if there is none."""
        due = self.next_time()
        if due is None:
            return False
        self.rightNow = max(self.rightNow, due)
        call = self.calls.pop(0)
        call.called = 1
        self.steps += 1
        with contextlib.suppress(Killed):  # the node this call belongs to died in it
            call.func(*call.args, **call.kw)
        return True

    def advance(self, amount: float) -> None:
        """Let time pass; each call sees the time it asked for."""
        end = self.rightNow + amount
        while (due := self.next_time()) is not None and due <= end:
            self.step()
        self.rightNow = max(self.rightNow, end)


@implementer(IReactorTime)
class NodeClock:
    """One node's monotonic clock: its own zero, and timers that end with the node."""

    def __init__(self, base: SimClock, offset: float = 0.0) -> None:
        """:param offset: seconds this clock is ahead of the world's."""
        self.base = base
        self.offset = offset
        self.alive = True

    def seconds(self) -> float:
        return self.base.seconds() + self.offset

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """A call of a node that was killed never comes."""
        call = self.base.callLater(delay, callable, *args, **kw)
        call.owner = self
        if not self.alive:
            self.base.calls.remove(call)
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """The calls of this node that are due."""
        return [call for call in self.base.calls if getattr(call, "owner", None) is self]

    def advance(self, amount: float) -> None:
        """Let the world's time pass, as with `Clock`."""
        self.base.advance(amount)

    def pump(self, timings: Iterable[float]) -> None:
        for amount in timings:
            self.advance(amount)

    def stop(self) -> None:
        """Drop all timers, now and later."""
        self.alive = False
        for call in self.getDelayedCalls():
            call.cancel()
