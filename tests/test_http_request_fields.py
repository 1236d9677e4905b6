"""Fields of requests: what is stored, how a copy is meant, where a Destination or a tag leads."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadField, BadKey, ElsewhereDestination
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request
from pigpen.http.request_fields import destination_of, path_on_this_server

OWN = {"nas.example", "[::1]:8080"}


def request_to(*values: str, host: str = "localhost:2574") -> Request:
    fields = [("Host", host), *(("Destination", value) for value in values)]
    return Request("MOVE", Key(("a",)), headers=Headers(fields))


class DestinationTests(SynchronousTestCase):
    """DAV-29: an absolute URI or a path, under any name of this server."""

    def test_names(self) -> None:
        """Host, scheme, usual port, case and user's name make no difference."""
        for base in ("", "http://LOCALHOST:2574", "https://localhost:2574", "http://nas.example",
                     "http://nas.example:80", "https://Nas.example:443", "//nas.example",
                     "http://ann@nas.example", "http://[::1]:8080"):  # fmt: skip
            self.assertEqual(
                destination_of(request_to(f"{base}/a%20b/c/"), OWN), Key(("a b", "c"), True), base
            )

    def test_usual_port(self) -> None:
        """A server on the usual port is the same with and without it."""
        self.assertEqual(destination_of(request_to("http://a/x", host="a:80"), ()), Key(("x",)))

    def test_plain_text(self) -> None:
        """A client that does not encode reaches the name it means."""
        text = "/ü 🐷".encode().decode("latin-1")
        self.assertEqual(destination_of(request_to(text), OWN), Key(("ü 🐷",)))

    def test_elsewhere(self) -> None:
        """DAV-18: another host, or another port of it."""
        for value in ("http://evil/x", "http://localhost/x", "http://nas.example:81/x", "//evil/x"):
            self.assertRaises(ElsewhereDestination, destination_of, request_to(value), OWN)

    def test_nonsense(self) -> None:
        """DAV-10, DAV-60: what is no place here is 400, also where it is too long."""
        for value in ("", "x", "?", "/x?y", "/x#y", "http:/x", "ftp://localhost:2574/x", "http://[",
                      "http://a:b/x", "/" + "a" * 256):  # fmt: skip
            self.assertRaises(BadField, destination_of, request_to(value), OWN)
        for value in ("/a//b", "/a/../b", "/%2f", "/%ff", "/\xff", "/%00"):
            self.assertRaises(BadKey, destination_of, request_to(value), OWN)
        self.assertRaises(BadField, destination_of, request_to(), OWN)
        self.assertRaises(BadField, destination_of, request_to("/a", "/b"), OWN)


class TagTests(SynchronousTestCase):
    def test_tags(self) -> None:
        """DAV-34: a tag may be a URI or a path; what is not here names nothing."""
        request = request_to()
        for uri in ("/a%20b", "http://localhost:2574/a%20b", "https://nas.example/a%20b"):
            self.assertEqual(path_on_this_server(request, uri, OWN), "/a%20b")
        for uri in ("urn:uuid:1", "http://evil/a", "a", "/a?b", "opaquelocktoken:x", "http://["):
            self.assertIsNone(path_on_this_server(request, uri, OWN), uri)
