"""Placement and host addresses. Pure; no clock to move."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.addresses import check_addresses, is_public
from pigpen.coordinator.placement import Candidate, order_hosts, room_of
from pigpen.errors import BadRequest

DAY = 86_400.0
GIB = 1024**3


class RoomTests(SynchronousTestCase):
    def test_the_smaller_of_target_and_disk(self) -> None:
        """A host takes no more than its owner lends, and leaves its disk the floor."""
        room = {"target_size": 100, "used": 30, "reserved": 20, "disk_free": 60, "free_floor": 5}
        self.assertEqual(room_of(**room), 50)
        self.assertEqual(room_of(**{**room, "disk_free": 25}), 20)

    def test_lowered_target(self) -> None:
        """A host that has more than its target takes nothing new."""
        self.assertEqual(
            room_of(target_size=10, used=30, reserved=0, disk_free=60, free_floor=5), 0
        )


class OrderTests(SynchronousTestCase):
    def share(self, candidates: list[Candidate]) -> Counter[int]:
        random = Random(7)
        return Counter(order_hosts(candidates, 1, random)[0] for _ in range(4000))

    def test_by_room(self) -> None:
        """A host with three times the room gets three times the blobs."""
        first = self.share([Candidate(1, 3 * GIB, DAY), Candidate(2, GIB, DAY)])
        self.assertLess(abs(first[1] / 4000 - 0.75), 0.03)

    def test_first_day(self) -> None:
        """A new host gets a quarter of its share."""
        first = self.share([Candidate(1, GIB, DAY), Candidate(2, GIB, DAY - 1)])
        self.assertLess(abs(first[1] / 4000 - 0.8), 0.03)

    def test_no_room(self) -> None:
        """A host without room for the whole object is not asked."""
        hosts = [Candidate(1, 99, DAY), Candidate(2, 100, DAY), Candidate(3, 0, DAY)]
        self.assertEqual(order_hosts(hosts, 100, Random(1)), [2])

    def test_unknown_length(self) -> None:
        """A pipe goes to any host that is not full."""
        hosts = [Candidate(1, 1, DAY), Candidate(2, 0, DAY)]
        self.assertEqual(order_hosts(hosts, None, Random(1)), [1])

    @given(st.dictionaries(st.integers(), st.integers(0, 2**62), max_size=9), st.integers())
    def test_each_once(self, rooms: dict[int, int], seed: int) -> None:
        """Every host with room is in the order once, so a write tries them all."""
        candidates = [Candidate(host, room, 0) for host, room in rooms.items()]
        order = order_hosts(candidates, None, Random(seed))
        self.assertEqual(sorted(order), sorted(host for host, room in rooms.items() if room))


class AddressTests(SynchronousTestCase):
    def test_public(self) -> None:
        """Global addresses and full names are taken, in one spelling."""
        given_urls = ["http://8.8.8.8:2575/", "HTTPS://Host.Example.ORG", "http://[2001:4860::1]:1"]
        self.assertEqual(
            check_addresses(given_urls, allow_private=False),
            ["http://8.8.8.8:2575", "https://host.example.org", "http://[2001:4860::1]:1"],
        )

    def test_private(self) -> None:
        """A host cannot make others talk to machines inside their network."""
        for name in PRIVATE:
            url = f"http://{name}:2575"
            self.assertRaises(BadRequest, check_addresses, [url], allow_private=False)

    def test_led_to(self) -> None:
        """What a name led to is judged like an address that was written."""
        for address in ("8.8.8.8", "2001:4860::1"):
            self.assertTrue(is_public(address), address)
        numeric = [name.strip("[]") for name in PRIVATE if name[0] == "[" or name.count(".") == 3]
        for address in (*numeric, "fe80::1%eth0", "nas", ""):
            self.assertFalse(is_public(address), address)

    def test_private_where_allowed(self) -> None:
        """On a LAN the operator may allow them."""
        for name in ("127.0.0.1", "nas", "10.0.0.7", "[::1]"):
            url = f"http://{name}:2575"
            self.assertEqual(check_addresses([url], allow_private=True), [url])

    def test_nonsense(self) -> None:
        """What is no base URL is refused with a sentence."""
        for url in NONSENSE:
            error = self.assertRaises(BadRequest, check_addresses, [url], allow_private=True)
            self.assertIn("address", error.message)


PRIVATE = (
    "127.0.0.1", "169.254.169.254", "10.1.2.3", "192.168.0.1", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "[::1]", "[fe80::1]", "[fc00::1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "localhost", "a.localhost", "nas", "nas.local", "db.internal", "127.1",
    "2130706433", "0x7f.1", "1.2.3.0x7f", "localhost.",
)  # fmt: skip

NONSENSE = (
    "ftp://a.example:1", "http://", "http://u:p@a.example", "http://a.example/path",
    "http://a.example?q", "http://a.example#f", "http://a.example:0", "http://a.example:99999",
    "http://a b", "http://[::1", "//a.example", "http://-.exa_mple:1",
)  # fmt: skip
