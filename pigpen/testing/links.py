"""How segments travel between two ends: in order, late, held by partitions, cut by faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pigpen.testing.transport import RESET, End, SimTransport

if TYPE_CHECKING:
    from pigpen.testing.clock import NodeClock
    from pigpen.testing.network import Network
    from pigpen.testing.sockets import Host

Item = bytes | End | Callable[[], object]


class Link:
    """One direction of a connection, from `source` to `target`."""

    def __init__(self, network: Network, source: Host, target: Host, name: str) -> None:
        self.network = network
        self.source = source
        self.target = target
        self.name = name
        self.back: Link
        self.end: SimTransport  # our end, whose bytes this link carries
        self.other_end: SimTransport | None = None
        #: bytes delivered so far
        self.carried = 0
        #: nothing arrives any more, and nobody is told
        self.dead = False
        self._queue: deque[tuple[float, Item]] = deque()
        self._timer = False
        self._clock: NodeClock = source.clock

    # -- what a transport needs -------------------------------------------------------------------

    def soon(self, function: Callable[..., object], *args: object) -> None:
        """In the next turn of the end's node."""
        self._clock.callLater(0, function, *args)

    def segment_size(self, most: int) -> int:
        return self.network.segment_size(most)

    def reset_eats_data(self) -> bool:
        return self.network.random.random() < 0.5

    def send(self, item: Item) -> None:
        """Let it arrive at the other end after all that was sent before."""
        now = self.network.clock.seconds()
        due = now + self.network.latency(self.source, self.target)
        if self._queue:
            due = max(due, self._queue[-1][0])
        self._queue.append((due, item))
        self._schedule()

    def acknowledge(self, count: int) -> None:
        """Tell the sender, over the way back, that its bytes were read here."""
        sender = self.back.end
        self.send(lambda: sender.acknowledged(count))

    def refuse(self) -> None:
        """Bytes came for a socket that is closed: a reset goes back."""
        self.send(RESET)

    def ended(self, reason: Exception) -> None:
        self.network.ended(self, reason)

    # -- travelling -------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._queue and not self._timer and not self.network.blocked(self.source, self.target):
            self._timer = True
            delay = max(0.0, self._queue[0][0] - self.network.clock.seconds())
            self.network.clock.callLater(delay, self._deliver)

    def unblock(self) -> None:
        """A partition may have ended."""
        self._schedule()

    def _deliver(self) -> None:
        self._timer = False
        if not self._queue or self.network.blocked(self.source, self.target):
            return
        _, item = self._queue.popleft()
        self._arrive(item)
        self._schedule()

    def _arrive(self, item: Item) -> None:
        if self.dead or not self.target.up:
            return
        if callable(item):
            item()
        elif self.other_end is not None:
            if isinstance(item, bytes):
                self.network.carry(self, item)
            else:
                self.network.note(item.value, self.name)
                self.other_end.arrived(item)

    def give(self, data: bytes) -> None:
        """Hand bytes to the other end."""
        assert self.other_end is not None
        self.carried += len(data)
        if data:
            self.other_end.arrived(data)

    def abandon(self) -> None:
        """Our end gave up before the connection stood."""
        self.end.disconnected = True
        if self.other_end is None:
            self.back.end.disconnected = True
            self.dead = True
        self.network.forget(self)

    def drop_all(self) -> None:
        """What travels is lost."""
        self._queue.clear()
