"""The living hosts, in memory: what their last heartbeats said, and when we heard them.

The catalog keeps the identity of each host (owner, key, epoch, addresses); this keeps what changes
every ten seconds. Times are on the Env's monotonic clock. No I/O here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from twisted.internet.interfaces import IReactorTime

from pigpen.coordinator.placement import Candidate, room_of
from pigpen.coordinator.settings import MAX_STREAMS, MISSED_HEARTBEATS
from pigpen.errors import Conflict
from pigpen.http import wire

#: a host that did not answer is asked last for so long
SUSPECT_SECONDS = 5.0


class Host:
    """One host: its identity, and its last heartbeat."""

    __slots__ = ("addresses", "created", "epoch", "heard", "host_id", "instance", "pin",
                 "promised", "report", "streams", "suspect_until")  # fmt: skip

    def __init__(
        self,
        host_id: int,
        *,
        epoch: int,
        instance: str,
        report: wire.Heartbeat,
        created: float,
        heard: float,
        pin: str | None = None,
    ) -> None:
        """:param created: seconds since 1970. :param heard: on the monotonic clock."""
        self.host_id = host_id
        self.epoch = epoch
        self.instance = instance
        self.report = report
        self.addresses = report.addresses
        self.created = created
        self.heard = heard
        self.pin = pin
        self.promised = 0
        #: bodies that pass through us to or from it
        self.streams = 0
        self.suspect_until = 0.0

    @property
    def room(self) -> int:
        """Bytes it may still take: as it said, less what was promised to it since."""
        report = self.report
        return room_of(
            target_size=report.target_size,
            used=report.used,
            reserved=report.reserved + self.promised,
            disk_free=report.disk_free,
            free_floor=report.floor,
        )

    @property
    def control_url(self) -> str:
        """Where we talk to it: by TLS if it can."""
        return next((url for url in self.addresses if url.startswith("https:")), self.addresses[0])

    def client_url(self, *, secure: bool) -> str | None:
        """Where a client is sent that follows plain redirects; None: it would not get there.

        A client that came by TLS is never sent to plain HTTP, and none to a certificate that
        strangers do not accept (CLD-42).
        """
        for url in self.addresses:
            if url.startswith("https:") and self.pin is None:
                return url
        if secure:
            return None
        return next((url for url in self.addresses if url.startswith("http:")), None)

    def pinned_url(self, *, secure: bool) -> str | None:
        """Where a client is sent that checks pins: pigpen's own."""
        for url in self.addresses:
            if url.startswith("https:"):
                return url
        return None if secure else self.addresses[0]

    @property
    def takes_streams(self) -> bool:
        """Whether one more body may pass through us to or from it."""
        return self.streams < MAX_STREAMS

    def begin_stream(self) -> Callable[[], None]:
        """:return: to be called once, when it has ended."""
        self.streams += 1
        return self._end_stream

    def _end_stream(self) -> None:
        self.streams -= 1

    def pin_of(self, url: str) -> str | None:
        return self.pin if url.startswith("https:") else None


class Hosts:
    """All hosts that were heard of since our start, or were alive at it."""

    def __init__(self, clock: IReactorTime, heartbeat_seconds: float) -> None:
        self._clock = clock
        self._silence_seconds = heartbeat_seconds * MISSED_HEARTBEATS
        self._hosts: dict[int, Host] = {}

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    def get(self, host_id: int) -> Host | None:
        return self._hosts.get(host_id)

    def add(self, host: Host) -> None:
        """A host began a session; what was known of an earlier one is dropped.

        :raises Conflict: a later session of it began meanwhile.
        """
        known = self._hosts.get(host.host_id)
        if known is not None and known.epoch > host.epoch:
            raise Conflict(reason=f"host {host.host_id} was started again meanwhile")
        self._hosts[host.host_id] = host

    def beat(self, host: Host, report: wire.Heartbeat) -> None:
        """A heartbeat of the host's current session came."""
        host.report = report
        host.addresses = report.addresses
        host.heard = self._clock.seconds()
        host.promised = 0

    def suspect(self, host: Host) -> None:
        """It did not answer us."""
        host.suspect_until = self._clock.seconds() + SUSPECT_SECONDS

    def is_online(self, host: Host) -> bool:
        """Whether it was heard lately (CLD-73) and did not say goodbye."""
        silence = self._clock.seconds() - host.heard
        return silence < self._silence_seconds and host.report.state != "stopping"

    def candidates(self, wall: float) -> list[Candidate]:
        """Hosts that take new blobs. :param wall: seconds since 1970."""
        return [
            Candidate(host.host_id, host.room, wall - host.created)
            for host in self._hosts.values()
            if host.report.state == "up" and self.is_online(host)
        ]

    def in_order(self, host_ids: Iterable[int]) -> list[Host]:
        """Those of them that are online, in the order given, but the suspects last."""
        known = [self._hosts[host_id] for host_id in host_ids if host_id in self._hosts]
        online = [host for host in known if self.is_online(host)]
        now = self._clock.seconds()
        return sorted(online, key=lambda host: host.suspect_until > now)

    def count_states(self) -> Counter[str]:
        """How many hosts are in each state, for metrics."""
        return Counter(
            host.report.state if self.is_online(host) else "offline"
            for host in self._hosts.values()
        )
