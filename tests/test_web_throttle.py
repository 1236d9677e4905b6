"""Throttle of wrong access keys. `clock.advance` moves the minute."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import TooManyRequests
from pigpen.web import throttle
from pigpen.web.throttle import Throttle


class ThrottleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.throttle = Throttle(self.clock)

    def fail(self, times: int, key_id: str = "k", address: str = "192.0.2.1") -> None:
        for _ in range(times):
            self.throttle.check(key_id, address)
            self.throttle.failed(key_id, address)

    def test_ten_a_minute(self) -> None:
        """Ten wrong keys a minute are answered, more are not even looked at."""
        self.fail(11)
        self.assertRaises(TooManyRequests, self.throttle.check, "k", "192.0.2.1")

    def test_over_after_a_minute(self) -> None:
        """A minute later one may try again."""
        self.fail(11)
        self.clock.advance(60)
        self.throttle.check("k", "192.0.2.1")

    def test_other_address_same_key(self) -> None:
        """Guessing one key from many addresses does not help."""
        for number in range(11):
            self.throttle.failed("k", f"192.0.2.{number}")
        self.assertRaises(TooManyRequests, self.throttle.check, "k", "198.51.100.1")

    def test_other_key_same_network(self) -> None:
        """Nor does guessing many keys from one IPv6 network."""
        for number in range(11):
            self.throttle.failed(f"k{number}", f"2001:db8::{number:x}")
        self.assertRaises(TooManyRequests, self.throttle.check, "x", "2001:db8::ffff")
        self.throttle.check("x", "2001:db8:0:1::1")

    def test_mapped_address(self) -> None:
        """An IPv4 client is the same over a socket for both families."""
        self.fail(11)
        self.assertRaises(TooManyRequests, self.throttle.check, "other", "::ffff:192.0.2.1")

    def test_owner_is_not_locked_out(self) -> None:
        """Whoever used a key well goes on while strangers guess at it, or neighbours fail."""
        self.throttle.succeeded("k", "192.0.2.1")
        for number in range(11):
            self.throttle.failed("k", f"198.51.100.{number}")
            self.throttle.failed("x", "192.0.2.1")
        self.throttle.check("k", "192.0.2.1")

    def test_a_revoked_key_is_throttled(self) -> None:
        """A key that worked before and is revoked now gets no endless tries."""
        self.throttle.succeeded("k", "192.0.2.1")
        for _ in range(11):
            self.throttle.failed("k", "192.0.2.1")
        self.assertRaises(TooManyRequests, self.throttle.check, "k", "192.0.2.1")

    def test_bounded(self) -> None:
        """A million guesses cost no memory."""
        for number in range(throttle.MAX_NAMES):
            self.throttle.failed(f"k{number}", f"10.0.{number >> 8}.{number & 255}")
            self.throttle.succeeded(f"k{number}", "")
        self.throttle.succeeded("one more", "")
        self.assertEqual(len(self.throttle._failures), throttle.MAX_NAMES)
        self.assertEqual(len(self.throttle._trusted), throttle.MAX_NAMES)
