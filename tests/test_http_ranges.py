"""Byte ranges: RFC 9110 14, against a model that looks at every byte."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import RangeNotSatisfiable
from pigpen.http.ranges import ByteRange, ContentRange, parse_content_range, parse_range
from tests.hypothesis_kit import example, given, st

lengths = st.integers(0, 12)
digits = st.sampled_from(["", "0", "1", "2", "5", "11", "12", "13", "007", "9" * 18, "9" * 19])


def model(value: str, length: int) -> list[int] | str | None:
    """The positions a range asks for: None: ignore the field; "416": refuse it."""
    match = re.fullmatch("bytes=([0-9]{0,18})-([0-9]{0,18})", value)
    if match is None or value == "bytes=-":
        return None
    first, last = match.groups()
    positions = range(length)
    if not first:
        if int(last) == 0:
            return "416"
        return list(positions)[-int(last) :] if length else None
    if last and int(last) < int(first):
        return None
    end = int(last) if last else length
    return [p for p in positions if int(first) <= p <= end] or "416"


class RangeTests(SynchronousTestCase):
    @given(digits, digits, lengths)
    def test_model(self, first: str, last: str, length: int) -> None:
        """Every range of a small value gives exactly the bytes it names."""
        value = f"bytes={first}-{last}"
        expected = model(value, length)
        if expected == "416":
            error = self.assertRaises(RangeNotSatisfiable, parse_range, value, length)
            self.assertEqual(error.facts["length"], length)
            return
        part = parse_range(value, length)
        found = list(range(part.first, part.last + 1)) if part is not None else None
        self.assertEqual(found, expected)
        if part is not None:
            self.assertEqual(part.length, len(found))

    def test_ignored(self) -> None:
        """No field, other units, many ranges, signs, other digits, rubbish: the whole (R1)."""
        for value in (
            None, "", "bytes", "bytes=", "bytes=-", "bytes 0-1", "bytes=5-2", "items=0-1",
            "bytes=0-1,2-3", "bytes=0-," * 5000, "bytes=1_0-2", "bytes=+1-5", "bytes=１-",
            "bytes=-5-", "bytes=0--1", "bytes=\xff", "bytes=0-1\n", "bytes=" + "9" * 20 + "-",
            "bytes=0x1-2", "bytes=1.0-2", "bytes=0-1 2",
        ):  # fmt: skip
            self.assertIsNone(parse_range(value, 10), value)

    def test_accepted(self) -> None:
        """Blanks and case do not matter; a suffix longer than the value is all of it."""
        for value, expected in (
            ("BYTES=0-0", (0, 0)),
            (" bytes= 1-2\t", (1, 2)),
            ("bytes=-200000", (0, 9)),
            ("bytes=9-", (9, 9)),
            ("bytes=0-999999999999999999", (0, 9)),
        ):
            self.assertEqual(parse_range(value, 10), ByteRange(*expected))

    def test_empty_value(self) -> None:
        """Of an empty value a suffix is all, and the first byte is not there."""
        self.assertIsNone(parse_range("bytes=-5", 0))
        self.assertRaises(RangeNotSatisfiable, parse_range, "bytes=0-", 0)

    @given(st.text(max_size=20), lengths)
    @example("bytes=-0", 5)
    def test_rubbish(self, value: str, length: int) -> None:
        """Whatever is sent, the answer lies within the value."""
        try:
            part = parse_range("bytes=" + value, length)
        except RangeNotSatisfiable:
            return
        if part is not None:
            self.assertTrue(0 <= part.first <= part.last < length)


class ContentRangeTests(SynchronousTestCase):
    @given(st.integers(0, 10**18 - 2), st.integers(1, 100), st.integers(0, 100))
    def test_round_trip(self, first: int, size: int, more: int) -> None:
        """What one side writes the other reads."""
        part = ByteRange(first, min(first + size - 1, 10**18 - 2))
        total = min(part.last + 1 + more, 10**18 - 1)
        parsed = parse_content_range(part.content_range(total))
        self.assertEqual(parsed, ContentRange(part, total))

    def test_forms(self) -> None:
        """Unknown totals and refused ranges are understood."""
        self.assertEqual(parse_content_range("bytes */5"), ContentRange(None, 5))
        self.assertEqual(parse_content_range("bytes 0-1/*"), ContentRange(ByteRange(0, 1), None))

    def test_nonsense(self) -> None:
        """What makes no sense is no range."""
        for value in (
            None, "", "bytes", "bytes */*", "bytes 5-2/9", "bytes 0-9/9", "bytes 0-9", "0-9/10",
            "bytes 0-9/10\n", "bytes -1-2/9", "bytes 1_0-11/20", "bytes ٣-4/9", "items 0-1/2",
            "bytes 0-1/" + "9" * 19,
        ):  # fmt: skip
            self.assertIsNone(parse_content_range(value), value)
