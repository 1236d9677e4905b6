"""Dates, entity tags, Repr-Digest and Link: what we write is read back, rubbish is harmless."""

from __future__ import annotations

import base64
import hashlib

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadField
from pigpen.http.fields import (
    Link,
    format_date,
    format_digest,
    format_links,
    format_modified,
    is_etag,
    parse_date,
    parse_digest,
    parse_etags,
    parse_links,
    parse_modified,
)
from tests.hypothesis_kit import example, given, st

#: before, years have fewer than three digits, which readers take for two
YEAR_100 = -59_011_459_200

seconds = st.integers(-62_135_596_800, 253_402_300_799)
etags = st.builds(
    lambda weak, text: weak + f'"{text}"',
    st.sampled_from(["", "W/"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'),
            max_size=10),
)  # fmt: skip
blanks = st.text(" \t", max_size=2)


class DateTests(SynchronousTestCase):
    @given(seconds)
    def test_round_trip(self, second: int) -> None:
        """Every date of the years 100 to 9999 survives."""
        text = format_date(second)
        self.assertEqual(len(text), 29)
        if second >= YEAR_100:
            self.assertEqual(parse_date(text), second)

    @given(st.integers(-62_135_596_800_000, 253_402_300_799_999), st.booleans())
    def test_modified(self, modified: int, same: bool) -> None:
        """Times to the ms survive, and whether a date tells a version from the one before."""
        text = format_modified(modified, same_second=same)
        self.assertEqual(parse_modified(text), (modified, same))
        for bad in (text + ";", " " + text, text + "\n", "", "1.5", "9" * 16):
            self.assertIsNone(parse_modified(bad))

    def test_forms(self) -> None:
        """The three forms of RFC 9110 5.6.7 mean the same."""
        for text in (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ):
            self.assertEqual(parse_date(text), 784_111_777)

    def test_fraction(self) -> None:
        """A fraction of a second is cut, before 1970 too."""
        self.assertEqual(format_date(784_111_777.9), "Sun, 06 Nov 1994 08:49:37 GMT")
        self.assertEqual(format_date(-0.5), "Wed, 31 Dec 1969 23:59:59 GMT")

    @given(st.text(max_size=40))
    @example("Fri, 31 Dec 9999 23:59:59 -2359")
    @example("Sun, 06 Nov 1994 08:49:37 +" + "9" * 400)
    @example("Sun, 99 Nov 1994 08:49:37 GMT")
    def test_rubbish(self, text: str) -> None:
        """What is no date is None; what is one can be written again."""
        second = parse_date(text)
        if second is not None:
            format_date(second)


class EtagTests(SynchronousTestCase):
    @given(st.lists(st.tuples(blanks, etags, blanks), min_size=1, max_size=5))
    def test_lists(self, items: list[tuple[str, str, str]]) -> None:
        """Lists with any blanks and empty members are read."""
        tags = tuple(tag for _, tag, _ in items)
        value = ",".join(before + tag + after for before, tag, after in items)
        self.assertEqual(parse_etags("If-Match", value), tags)
        self.assertEqual(parse_etags("If-Match", f", ,{value} ,, "), tags)
        self.assertTrue(all(map(is_etag, tags)))

    @given(st.text('"W/*, \tab\n\xff', max_size=12))
    def test_rubbish(self, value: str) -> None:
        """All else is a refusal that names the field."""
        try:
            tags = parse_etags("If-Match", value)
        except BadField as error:
            self.assertIn("If-Match", error.message)
            return
        self.assertTrue(tags == ("*",) or all(map(is_etag, tags)))

    def test_linear(self) -> None:
        """Long rubbish is refused quickly."""
        for value in ("," * 60_000, ' "a",' * 10_000 + "x", '"' * 60_000, "\t," * 30_000 + "x"):
            self.assertRaises(BadField, parse_etags, "If-Match", value)


class DigestTests(SynchronousTestCase):
    @given(st.binary(min_size=32, max_size=32))
    def test_round_trip(self, digest: bytes) -> None:
        """What one side announces the other checks, beside other algorithms and parameters."""
        value = format_digest(digest)
        for text in (value, f"md5=:AAAA:, {value}", f"{value};x=1, sha-512=:AAAA:", f" {value} "):
            self.assertEqual(parse_digest(text), digest)

    def test_others(self) -> None:
        """Only other algorithms: nothing to check. The last of two counts (RFC 8941 3.2)."""
        self.assertIsNone(parse_digest("sha-512=:AAAA:, unixsum=:AAAA:"))
        self.assertIsNone(parse_digest(""))
        one, two = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
        self.assertEqual(parse_digest(f"{format_digest(one)}, {format_digest(two)}"), two)

    def test_malformed(self) -> None:
        """A digest that cannot be meant is 400, never ignored."""
        good = base64.b64encode(bytes(32)).decode()
        for value in (
            "sha-256", "sha-256=", f"sha-256={good}", f"sha-256=:{good}", "sha-256=:AAAA:",
            f"sha-256=:{good[:-1]}:", f"sha-256=:{good}=:", f"sha-256=:{good}: x", "SHA-256=abc",
            f"sha-256=:{good[:5]} {good[5:]}:", "x", "a=1", f"sha-256=:{good}:;x=1,,",
        ):  # fmt: skip
            self.assertRaises(BadField, parse_digest, value)

    @given(st.text("sha-256=:AbC+/, ;\n", max_size=30))
    def test_rubbish(self, value: str) -> None:
        """Never another exception."""
        try:
            digest = parse_digest(value)
        except BadField:
            return
        self.assertTrue(digest is None or len(digest) == 32)


targets = st.text("abc/:?=&%.-_~1", max_size=20)
parameters = st.dictionaries(
    st.text("abcxyz-", min_size=1, max_size=6),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12),
    max_size=3,
)
links = st.lists(st.builds(Link, targets, parameters), max_size=5)


class LinkTests(SynchronousTestCase):
    @given(links)
    def test_round_trip(self, some: list[Link]) -> None:
        """What one side offers the other reads, quotes and commas included."""
        self.assertEqual(parse_links(format_links(some)), some)

    def test_read(self) -> None:
        """Other people's spelling: blanks, case, names without value; the first name counts."""
        value = ' <http://a/x> ; REL = "Duplicate describedBy"; pri=1;pri=2 ;x ,, <b>;y="a\\"b,c"'
        first, second = parse_links(value)
        self.assertEqual(first.target, "http://a/x")
        self.assertEqual(first.relations, ("duplicate", "describedby"))
        self.assertEqual(first.parameters["pri"], "1")
        self.assertEqual(first.parameters["x"], "")
        self.assertEqual(second, Link("b", {"y": 'a"b,c'}))

    def test_bounded(self) -> None:
        """No more links are read than asked for, and long rubbish ends quickly."""
        self.assertEqual(len(parse_links("<a>," * 10_000)), 32)
        self.assertEqual(len(parse_links("<a>," * 10, max_links=3)), 3)
        for value in ("<" * 60_000, '<a>;b="' + "\\" * 60_001, "<a>" + ";" * 60_000, "," * 60_000):
            self.assertLessEqual(len(parse_links(value)), 1)

    @given(st.text('<>;=", ab\\\n\u2028', max_size=30))
    def test_rubbish(self, value: str) -> None:
        """Rubbish ends the list; nothing raises."""
        parse_links(value)

    def test_never_split(self) -> None:
        """Nothing that could end our field or start another one is written (F1)."""
        for target in ("a b", "a>", "a\r\nX: y", "\x00", "ü", "a\x85", 'a"b', "\u2028"):
            self.assertRaises(ValueError, format_links, [Link(target)])
        for value in ("a\r\nb", "\x00", "\x7f", "ü", "\x85"):
            self.assertRaises(ValueError, format_links, [Link("a", {"title": value})])
        for name in ("", "a b", "A", "a=b", "a\n", "ü", "a;b"):
            self.assertRaises(ValueError, format_links, [Link("a", {name: "x"})])
