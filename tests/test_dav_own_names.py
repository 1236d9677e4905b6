"""Names a server answers to, and pages that may change something (DAV-102, DAV-103)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.own_names import OwnNames, OwnNamesOnly
from pigpen.errors import Forbidden, Misdirected, PigpenError
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response


class Open:
    """Answers everyone."""

    async def handle(self, _: Request) -> Response:
        return Response(200)


class HostsCase(SynchronousTestCase):
    names = OwnNames()

    def ask(self, method: str = "GET", **fields: str) -> Response:
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        request = Request(method, Key(("a",)), headers=headers)
        return self.successResultOf(self.deferred(request))

    def deferred(self, request: Request) -> object:
        from twisted.internet.defer import Deferred

        return Deferred.fromCoroutine(OwnNamesOnly(Open(), self.names).handle(request))

    def refused(self, error: type[PigpenError], method: str = "GET", **fields: str) -> None:
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        request = Request(method, Key(("a",)), headers=headers)
        self.failureResultOf(self.deferred(request), error)


class HostTests(HostsCase):
    def test_loopback(self) -> None:
        """Every usual name of this machine, with any port, and none at all (HTTP/1.0)."""
        for host in ("127.0.0.1:2574", "localhost", "LOCALHOST:1", "[::1]:2574"):
            self.ask(Host=host)
        self.ask()

    def test_strangers(self) -> None:
        """A name that a web page made lead here is not answered (DNS rebinding)."""
        for host in ("evil.example", "127.0.0.1.evil.example", "192.0.2.1", "a@localhost.x", "[:"):
            self.refused(Misdirected, Host=host)

    def test_bound_and_aliases(self) -> None:
        """The address that is listened on and the aliases, with their port or any."""
        self.names = OwnNames("192.0.2.7", frozenset({"cloud.example", "other.example:8443"}))
        for host in ("192.0.2.7:2574", "cloud.example", "Cloud.Example:99", "other.example:8443"):
            self.ask(Host=host)
        self.refused(Misdirected, Host="other.example:1")

    def test_all_addresses(self) -> None:
        """A server on all addresses answers to numbers, which nobody can make lead elsewhere."""
        self.names = OwnNames("")
        self.ask(Host="198.51.100.3:2574")
        self.ask(Host="[2001:db8::1]")
        self.refused(Misdirected, Host="evil.example")

    def test_anywhere(self) -> None:
        """Behind somebody else's server, that one decides."""
        self.names = OwnNames(anywhere=True)
        self.ask(Host="whatever.example")


class OriginTests(HostsCase):
    def test_own_pages(self) -> None:
        """Our own page may change things; so may programs, which send no Origin."""
        self.ask("PUT", Host="localhost:2574", Origin="http://localhost:2574")
        self.ask("PUT", Host="localhost:2574", Sec_Fetch_Site="same-origin")
        self.ask("DELETE", Host="localhost:2574")

    def test_foreign_pages(self) -> None:
        """A page of another server, a sandboxed one or a file changes nothing."""
        for origin in ("http://evil.example", "null", "http://localhost:3000", "", "x"):
            self.refused(Forbidden, "PUT", Host="localhost:2574", Origin=origin)
        for method in ("DELETE", "MOVE", "MKCOL", "LOCK", "PROPPATCH", "POST"):
            self.refused(Forbidden, method, Host="localhost", Sec_Fetch_Site="cross-site")

    def test_reads(self) -> None:
        """Reading is not refused: pages of others cannot see the answer."""
        for method in ("GET", "HEAD", "OPTIONS", "PROPFIND"):
            self.ask(method, Host="localhost", Origin="http://evil.example")

    def test_alias(self) -> None:
        """A page that was opened by an alias."""
        self.names = OwnNames(aliases=frozenset({"cloud.example"}))
        self.ask("PUT", Host="localhost:2574", Origin="https://cloud.example")
