"""What servers in front say about a client, and what clients only claim."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import TooManyRequests
from pigpen.http.key import Key
from pigpen.http.message import Caller, Headers, Request, Response
from pigpen.web.proxies import MAX_HOPS, BehindProxies, Proxies
from pigpen.web.throttle import Throttle
from tests.web_kit import GET, FakeEnv, Recorder, Server, statuses

OURS = Proxies(["192.0.2.9", "192.0.2.8", "2001:DB8:0::9"])
CLIENT = "198.51.100.7"


def seen(address: str, *fields: tuple[str, str], proxies: Proxies = OURS) -> Request:
    headers = Headers([("Host", "10.0.0.1"), *fields])
    request = Request("GET", Key(("a",)), headers=headers, caller=Caller(address))
    return proxies.seen_through(request)


def client(address: str, *lines: str) -> str:
    return seen(address, *(("X-Forwarded-For", line) for line in lines)).caller.address


class AddressTests(SynchronousTestCase):
    def test_believed(self) -> None:
        """A client behind a proxy is known by its own address, of either kind."""
        self.assertEqual(client("192.0.2.9", CLIENT), CLIENT)
        self.assertEqual(client("192.0.2.9", " \t2001:DB8:1::7 "), "2001:db8:1::7")
        self.assertEqual(client("2001:db8::9", CLIENT), CLIENT)

    def test_strangers(self) -> None:
        """Whoever is no proxy of ours is who it is, whatever it says."""
        for address in (CLIENT, "127.0.0.1", "2001:db8::8", ""):
            self.assertEqual(client(address, "203.0.113.1"), address)
            nobody = seen(address, ("X-Forwarded-For", "203.0.113.1"), proxies=Proxies())
            self.assertEqual(nobody.caller.address, address)

    def test_lies(self) -> None:
        """What a client says itself stands first, and does not count: not an address, not one of
        ours, and nothing that is long or strange."""
        lies = ("203.0.113.1", "192.0.2.9", "127.0.0.1", "junk", "", ",,,", "\x00\xff", "1," * 8000)
        for lie in lies:
            self.assertEqual(client("192.0.2.9", f"{lie}, {CLIENT}"), CLIENT, lie)
            self.assertEqual(client("192.0.2.9", lie, CLIENT), CLIENT, lie)
            self.assertEqual(client("192.0.2.9", f"{lie},{CLIENT}, 192.0.2.8"), CLIENT, lie)

    def test_several(self) -> None:
        """Proxies of ours behind each other; one that we do not know is a client."""
        self.assertEqual(client("192.0.2.9", f"{CLIENT}, 2001:db8::9, 192.0.2.8"), CLIENT)
        self.assertEqual(client("192.0.2.9", f"{CLIENT}", "192.0.2.8"), CLIENT)
        self.assertEqual(client("192.0.2.9", f"{CLIENT}, 203.0.113.5, 192.0.2.8"), "203.0.113.5")
        self.assertEqual(client("192.0.2.9", "192.0.2.8"), "192.0.2.8")
        for hops, address in ((MAX_HOPS, CLIENT), (MAX_HOPS + 1, "192.0.2.9")):
            field = ", ".join([CLIENT] + ["192.0.2.8"] * hops)
            self.assertEqual(client("192.0.2.9", field), address)

    def test_spellings(self) -> None:
        """With a port, in brackets, or as an IPv6 socket shows an IPv4 address."""
        for text in (f"{CLIENT}:55000", f"::ffff:{CLIENT}", f"[::ffff:{CLIENT}]:1"):
            self.assertEqual(client("::ffff:192.0.2.9", text), CLIENT, text)
        for text in ("[2001:db8:1::7]", "[2001:db8:1::7]:443", "2001:0db8:0001::0007"):
            self.assertEqual(client("192.0.2.9", text), "2001:db8:1::7", text)

    def test_nonsense(self) -> None:
        """A proxy that says no address speaks for itself."""
        for text in (
            "unknown", "unix:", "", ",", f"{CLIENT},", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1:2",
            "fe80::1%eth0", f"{CLIENT}:", f"{CLIENT}:123456", "[::1", "::1]", f"[{CLIENT}]x",
            f"for={CLIENT}", f"{CLIENT} {CLIENT}", "1" * 16_000, "\u00b2.1.1.1", f"{CLIENT}\x00",
        ):  # fmt: skip
            self.assertEqual(client("192.0.2.9", text), "192.0.2.9", text[:40])
        self.assertEqual(client("192.0.2.9"), "192.0.2.9")

    @given(st.lists(st.text(alphabet="0129.:af[], \t", max_size=40), max_size=4))
    def test_anything(self, lines: list[str]) -> None:
        """Whatever is sent, nothing breaks, and what comes last decides."""
        self.assertTrue(client("192.0.2.9", *lines))
        self.assertEqual(client("192.0.2.9", *lines, CLIENT), CLIENT)

    def test_wrong_addresses(self) -> None:
        for text in ("", "cloud.example", "192.0.2.1:80", "192.0.2.0/24"):
            self.assertRaises(ValueError, Proxies, [text])


class NameTests(SynchronousTestCase):
    def test_believed(self) -> None:
        """Name and scheme are those that the proxy was asked by: the last ones, if a client sends
        some too."""
        request = seen(
            "192.0.2.9",
            ("X-Forwarded-Host", "a"),
            ("X-Forwarded-Host", "b, cloud.example"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Proto", "HTTPS"),
        )
        self.assertEqual(request.headers.getall("Host"), ["cloud.example"])
        self.assertTrue(request.secure)
        plain = seen("192.0.2.9", ("X-Forwarded-Proto", "https, http"))
        self.assertEqual((plain.headers["Host"], plain.secure), ("10.0.0.1", False))

    def test_not_believed(self) -> None:
        """From anyone else they are words."""
        request = seen(CLIENT, ("X-Forwarded-Host", "evil"), ("X-Forwarded-Proto", "https"))
        self.assertEqual((request.headers["Host"], request.secure), ("10.0.0.1", False))


class Door:
    """Everyone fails, and is counted."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle

    async def handle(self, request: Request) -> Response:
        self._throttle.check("key", request.caller.address)
        self._throttle.failed("", request.caller.address)
        return Response(401)


class ThrottleTests(SynchronousTestCase):
    def test_guesses(self) -> None:
        """Who guesses behind a proxy, with lies of all kinds, shuts out itself alone."""
        door = BehindProxies(Door(Throttle(FakeEnv().clock)), OURS)

        def ask(field: str) -> Deferred[Response]:
            headers = Headers({"X-Forwarded-For": field})
            request = Request("GET", Key(()), headers=headers, caller=Caller("192.0.2.9"))
            return Deferred.fromCoroutine(door.handle(request))

        for number in range(11):
            self.successResultOf(ask(f"203.0.113.{number}, {CLIENT}"))
        self.failureResultOf(ask(f"203.0.113.99, {CLIENT}"), TooManyRequests)
        self.successResultOf(ask("203.0.113.1"))
        self.successResultOf(ask("unknown"))


class ServerTests(SynchronousTestCase):
    def test_connections(self) -> None:
        """A believed proxy has as many connections as there are, by whatever socket it comes; all
        others as many as one address may have."""
        server = Server(Recorder(), proxies=OURS, connections_per_address=1)
        for address in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::9"):
            opened = [server.connect(address) for _ in range(3)]
            self.assertFalse(any(one.closed for one in opened), address)
            opened[0].lose()
        self.assertFalse(server.connect(CLIENT).closed)
        self.assertTrue(server.connect(CLIENT).closed)

    def test_requests(self) -> None:
        """The handler gets requests as the proxy got them."""
        recorder = Recorder()
        server = Server(recorder, proxies=OURS)
        field = f"X-Forwarded-For: {CLIENT}\r\n\r\n".encode()
        for address in ("192.0.2.9", "203.0.113.4"):
            proxy = server.connect(address)
            proxy.send(GET.removesuffix(b"\r\n") + field)
            self.assertEqual(statuses(proxy), [200])
        addresses = [request.caller.address for request in recorder.requests]
        self.assertEqual(addresses, [CLIENT, "203.0.113.4"])
