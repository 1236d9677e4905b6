"""Conditional requests (RFC 9110 13): If-Match, If-None-Match, If-(Un)modified-Since, If-Range."""

from __future__ import annotations

import msgspec
from multidict import istr

from pigpen.http.fields import format_date, is_etag, parse_date, parse_etags
from pigpen.http.message import Headers


class Validators(msgspec.Struct, frozen=True):
    """What identifies a stored version: its ETag with quotes, and seconds since 1970.

    A time with a fraction equals no date a client can send: for a version that was written in the
    same second as the one before (DAV-32).
    """

    etag: str
    modified: float


class Conditions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The conditions of one request. Tags keep their quotes; ``("*",)`` is any."""

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None

    @staticmethod
    def from_headers(headers: Headers) -> Conditions:
        """:return: `NO_CONDITIONS` if no field has one.
        :raises BadField: an entity tag list is malformed. Bad dates are ignored (13.1.3)."""
        if headers.keys().isdisjoint(_FIELDS):
            return NO_CONDITIONS
        return Conditions(
            if_match=_tags(headers, "If-Match"),
            if_none_match=_tags(headers, "If-None-Match"),
            if_modified_since=_date(headers, "If-Modified-Since"),
            if_unmodified_since=_date(headers, "If-Unmodified-Since"),
        )

    def to_headers(self) -> Headers:
        headers = Headers()
        if self.if_match is not None:
            headers["If-Match"] = ", ".join(self.if_match)
        if self.if_none_match is not None:
            headers["If-None-Match"] = ", ".join(self.if_none_match)
        if self.if_modified_since is not None:
            headers["If-Modified-Since"] = format_date(self.if_modified_since)
        if self.if_unmodified_since is not None:
            headers["If-Unmodified-Since"] = format_date(self.if_unmodified_since)
        return headers

    @property
    def empty(self) -> bool:
        return self == NO_CONDITIONS

    def verdict(self, method: str, current: Validators | None) -> int | None:
        """Judge in the order of RFC 9110 13.2.2.

        Dates match exactly, as clients may set older times: If-Unmodified-Since also holds for
        any later date.

        :param current: None: nothing is stored under the key.
        :return: None: go on; else 304 (GET and HEAD only) or 412.
        """
        reads = method in {"GET", "HEAD"}
        if self.if_match is not None:
            if not _matches(self.if_match, current, strong=True):
                return 412
        elif self.if_unmodified_since is not None and current is not None:
            if current.modified > self.if_unmodified_since:
                return 412
        if self.if_none_match is not None:
            if _matches(self.if_none_match, current, strong=False):
                return 304 if reads else 412
        elif reads and self.if_modified_since is not None and current is not None:
            if current.modified == self.if_modified_since:
                return 304
        return None


NO_CONDITIONS = Conditions()
_FIELDS = tuple(
    map(istr, ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"))
)


def if_range_holds(value: str | None, current: Validators) -> bool:
    """Whether a Range field counts: no If-Range, or one that names `current` strongly (13.1.5)."""
    if value is None:
        return True
    value = value.strip(" \t")
    if is_etag(value):
        return not value.startswith("W/") and value == current.etag
    return parse_date(value) == current.modified


def _matches(tags: tuple[str, ...], current: Validators | None, *, strong: bool) -> bool:
    if current is None:
        return False
    if tags == ("*",):
        return True
    if strong:
        return not current.etag.startswith("W/") and current.etag in tags
    weak = current.etag.removeprefix("W/")
    return any(tag.removeprefix("W/") == weak for tag in tags)


def _tags(headers: Headers, name: str) -> tuple[str, ...] | None:
    values = headers.getall(name, None)
    return parse_etags(name, ", ".join(values)) if values else None


def _date(headers: Headers, name: str) -> int | None:
    values = headers.getall(name, [])
    return parse_date(values[0]) if len(values) == 1 else None
