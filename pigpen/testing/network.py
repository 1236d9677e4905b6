"""A simulated network: names, addresses, listening ports, connections, and all that can go wrong.

Kinds of operations for `fail_at`: listen, connect, segment. A connect or listen fails with the
error; a segment resets its connection.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionRefusedError

from pigpen.testing.clock import NodeClock, SimClock
from pigpen.testing.faults import Faults
from pigpen.testing.links import Link
from pigpen.testing.sockets import LOOPBACK, Attempt, Host
from pigpen.testing.transport import FIN, RESET, SimTransport


class Network(Faults):
    """All machines and what runs between them."""

    def __init__(
        self, clock: SimClock, rng: random.Random, note: Callable[..., None] = lambda *_: None
    ) -> None:
        super().__init__()
        self.clock = clock
        self.random = rng
        #: reports each segment and end, for the digest
        self.note = note
        #: shortest and longest time of a segment, in seconds
        self.latency_seconds = (0.0, 0.0)
        #: whether segments are split at random places
        self.split = True
        self.hosts: dict[str, Host] = {}
        self.links: list[Link] = []
        self._slow: dict[tuple[str, str], tuple[float, float]] = {}
        self._partitions: set[tuple[str, str]] = set()
        self._clogged: set[str] = set()
        self._cuts: list[_Cut] = []

    # -- machines ---------------------------------------------------------------------------------

    def add(self, name: str, clock: NodeClock) -> Host:
        """A machine with the next address, or a new clock for one that boots again."""
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(name, f"10.0.0.{len(self.hosts) + 1}", clock)
        host.clock = clock
        host.up = True
        return host

    def find(self, host: Host, name: str) -> Host | None:
        """What a name or address means on `host`."""
        if name in LOOPBACK or name == host.name or name == host.address:
            return host
        for other in self.hosts.values():
            if name in {other.name, other.address}:
                return other
        return None

    def kill(self, name: str, *, silent: bool = False) -> None:
        """A machine's sockets vanish.

        :param silent: peers hear nothing, as after a power cut; else what they hear when a process
            is killed: a clean end, or a reset if bytes lay unread.
        """
        host = self.hosts[name]
        for transport in list(host.transports):
            unread = transport.unread
            transport.vanish()
            if not silent:
                transport.link.send(RESET if unread else FIN)
            self.forget(transport.link)
        host.ports.clear()
        host.up = not silent

    # -- faults -----------------------------------------------------------------------------------

    def partition(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Hold all that `a` sends to `b`, and back; `heal` lets it arrive, in order."""
        self._partitions.add((a, b))
        if not one_way:
            self._partitions.add((b, a))

    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """End the partition of two machines, or of all."""
        if a is None or b is None:
            self._partitions.clear()
        else:
            self._partitions -= {(a, b), (b, a)}
        self._unblock()

    def clog(self, name: str) -> None:
        """Hold all that one machine sends and gets."""
        self._clogged.add(name)

    def unclog(self, name: str) -> None:
        self._clogged.discard(name)
        self._unblock()

    def _unblock(self) -> None:
        for link in list(self.links):
            link.unblock()

    def blocked(self, source: Host, target: Host) -> bool:
        """Whether segments between two machines are held."""
        if source is target:
            return False
        return (
            (source.name, target.name) in self._partitions
            or source.name in self._clogged
            or target.name in self._clogged
        )

    def slow(self, a: str, b: str, shortest: float, longest: float) -> None:
        """Set the latency from `a` to `b`, in seconds."""
        self._slow[a, b] = (shortest, longest)

    def latency(self, source: Host, target: Host) -> float:
        shortest, longest = self._slow.get((source.name, target.name), self.latency_seconds)
        return shortest if shortest == longest else self.random.uniform(shortest, longest)

    def segment_size(self, most: int) -> int:
        if not self.split or self.random.random() < 0.5:
            return most
        return self.random.randint(1, most)

    def cut_after(self, count: int, source: str | None = None, how: str = "reset") -> None:
        """End the next connection that carries more than `count` bytes, exactly there.

        :param source: count what this machine sends; None: each direction by itself.
        :param how: reset: both ends see a loss; fin: a clean end; silence: no more bytes, no end.
        """
        self._cuts.append(_Cut(count, source, how))

    def clear(self) -> None:
        """No more faults, and no more cuts."""
        super().clear()
        self._cuts.clear()

    def carry(self, link: Link, data: bytes) -> None:
        """Deliver a segment, unless a fault strikes."""
        self.note("segment", link.name, data)
        if self.check("segment") is not None:
            self.reset(link)
            return
        for cut in self._cuts:
            left = cut.count - link.carried
            if cut.source in {None, link.source.name} and left < len(data):
                self._cuts.remove(cut)
                link.give(data[:left])
                self._cut(link, cut.how)
                return
        link.give(data)

    def _cut(self, link: Link, how: str) -> None:
        self.note("cut", link.name, how)
        if how == "reset":
            self.reset(link)
            return
        if how == "fin" and link.other_end is not None:
            link.other_end.arrived(FIN)
            link.end.reset()
        link.dead = link.back.dead = True

    def reset(self, link: Link) -> None:
        """Break a connection: both ends see a loss at once."""
        for end in (link.end, link.other_end):
            if end is not None:
                end.reset()
        link.drop_all()
        link.back.drop_all()

    def reset_all(self, a: str | None = None, b: str | None = None) -> None:
        """Break all connections, or those between two machines."""
        for link in list(self.links):
            if {a, b} <= {link.source.name, link.target.name, None}:
                self.reset(link)

    def half_open(self, transport: SimTransport) -> None:
        """One end forgets the connection; the other is not told."""
        transport.vanish()
        self.forget(transport.link)

    # -- connections ------------------------------------------------------------------------------

    def connect(self, source: Host, target: Host, number: int, attempt: Attempt) -> None:
        """Begin a connection; the attempt hears how it went."""
        client_port = source.free_port()
        itself = source is target
        near = IPv4Address("TCP", "127.0.0.1" if itself else source.address, client_port)
        far = IPv4Address("TCP", "127.0.0.1" if itself else target.address, number)
        name = f"{source.name}:{client_port}>{target.name}:{number}"
        there = Link(self, source, target, name)
        back = Link(self, target, source, f"{name} back")
        there.back, back.back = back, there
        there.end = SimTransport(there, near, far)
        back.end = SimTransport(back, far, near)
        attempt.link = there
        self.links += (there, back)
        there.send(lambda: self._accept(there, attempt))

    def _accept(self, there: Link, attempt: Attempt) -> None:
        back = there.back
        near = back.end.getHost()
        port = there.target.port(near.port, from_itself=there.source is there.target)
        self.note("accept" if port else "refuse", there.name)
        protocol = port.factory.buildProtocol(back.end.getPeer()) if port is not None else None
        if protocol is None:
            back.end.disconnected = True
            back.send(lambda: attempt.failed(_refused()))
            return
        back._clock = there.target.clock
        there.other_end = back.end
        there.target.transports.append(back.end)
        back.send(lambda: self._connected(there, attempt))
        back.end.begin(protocol)

    def _connected(self, there: Link, attempt: Attempt) -> None:
        there.back.other_end = there.end
        if attempt.over or not attempt.alive:
            there.end.disconnected = True
            there.refuse()
            return
        there.source.transports.append(there.end)
        attempt.succeeded(there.end)

    def ended(self, link: Link, reason: Exception) -> None:
        """One end of a connection is gone."""
        self.note("end", link.name, type(reason).__name__)
        self.forget(link)

    def forget(self, link: Link) -> None:
        if link.end in link.source.transports:
            link.source.transports.remove(link.end)
        if link.end.disconnected and link.back.end.disconnected:
            self.links = [other for other in self.links if other not in {link, link.back}]


class _Cut:
    __slots__ = ("count", "how", "source")

    def __init__(self, count: int, source: str | None, how: str) -> None:
        assert how in {"reset", "fin", "silence"}
        self.count = count
        self.source = source
        self.how = how


def _refused() -> Exception:
    return ConnectionRefusedError()  # type: ignore[no-untyped-call]
