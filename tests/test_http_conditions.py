"""Conditional requests: RFC 9110 13, against an evaluator that spells out 13.2.2 step by step."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadField
from pigpen.http.conditions import Conditions, Validators, if_range_holds
from pigpen.http.fields import format_date
from pigpen.http.message import Headers
from tests.hypothesis_kit import given, settings, st

NOW = 1_700_000_000
TAGS = ('"a"', '"b"', 'W/"a"', '""')

tag_lists = st.one_of(
    st.none(), st.just(("*",)), st.lists(st.sampled_from(TAGS), min_size=1, max_size=3).map(tuple)
)
dates = st.one_of(st.none(), st.sampled_from([NOW - 1, NOW, NOW + 1]))
conditions = st.builds(Conditions, tag_lists, tag_lists, dates, dates)
versions = st.one_of(
    st.none(),
    st.builds(Validators, st.sampled_from(TAGS), st.sampled_from([NOW, NOW - 1, NOW + 0.5])),
)
methods = st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "MOVE"])


def strong(a: str, b: str) -> bool:
    return a == b and not a.startswith("W/")


def weak(a: str, b: str) -> bool:
    return a.replace("W/", "") == b.replace("W/", "")


def evaluate(asked: Conditions, method: str, current: Validators | None) -> int | None:
    """RFC 9110 13.2.2, in its words: steps 1 to 4 (5 is Range's)."""
    if asked.if_match is not None:  # step 1
        if current is None:
            return 412
        if asked.if_match != ("*",):
            if not any(strong(tag, current.etag) for tag in asked.if_match):
                return 412
    if asked.if_match is None and asked.if_unmodified_since is not None:  # step 2
        if current is not None and current.modified > asked.if_unmodified_since:
            return 412
    if asked.if_none_match is not None and current is not None:  # step 3
        if asked.if_none_match == ("*",) or any(
            weak(tag, current.etag) for tag in asked.if_none_match
        ):
            return 304 if method in ("GET", "HEAD") else 412
    if method in ("GET", "HEAD") and asked.if_none_match is None:  # step 4
        if asked.if_modified_since is not None and current is not None:
            if current.modified == asked.if_modified_since:
                return 304
    return None


class VerdictTests(SynchronousTestCase):
    @settings(max_examples=400)
    @given(conditions, methods, versions)
    def test_order(self, asked: Conditions, method: str, current: Validators | None) -> None:
        """All conditions together are judged in the order of the RFC."""
        self.assertEqual(asked.verdict(method, current), evaluate(asked, method, current))

    def test_examples(self) -> None:
        """The uses that clients rely on: create only, replace only this, do not load again."""
        here = Validators('"v1"', NOW)
        only_new = Conditions(if_none_match=("*",))
        self.assertEqual(only_new.verdict("PUT", here), 412)
        self.assertIsNone(only_new.verdict("PUT", None))
        only_this = Conditions(if_match=('"v1"',))
        self.assertIsNone(only_this.verdict("PUT", here))
        self.assertEqual(only_this.verdict("PUT", None), 412)
        self.assertEqual(Conditions(if_match=('"v0"',)).verdict("PUT", here), 412)
        self.assertEqual(Conditions(if_none_match=('W/"v1"',)).verdict("GET", here), 304)
        since = Conditions(if_modified_since=NOW)
        self.assertEqual(since.verdict("HEAD", here), 304)
        self.assertIsNone(since.verdict("PUT", here))
        self.assertIsNone(since.verdict("GET", Validators('"v2"', NOW + 0.5)))
        # a weak tag never proves that bytes are the same
        self.assertEqual(Conditions(if_match=('W/"v1"',)).verdict("PUT", here), 412)


class FieldTests(SynchronousTestCase):
    @given(conditions)
    def test_round_trip(self, asked: Conditions) -> None:
        """What one side sends the other understands."""
        self.assertEqual(Conditions.from_headers(asked.to_headers()), asked)
        self.assertEqual(asked.empty, not asked.to_headers())

    def test_many_fields(self) -> None:
        """A list may be spread over several fields; two dates are none."""
        headers = Headers(
            [("if-match", '"a"'), ("IF-MATCH", '"b"'), ("If-Modified-Since", format_date(NOW))] * 2
        )
        asked = Conditions.from_headers(headers)
        self.assertEqual(asked.if_match, ('"a"', '"b"') * 2)
        self.assertIsNone(asked.if_modified_since)

    def test_malformed(self) -> None:
        """A malformed tag list is 400, a malformed date is ignored (13.1.3)."""
        for value in ("a", '"a" "b"', '"a', "**", '*, "a"', "W/a", 'w/"a"', "", ",", '"a\x01"'):
            self.assertRaises(BadField, Conditions.from_headers, Headers({"If-Match": value}))
        asked = Conditions.from_headers(Headers({"If-Modified-Since": "yesterday"}))
        self.assertTrue(asked.empty)


class IfRangeTests(SynchronousTestCase):
    def test_tags(self) -> None:
        """A range counts only for exactly the version the client has."""
        here = Validators('"v1"', NOW)
        for value, holds in (
            (None, True),
            ('"v1"', True),
            (' "v1" ', True),
            ('"v0"', False),
            ('W/"v1"', False),
            (format_date(NOW), True),
            (format_date(NOW - 1), False),
            (format_date(NOW + 1), False),
            ("rubbish", False),
            ("", False),
        ):
            self.assertEqual(if_range_holds(value, here), holds, value)
        self.assertFalse(if_range_holds('W/"v1"', Validators('W/"v1"', NOW)))
        self.assertFalse(if_range_holds(format_date(NOW), Validators('"v1"', NOW + 0.5)))
