"""What requests say: pure, nothing to move. Also which clients may be redirected."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator import request_terms
from pigpen.coordinator.user_agents import may_redirect, never_redirect
from pigpen.errors import BadField, BadKey, BadRequest, ElsewhereDestination, PigpenError
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request

ID = "0123456789abcdef" * 4


def make_request(query: str = "", **fields: str) -> Request:
    headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
    return Request("PUT", Key(("a",)), query_string=query, headers=headers)


class QueryTests(SynchronousTestCase):
    def test_modes(self) -> None:
        """Only redirects that exist can be asked for."""
        self.assertIsNone(request_terms.Query(make_request()).redirect)
        self.assertIsNone(request_terms.Query(make_request("redirect=true")).redirect)
        self.assertEqual(request_terms.Query(make_request("redirect=false")).redirect, "false")
        self.assertEqual(request_terms.Query(make_request("redirect=never")).redirect, "never")
        with self.assertRaises(BadRequest):
            _ = request_terms.Query(make_request("redirect=maybe")).redirect

    def test_write_id(self) -> None:
        """A client chooses the id of its write in the query or in a field; nonsense is refused."""
        request = make_request(Pigpen_Write=ID)
        self.assertEqual(request_terms.write_id_of(request, request_terms.Query(request)), ID)
        request = make_request(f"write={ID}")
        self.assertEqual(request_terms.write_id_of(request, request_terms.Query(request)), ID)
        for bad in ("", "x", ID.upper(), ID + "0", "/../" + ID):
            request = make_request(Pigpen_Write=bad)
            with self.assertRaises(BadRequest):
                request_terms.write_id_of(request, request_terms.Query(request))

    def test_flags(self) -> None:
        """parents=false is understood, other words are not."""
        request = make_request("parents=false")
        self.assertFalse(request_terms.when_of(request, request_terms.Query(request)).parents)
        request = make_request("parents=no")
        self.assertRaises(BadRequest, request_terms.when_of, request, request_terms.Query(request))


class FieldTests(SynchronousTestCase):
    def refused(self, function: object, error: type[PigpenError], **fields: str) -> None:
        assert callable(function)
        self.assertRaises(error, function, make_request(**fields))

    def test_upload_length(self) -> None:
        """A length is digits."""
        self.assertEqual(request_terms.upload_length(make_request(Upload_Length="10")), 10)
        self.assertIsNone(request_terms.upload_length(make_request()))
        for bad in ("", "-1", "1e3", "٣", "9" * 19, "1_0"):
            self.refused(request_terms.upload_length, BadField, Upload_Length=bad)

    def test_digest(self) -> None:
        """A malformed digest is refused before any byte is stored."""
        self.assertIsNone(request_terms.digest_of(make_request()))
        self.refused(request_terms.digest_of, BadField, Repr_Digest="sha-256=abc")

    def test_content_type(self) -> None:
        """A type that hosts could not send back is refused."""
        self.assertEqual(request_terms.content_type_of(make_request()), "application/octet-stream")
        self.assertEqual(request_terms.content_type_of(make_request(Content_Type="a/b")), "a/b")
        for bad in ("a/b\x00", "a/b\r\nX: y", "ä", "a" * 201):
            self.refused(request_terms.content_type_of, BadField, Content_Type=bad)

    def test_modified(self) -> None:
        """A writer may say when the file was made."""
        self.assertEqual(request_terms.modified_of(make_request(X_OC_Mtime="1.5")), 1500)
        self.assertEqual(
            request_terms.modified_of(make_request(X_OC_Mtime="1700000000.123")), 1700000000123
        )
        self.assertEqual(request_terms.modified_of(make_request(X_OC_Mtime="-1.25")), -1250)
        self.assertEqual(
            request_terms.modified_of(make_request(X_OC_Mtime="-999999999999")), -62_135_596_800_000
        )
        for bad in ("--1", "now", "1e9", "9" * 13, ""):
            self.refused(request_terms.modified_of, BadField, X_OC_Mtime=bad)

    def test_content_range(self) -> None:
        """A part never replaces the whole."""
        self.refused(request_terms.refuse_content_range, BadField, Content_Range="bytes 0-1/2")

    def test_overwrite_and_depth(self) -> None:
        """Fields of COPY and MOVE that make no sense are refused."""
        self.assertFalse(request_terms.overwrite_of(make_request(Overwrite="f")))
        self.refused(request_terms.overwrite_of, BadField, Overwrite="maybe")
        self.assertFalse(request_terms.deep_of(make_request(Depth="0")))
        self.refused(request_terms.deep_of, BadField, Depth="1")


class DestinationTests(SynchronousTestCase):
    def to(self, value: str) -> Key:
        request = make_request(Host="cloud.example:2573", Destination=value)
        return request_terms.destination_of(request, "ann", "https://cloud.example")

    def test_ours(self) -> None:
        """A path, or a URL of this server under any of its names."""
        for base in ("", "http://cloud.example:2573", "https://CLOUD.example:443"):
            self.assertEqual(self.to(f"{base}/api/ann/a%20b/c/"), Key(("a b", "c"), True))

    def test_elsewhere(self) -> None:
        """Nothing is ever copied to another server or account."""
        for value in ("http://evil.example/api/ann/x", "/api/bob/x", "/x", "//evil/api/ann/x"):
            self.assertRaises(ElsewhereDestination, self.to, value)

    def test_nonsense(self) -> None:
        """Names that are none are refused."""
        for value in ("/api/ann/../bob/x", "/api/ann/%2e%2e/x", "/api/ann//x"):
            self.assertRaises(BadKey, self.to, value)
        for value in (
            "http:/api/ann/x",
            "ftp://cloud.example/api/ann/x",
            "x",
            "/api/ann/x?q",
            "http://[",
        ):
            self.assertRaises(BadField, self.to, value)


class AgentTests(SynchronousTestCase):
    def test_who_forwards_keys(self) -> None:
        """A client that would show its access key to the host is not sent there."""
        for agent in ("Wget/1.21", "Java/17.0.1", "Python-urllib/3.11"):
            self.assertTrue(never_redirect(agent))
            self.assertFalse(may_redirect(agent, "a", "http://b"))
        for agent in ("curl/8.5.0", "python-requests/2.32", "", "Mozilla/5.0"):
            self.assertTrue(may_redirect(agent, "a", "http://b"))

    def test_same_name(self) -> None:
        """Go clients take another port, and a subdomain, for the same place."""
        go = "Go-http-client/1.1"
        self.assertFalse(may_redirect(go, "nas:2573", "http://nas:2575"))
        self.assertFalse(may_redirect(go, "a.example", "http://h.a.example:2575"))
        self.assertTrue(may_redirect(go, "a.example", "http://b.example:2575"))
        self.assertFalse(may_redirect(go, "[", "http://b.example"))
