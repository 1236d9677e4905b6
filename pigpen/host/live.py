"""Live: one expectation and what happened to it so far."""

from __future__ import annotations

import ipaddress
from typing import Self

from pigpen.host.packing import Reads, Record
from pigpen.host.space import Reservation, Room
from pigpen.http.wire import Expectation, WriteState

#: requests a GET expectation allows if it does not say: HTTP pools retry
GET_REQUESTS = 3

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_OPEN = WriteState("open")


class Live:
    """One that the table has at hand. While nothing runs it may be packed at the end of a turn, and
    another object comes back: only what runs, or was cut, is the same one later."""

    __slots__ = ("bytes_left", "complete", "ends", "expectation", "idle", "key", "network",
                 "requests_left", "reservation", "running", "satisfied", "spent", "start_by",
                 "state", "used")  # fmt: skip

    def __init__(self, key: bytes, expectation: Expectation, start_by: float, ends: float) -> None:
        """:param expectation: without its uuid. :param start_by, ends: on the table's clock.
        :raises ValueError: its `from` is no network."""
        self.key = key
        self.expectation = expectation
        self.start_by = start_by
        self.ends = ends
        self.network = _network(expectation.from_)
        self.requests_left = expectation.requests or GET_REQUESTS
        self.bytes_left = expectation.max_bytes
        #: transfers under way
        self.running = 0
        #: whether a request was ever accepted
        self.used = False
        #: whether a whole answer was sent: then it no longer counts as live
        self.satisfied = False
        #: a PUT that was answered
        self.spent = False
        #: whether the table has it among those that may be packed
        self.idle = False
        #: room set aside for a PUT of known length
        self.reservation: Reservation | None = None
        #: bytes of the blob, if it is complete here already
        self.complete: int | None = None
        self.state = _OPEN

    @classmethod
    def restored(cls, key: bytes, record: Record, room: Room | None) -> Self:
        live = cls(key, record.expectation, record.start_by, record.ends)
        live.complete = record.complete
        if record.state is not None:
            live.state = record.state
            live.used = live.spent = live.satisfied = True
        if record.reads is not None:
            live.used = True
            live.requests_left, live.bytes_left, live.satisfied = record.reads
        if record.reserved is not None and room is not None:
            live.reservation = Reservation(room, record.reserved)
        return live

    def record(self) -> Record | None:
        """All that is worth keeping; None if more than that has happened."""
        if self.running:
            return None
        reads = state = None
        if self.is_put:
            if self.used and not (self.spent and self.state is not _OPEN):
                return None
            state = self.state if self.spent else None
        elif self.used:
            reads = Reads(self.requests_left, self.bytes_left, self.satisfied)
        reserved = None if self.reservation is None else self.reservation.left
        return Record(
            self.start_by, self.ends, reserved, self.complete, state, reads, self.expectation
        )

    @property
    def is_put(self) -> bool:
        return self.expectation.method == "PUT"

    def admits(self, address: str) -> bool:
        """Whether a client from there may use it."""
        if self.network is None:
            return True
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return (mapped or found) in self.network


def _network(text: str | None) -> Network | None:
    return None if text is None else ipaddress.ip_network(text, strict=False)
