"""Requests and responses: queries, copies, and what a status means."""

from __future__ import annotations

from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadRequest
from pigpen.http.body import BytesBody
from pigpen.http.key import Key
from pigpen.http.message import NOBODY, Caller, Headers, Outcome, Request, Response
from tests.hypothesis_kit import given, st

KEY = Key.of(["a", "b"])


class QueryTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=5))
    def test_round_trip(self, fields: list[tuple[str, str]]) -> None:
        """Names and values survive encoding, repeated names too."""
        fields = [(name, value) for name, value in fields if name or value]
        request = Request("GET", KEY, query_string=urlencode(fields, errors="replace"))
        encodable = [
            (name.encode("utf-8", "replace").decode(), value.encode("utf-8", "replace").decode())
            for name, value in fields
        ]
        self.assertEqual(list(request.query.items()), encodable)

    @given(st.text("a=&%+;20\xff#", max_size=20))
    def test_rubbish(self, text: str) -> None:
        """Whatever a query is, it can be asked for."""
        self.assertIsNone(Request("GET", KEY, query_string=text).query.get("absent"))

    def test_forms(self) -> None:
        """No query, names without value."""
        self.assertEqual(len(Request("GET", KEY).query), 0)
        self.assertEqual(Request("GET", KEY, query_string="recursive&x=1").query["recursive"], "")

    def test_bounded(self) -> None:
        """More than 100 fields are the client's mistake, not ours."""
        request = Request("GET", KEY, query_string="&".join(["a=1"] * 101))
        self.assertRaises(BadRequest, lambda: request.query)


class RequestTests(SynchronousTestCase):
    def test_replace(self) -> None:
        """A copy differs only in what was asked for."""
        body = BytesBody(b"x")
        request = Request(
            "PUT", KEY, query_string="q", headers=Headers({"A": "1"}), body=body, deadline=5.0,
            caller=Caller("192.0.2.1", "ada"), secure=True, http11=False,
        )  # fmt: skip
        copy = request.replace(key=KEY.below(1), method="GET")
        self.assertEqual((copy.method, copy.key), ("GET", Key(("b",))))
        for name in ("query_string", "headers", "body", "deadline", "caller", "secure", "http11"):
            self.assertIs(getattr(copy, name), getattr(request, name))
        self.assertEqual(request.key, KEY)
        self.assertRaises(TypeError, request.replace, color="red")

    def test_defaults(self) -> None:
        """A bare request has no body, no caller, no limit."""
        request = Request("GET", KEY)
        self.assertEqual((request.body.length, request.caller, request.deadline), (0, NOBODY, None))
        self.assertEqual(repr(request), "<Request GET a/b>")

    def test_no_secrets(self) -> None:
        """What is logged of a request shows no header and no query."""
        request = Request("GET", KEY, query_string="s3", headers=Headers({"Authorization": "s3"}))
        self.assertNotIn("s3", repr(request))


class ResponseTests(SynchronousTestCase):
    def test_outcomes(self) -> None:
        """Hit, miss, refusal and error are never mixed (CMB-1)."""
        for status, outcome in (
            (200, Outcome.HIT), (206, Outcome.HIT), (304, Outcome.HIT), (307, Outcome.HIT),
            (404, Outcome.MISS), (410, Outcome.MISS), (400, Outcome.REFUSAL),
            (412, Outcome.REFUSAL), (429, Outcome.REFUSAL), (500, Outcome.ERROR),
            (503, Outcome.ERROR), (507, Outcome.ERROR),
        ):  # fmt: skip
            self.assertIs(Response(status).outcome, outcome, status)
        self.assertEqual(repr(Response(404)), "<Response 404>")
