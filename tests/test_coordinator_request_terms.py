"""What requests say: pure, nothing to move."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator import request_terms
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
        twice = Headers([("Upload-Length", "5000"), ("Upload-Length", "6000")])
        request = Request("PUT", Key(("a",)), headers=twice)
        self.assertRaises(BadField, request_terms.upload_length, request)

    def test_content_type(self) -> None:
        """A type that hosts could not send back is refused."""
        self.assertEqual(request_terms.content_type_of(make_request()), "application/octet-stream")
        self.assertEqual(request_terms.content_type_of(make_request(Content_Type="a/b")), "a/b")
        for bad in ("a/b\x00", "a/b\r\nX: y", "ä", "a" * 201):
            self.refused(request_terms.content_type_of, BadField, Content_Type=bad)


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
