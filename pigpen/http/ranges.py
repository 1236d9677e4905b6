"""Byte ranges: ``Range``, ``Content-Range`` (RFC 9110 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pigpen.errors import RangeNotSatisfiable

# ASCII digits only, and no number that overflows a 64-bit offset
_ONE_RANGE = re.compile(
    r"[ \t]*bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE
)
_CONTENT_RANGE = re.compile(
    r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `first` to `last`, both included; never empty."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def content_range(self, total: int) -> str:
        """The value of Content-Range for this part of `total` bytes."""
        return f"bytes {self.first}-{self.last}/{total}"


def parse_range(value: str | None, length: int) -> ByteRange | None:
    """What a Range field asks of a value of `length` bytes.

    :return: None means the whole value: no field, another unit, several ranges, or malformed (RFC
        9110 14.2 lets a server ignore those).
    :raises RangeNotSatisfiable: one well-formed range that lies outside.
    """
    match = _ONE_RANGE.fullmatch(value) if value is not None else None
    if match is None:
        return None
    first, last = match.groups()
    if first == "":
        return _suffix(last, length)
    start = int(first)
    end = int(last) if last else length - 1
    if last and end < start:
        return None
    if start >= length:
        raise RangeNotSatisfiable(length=length)
    return ByteRange(start, min(end, length - 1))


def _suffix(digits: str, length: int) -> ByteRange | None:
    if digits == "":
        return None
    size = min(int(digits), length)
    if int(digits) == 0:
        raise RangeNotSatisfiable(length=length)
    if size == 0:
        return None  # the whole of an empty value; no Content-Range could say so
    return ByteRange(length - size, length - 1)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """A parsed Content-Range. ``range`` is None for ``bytes */N``, ``total`` for ``.../*``."""

    range: ByteRange | None
    total: int | None


def parse_content_range(value: str | None) -> ContentRange | None:
    """:return: None if there is no field or it makes no sense."""
    match = _CONTENT_RANGE.fullmatch(value) if value is not None else None
    if match is None:
        return None
    first, last, size = match.groups()
    total = None if size == "*" else int(size)
    if first is None:
        return ContentRange(None, total) if total is not None else None
    part = ByteRange(int(first), int(last))
    if part.length <= 0 or (total is not None and part.last >= total):
        return None
    return ContentRange(part, total)
