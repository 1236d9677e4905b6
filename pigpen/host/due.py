"""Due: what must be looked at, by the second; one timer for any number."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import ceil

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pigpen.host.rows import KEY_BYTES


class Due:
    """Keys of `KEY_BYTES` each, kept side by side: as objects they would take four times that."""

    __slots__ = ("_clock", "_heap", "_keys", "_look", "_timer")

    def __init__(self, clock: IReactorTime, look: Callable[[bytes, float], None]) -> None:
        """:param look: told a key and the time, up to a second after the key is due."""
        self._clock = clock
        self._look = look
        #: what is looked at in a second, and these seconds
        self._keys: dict[int, bytearray] = {}
        self._heap: list[int] = []
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        """Seconds in which something is due."""
        return len(self._heap)

    def watch(self, when: float, key: bytes) -> None:
        second = ceil(when)
        keys = self._keys.get(second)
        if keys is not None:
            keys += key
            return
        self._keys[second] = bytearray(key)
        heapq.heappush(self._heap, second)
        if self._timer is None or self._timer.getTime() > second + 1:
            self._set_timer()

    def close(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _set_timer(self) -> None:
        self.close()
        if self._heap:
            seconds = max(1, ceil(self._heap[0] - self._clock.seconds()))
            self._timer = self._clock.callLater(seconds, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._heap and self._heap[0] <= now:
            keys = bytes(self._keys.pop(heapq.heappop(self._heap)))
            for at in range(0, len(keys), KEY_BYTES):
                self._look(keys[at : at + KEY_BYTES], now)
        self._set_timer()
