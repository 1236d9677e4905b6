"""Patience: how long an upload may take, and how long it may be silent."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pigpen.errors import PigpenError, RequestTimeout


class Patience:
    """One timer for an upload, however many chunks it has. While we do not ask for bytes, as the
    disk is slow, the client is not silent."""

    __slots__ = ("_clock", "_cut", "_ends", "_idle", "_timer", "_waiting_since")

    def __init__(
        self, clock: IReactorTime, cut: Callable[[PigpenError], object], idle: float, ends: float
    ) -> None:
        """:param ends: absolute, on `clock`. :param idle: seconds without a byte."""
        self._clock = clock
        self._cut = cut
        self._idle = idle
        self._ends = ends
        self._timer: IDelayedCall | None = None
        self._waiting_since: float | None = None

    def begin(self) -> None:
        now = self._clock.seconds()
        silent = now if self._waiting_since is None else self._waiting_since
        due = min(self._ends, silent + self._idle)
        self._timer = self._clock.callLater(max(0, due - now), self._look)

    def wait(self) -> None:
        """We ask for a byte."""
        self._waiting_since = self._clock.seconds()

    def go_on(self) -> None:
        """It came."""
        self._waiting_since = None

    def end(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _look(self) -> None:
        now = self._clock.seconds()
        since = self._waiting_since
        if now >= self._ends or (since is not None and now - since >= self._idle):
            self._cut(RequestTimeout())
        else:
            self.begin()
