"""Watch: one timer that bounds each phase of an exchange, and the exchange as a whole."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Watch:
    """Counts how long a peer is silent; resting while we are the slow one.

    It keeps one delayed call for all phases and moves it only when it comes up, so noting progress
    costs nothing but reading the clock.
    """

    __slots__ = ("_call", "_clock", "_deadline", "_limit", "_on_late", "_since", "_start", "phase")

    def __init__(
        self, clock: IReactorTime, deadline: float | None, on_late: Callable[[float], None]
    ) -> None:
        """:param deadline: absolute, for all phases together, resting ones too.
        :param on_late: called once, with the seconds that the peer took."""
        self._clock = clock
        self._start = clock.seconds()
        self._deadline = deadline
        self._on_late = on_late
        self._since = 0.0
        self._limit: float | None = None
        self._call: IDelayedCall | None = None
        self.phase = ""

    def begin(self, deadline: float | None) -> None:
        """Another exchange begins: the same watch may serve all of a connection."""
        self._deadline = deadline
        self._start = self._clock.seconds()

    def expect(self, phase: str, seconds: float) -> None:
        """The peer has `seconds` from now on; each `progress` gives it as many again."""
        self.phase = phase
        self._limit = seconds
        self._since = self._clock.seconds()
        self._arm()

    def rest(self, phase: str) -> None:
        """It is our turn: only the deadline counts."""
        self.phase = phase
        self._limit = None
        self._arm()

    def progress(self) -> None:
        self._since = self._clock.seconds()

    def stop(self) -> None:
        """Nothing is late any more; safe to repeat."""
        self._deadline = self._limit = None
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _due(self) -> float | None:
        ends = [] if self._limit is None else [self._since + self._limit]
        if self._deadline is not None:
            ends.append(self._deadline)
        return min(ends, default=None)

    def _arm(self) -> None:
        due = self._due()
        if due is None:
            return
        now = self._clock.seconds()
        if self._call is None:
            self._call = self._clock.callLater(max(0.0, due - now), self._came_up)
        elif self._call.getTime() > due:
            self._call.reset(max(0.0, due - now))

    def _came_up(self) -> None:
        self._call = None
        due = self._due()
        now = self._clock.seconds()
        if due is None or due > now:
            self._arm()
            return
        at_deadline = self._deadline is not None and now >= self._deadline
        took = now - self._start if at_deadline or self._limit is None else self._limit
        self.stop()
        self._on_late(took)
