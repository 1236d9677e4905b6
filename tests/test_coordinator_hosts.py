"""The living hosts in memory. `clock.advance` makes them silent."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.hosts import Host, Hosts
from pigpen.errors import Conflict
from pigpen.http import wire

HTTP = "http://host.example:2575"
HTTPS = "https://host.example:2575"


def make_report(**facts: object) -> wire.Heartbeat:
    report = {
        "epoch": 1, "target_size": 1000, "used": 100, "reserved": 50, "floor": 10,
        "disk_free": 5000, "state": "up", "addresses": [HTTP],
    }  # fmt: skip
    return wire.Heartbeat(**{**report, **facts})


def make_host(host_id: int = 1, *, epoch: int = 1, pin: str | None = None, **facts: object) -> Host:
    return Host(
        host_id, epoch=epoch, instance="0" * 64, report=make_report(**facts), created=0, heard=0,
        pin=pin,
    )  # fmt: skip


class HostsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.hosts = Hosts(self.clock, 10)

    def test_room(self) -> None:
        """A host is offered what its last report leaves, less what was promised since."""
        host = make_host()
        self.assertEqual(host.room, 850)
        host.promised = 50
        self.assertEqual(host.room, 800)
        self.hosts.beat(host, make_report(reserved=100))
        self.assertEqual(host.room, 800)

    def test_three_missed(self) -> None:
        """A host that misses three heartbeats gets nothing; its next one brings it back."""
        host = make_host()
        self.hosts.add(host)
        self.clock.advance(29.9)
        self.assertEqual([one.host_id for one in self.hosts.candidates(0)], [1])
        self.clock.advance(0.1)
        self.assertEqual(self.hosts.candidates(0), [])
        self.assertEqual(self.hosts.in_order([1]), [])
        self.assertEqual(self.hosts.count_states(), {"offline": 1})
        self.hosts.beat(host, make_report())
        self.assertEqual([one.host_id for one in self.hosts.candidates(0)], [1])

    def test_states(self) -> None:
        """A draining or read-only host still serves what it has; one that stops does not."""
        for number, state in enumerate(("up", "draining", "read-only", "stopping"), start=1):
            self.hosts.add(make_host(number, state=state))
        self.assertEqual([one.host_id for one in self.hosts.candidates(0)], [1])
        self.assertEqual([one.host_id for one in self.hosts.in_order([4, 3, 2, 1])], [3, 2, 1])

    def test_suspects_last(self) -> None:
        """A host that was silent just now is asked after the others."""
        for number in (1, 2):
            self.hosts.add(make_host(number))
        self.hosts.suspect(next(iter(self.hosts)))
        self.assertEqual([one.host_id for one in self.hosts.in_order([1, 2])], [2, 1])

    def test_older_session(self) -> None:
        """An older session never replaces a newer one."""
        self.hosts.add(make_host(epoch=3))
        self.assertRaises(Conflict, self.hosts.add, make_host(epoch=2))


class UrlTests(SynchronousTestCase):
    """Where clients are sent (CLD-42)."""

    def test_plain(self) -> None:
        """A TLS client is never sent to plain HTTP."""
        host = make_host()
        self.assertEqual(host.client_url(secure=False), HTTP)
        self.assertIsNone(host.client_url(secure=True))
        self.assertIsNone(host.pinned_url(secure=True))

    def test_pinned(self) -> None:
        """Only clients that check pins are sent to a certificate nobody else knows."""
        host = make_host(pin="p", addresses=[HTTPS])
        self.assertIsNone(host.client_url(secure=True))
        self.assertIsNone(host.client_url(secure=False))
        self.assertEqual(host.pinned_url(secure=True), HTTPS)
        self.assertEqual(host.pin_of(HTTPS), "p")

    def test_both(self) -> None:
        """TLS goes first where it works."""
        host = make_host(addresses=[HTTP, HTTPS])
        self.assertEqual(host.client_url(secure=True), HTTPS)
        self.assertEqual(host.control_url, HTTPS)
        pinned = make_host(addresses=[HTTP, HTTPS], pin="p")
        self.assertEqual(pinned.client_url(secure=False), HTTP)
        self.assertIsNone(pinned.pin_of(HTTP))
