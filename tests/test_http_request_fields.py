"""Fields of requests: what is stored, how a copy is meant, where a Destination or a tag leads."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadField, BadKey, ElsewhereDestination
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request
from pigpen.http.request_fields import (
    deep_of,
    destination_of,
    digest_of,
    modified_of,
    overwrite_of,
    path_on_this_server,
    refuse_content_range,
)

OWN = {"nas.example", "[::1]:8080"}


def make_request(**fields: str) -> Request:
    headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
    return Request("PUT", Key(("a",)), headers=headers)


def request_to(*values: str, host: str = "localhost:2574") -> Request:
    fields = [("Host", host), *(("Destination", value) for value in values)]
    return Request("MOVE", Key(("a",)), headers=Headers(fields))


class FieldTests(SynchronousTestCase):
    def refused(self, function: Callable[[Request], object], **fields: str) -> None:
        self.assertRaises(BadField, function, make_request(**fields))

    def test_digest(self) -> None:
        """A malformed digest is refused before any byte is stored."""
        self.assertIsNone(digest_of(make_request()))
        self.refused(digest_of, Repr_Digest="sha-256=abc")

    def test_modified(self) -> None:
        """A writer may say when the file was made."""
        self.assertEqual(modified_of(make_request(X_OC_Mtime="1.5")), 1500)
        self.assertEqual(modified_of(make_request(X_OC_Mtime="1700000000.123")), 1700000000123)
        self.assertEqual(modified_of(make_request(X_OC_Mtime="-1.25")), -1250)
        self.assertEqual(modified_of(make_request(X_OC_Mtime="-999999999999")), -62_135_596_800_000)
        for bad in ("--1", "now", "1e9", "9" * 13, ""):
            self.refused(modified_of, X_OC_Mtime=bad)

    def test_content_range(self) -> None:
        """A part never replaces the whole."""
        self.refused(refuse_content_range, Content_Range="bytes 0-1/2")

    def test_overwrite_and_depth(self) -> None:
        """Fields of COPY and MOVE that make no sense are refused."""
        self.assertFalse(overwrite_of(make_request(Overwrite="f")))
        self.refused(overwrite_of, Overwrite="maybe")
        self.assertFalse(deep_of(make_request(Depth="0")))
        self.refused(deep_of, Depth="1")

    def test_repeated(self) -> None:
        """A field that comes twice and says two things says nothing: nobody is overwritten."""
        for function, name, one, other in (
            (overwrite_of, "Overwrite", "T", "F"),
            (deep_of, "Depth", "0", "infinity"),
            (modified_of, "X-OC-Mtime", "1", "2"),
        ):
            headers = Headers([(name, one), (name, other)])
            self.assertRaises(BadField, function, Request("COPY", Key(("a",)), headers=headers))


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

    def test_loopback(self) -> None:
        """A port of this machine is one server, whatever name its clients mix: GVFS, davfs2."""
        names = ("localhost", "127.0.0.1", "[::1]", "LocalHost")
        for host in names:
            for name in names:
                request = request_to(f"http://{name}:2574/x", host=f"{host}:2574")
                self.assertEqual(destination_of(request, ()), Key(("x",)), (host, name))
                self.assertEqual(path_on_this_server(request, f"http://{name}:2574/x", ()), "/x")
        self.assertEqual(
            destination_of(request_to("http://127.0.0.1:80/x", host="localhost"), ()), Key(("x",))
        )
        for host, name in (
            ("127.0.0.1:2574", "localhost:2575"), ("127.0.0.1:2574", "localhost"),
            ("cloud.example:2574", "localhost:2574"), ("127.0.0.1:2574", "cloud.example:2574"),
            ("[::1", "localhost"), ("", "elsewhere"),
        ):  # fmt: skip
            request = request_to(f"http://{name}/x", host=host)
            self.assertRaises(ElsewhereDestination, destination_of, request, ())
            self.assertIsNone(path_on_this_server(request, f"http://{name}/x", ()))

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
