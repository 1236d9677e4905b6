"""JSON answers, and the one way in which an error becomes an answer."""

from __future__ import annotations

import json

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen import errors
from pigpen.http.answers import (
    JSON,
    check_method,
    decode_json,
    error_answer,
    json_answer,
    read_json,
)
from pigpen.http.body import BytesBody
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request
from tests.hypothesis_kit import given, st


class Shape(msgspec.Struct):
    number: int
    name: str = ""


def put(data: bytes, content_type: str | None = JSON) -> Request:
    headers = Headers() if content_type is None else Headers({"Content-Type": content_type})
    return Request("PUT", Key(("a",)), headers=headers, body=BytesBody(data))


def read(request: Request, limit: int = 1000) -> Deferred:
    return Deferred.fromCoroutine(read_json(request, Shape, limit))


class JsonAnswerTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """JSON answers say so, and no cache keeps them unless told."""
        answer = json_answer(201, Shape(1), Headers({"X": "y"}))
        self.assertEqual(
            dict(answer.headers), {"X": "y", "Cache-Control": "no-store", "Content-Type": JSON}
        )
        self.assertEqual(json.loads(answer.body.data), {"number": 1, "name": ""})
        kept = json_answer(200, 1, Headers({"Cache-Control": "max-age=5"}))
        self.assertEqual(kept.headers["Cache-Control"], "max-age=5")


class ErrorAnswerTests(SynchronousTestCase):
    def test_problem(self) -> None:
        """The body has a code for programs and a sentence for people."""
        answer = error_answer(errors.BadKey(reason="a name is empty"))
        self.assertEqual(answer.status, 400)
        self.assertEqual(
            json.loads(answer.body.data),
            {"error": "bad-key", "message": "This key cannot be used: a name is empty."},
        )

    def test_retry_after(self) -> None:
        """When to try again is said where it helps; the thrower may know better."""
        self.assertEqual(error_answer(errors.NoReplica()).headers["Retry-After"], "5")
        busy = errors.TooManyRequests(reason="x", retry_after=7)
        self.assertEqual(error_answer(busy).headers["Retry-After"], "7")
        self.assertNotIn("Retry-After", error_answer(errors.NotFound()).headers)

    def test_required_fields(self) -> None:
        """401 names the ways to authenticate, 405 the methods, 416 the length (RFC 9110 15.5)."""
        challenges = error_answer(errors.Unauthorized()).headers.getall("WWW-Authenticate")
        self.assertEqual([text.split()[0] for text in challenges], ["Bearer", "Basic"])
        refused = error_answer(errors.MethodNotAllowed(method="PATCH", allow="GET, PUT"))
        self.assertEqual(refused.headers["Allow"], "GET, PUT")
        outside = error_answer(errors.RangeNotSatisfiable(length=5))
        self.assertEqual(outside.headers["Content-Range"], "bytes */5")

    def test_roots(self) -> None:
        """A 423 names what is locked, as a path."""
        locked = errors.Locked(roots=(Key(("a b",), True), Key((), True)))
        self.assertEqual(json.loads(error_answer(locked).body.data)["roots"], ["/a%20b/", "/"])

    def test_check_method(self) -> None:
        """A method that is not allowed is refused with those that are."""
        request = put(b"")
        check_method(request, "GET", "PUT")
        error = self.assertRaises(errors.MethodNotAllowed, check_method, request, "GET", "HEAD")
        self.assertEqual(error.message, "PUT is not possible here; allowed: GET, HEAD.")


class ReadJsonTests(SynchronousTestCase):
    def test_types(self) -> None:
        """JSON is read under its own type, none, and the one curl -d sends; else 415."""
        for content_type in (JSON, "Application/JSON; charset=utf-8", None, "",
                             "application/x-www-form-urlencoded"):  # fmt: skip
            self.assertEqual(
                self.successResultOf(read(put(b'{"number": 1}', content_type))), Shape(1)
            )
        self.failureResultOf(read(put(b"{}", "text/plain")), errors.UnsupportedMediaType)

    def test_bounded(self) -> None:
        """A body over the limit is 413."""
        self.failureResultOf(read(put(b'{"number": 1}' + b" " * 1000)), errors.TooLarge)

    def test_wrong(self) -> None:
        """What is no such JSON is 400, and the message says where."""
        for data in (b"", b"{", b"[]", b"{}", b"null", b"\xff", b'{"number": "1"}',
                     b"\xef\xbb\xbf{}",
                     b'{"number": 1, "name": "\xff"}', b'{"number": 1e999}', b'{"number": NaN}',
                     b'{"number": ' + b"9" * 5000 + b"}", b'{"x": ' + b"[" * 100_000,
                     b'{"number": 1} x', "{}".encode("utf-16")):  # fmt: skip
            self.assertRaises(errors.BadRequest, decode_json, data, Shape)
        error = self.assertRaises(errors.BadRequest, decode_json, b'{"number": "x"}', Shape)
        self.assertIn("$.number", error.message)

    @given(st.binary(max_size=30))
    def test_rubbish(self, data: bytes) -> None:
        """Never another exception."""
        try:
            decode_json(data, Shape)
        except errors.BadRequest:
            return
