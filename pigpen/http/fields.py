"""Header fields with a syntax of their own: dates, entity tags, Repr-Digest, Link."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from pigpen.errors import BadField

#: Content-Type of bytes of which nothing more is known (RFC 9110 8.3)
OCTET_STREAM = "application/octet-stream"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# of the years 1 and 9999: a zone's offset can lead out of what `format_date` can write
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=64)  # a busy server formats the same second again and again
def _date_of_second(second: int) -> str:
    moment = datetime.fromtimestamp(second, UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"


def format_date(seconds: float) -> str:
    """IMF-fixdate of seconds since 1970, cut to the second (RFC 9110 5.6.7)."""
    return _date_of_second(int(seconds // 1))


def parse_date(value: str) -> int | None:
    """Seconds since 1970 of any of HTTP's three date forms; None if it is no date."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = int(moment.timestamp())
    return seconds if _FIRST_SECOND <= seconds <= _LAST_SECOND else None


_MODIFIED = re.compile(r"(-?[0-9]{1,15})(;same-second)?", re.ASCII)


def format_modified(modified: int, *, same_second: bool = False) -> str:
    """The value of Pigpen-Modified: what Last-Modified is too coarse for.

    :param modified: ms since 1970. :param same_second: see `ListLine`.
    """
    return f"{modified};same-second" if same_second else str(modified)


def parse_modified(value: str) -> tuple[int, bool] | None:
    """What `format_modified` was given; None if it is nothing of that kind."""
    match = _MODIFIED.fullmatch(value)
    return None if match is None else (int(match.group(1)), match.group(2) is not None)


# -- entity tags (RFC 9110 8.8.3) -----------------------------------------------------------------

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_ETAG_LIST = re.compile(rf"[ \t]*(?:,[ \t]*)*({_ETAG.pattern})[ \t]*(?=,|$)")


def parse_etags(name: str, value: str) -> tuple[str, ...]:
    """The tags of an If-Match or If-None-Match field, quotes kept; ``("*",)`` for ``*``.

    :raises BadField: it is no list of entity tags.
    """
    if value.strip(" \t") == "*":
        return ("*",)
    tags: list[str] = []
    position = 0
    while position < len(value):
        match = _ETAG_LIST.match(value, position)
        if match is None:
            if tags and not value[position:].strip(" \t,"):
                break
            raise BadField(field=name, reason='use "*" or entity tags in double quotes')
        tags.append(match.group(1))
        position = match.end()
        if value[position : position + 1] == ",":
            position += 1
    if not tags:
        raise BadField(field=name, reason='use "*" or entity tags in double quotes')
    return tuple(tags)


def is_etag(value: str) -> bool:
    return _ETAG.fullmatch(value) is not None


# -- Repr-Digest (RFC 9530) -----------------------------------------------------------------------

_DIGEST_ITEM = re.compile(
    r"[ \t]*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):(?:;[^,]*)?[ \t]*(?:,|$)"
)


def format_digest(sha256: bytes) -> str:
    """The value of Repr-Digest for a SHA-256 of 32 bytes."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def parse_digest(value: str) -> bytes | None:
    """The SHA-256 of a Repr-Digest or Content-Digest field, 32 bytes; None if it names only others.

    :raises BadField: it is no RFC 9530 dictionary, or its sha-256 has not 32 bytes.
    """
    found: bytes | None = None
    position = 0
    while position < len(value):
        match = _DIGEST_ITEM.match(value, position)
        if match is None:
            raise BadField(field="Repr-Digest", reason="use sha-256=:BASE64:")
        if match.group(1) == "sha-256":
            found = _sha256(match.group(2))
        position = match.end()
    return found


def _sha256(text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise BadField(field="Repr-Digest", reason="its sha-256 is not 32 bytes of base64")
    return digest


# -- Link (RFC 8288) ------------------------------------------------------------------------------

_LINK = re.compile(r'[ \t,]*<([^<>"\s]*)>')
_PARAMETER = re.compile(
    r'[ \t]*;[ \t]*([A-Za-z0-9!#$&+.^_`|~*-]+)(?:[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^ \t;,"]*))?'
)


@dataclass(frozen=True, slots=True)
class Link:
    """One link: its target and parameters (names in lower case)."""

    target: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def relations(self) -> tuple[str, ...]:
        return tuple(self.parameters.get("rel", "").lower().split())


def format_links(links: Iterable[Link]) -> str:
    """The value of a Link field.

    :raises ValueError: a target or parameter holds a character that could split the field.
    """
    return ", ".join(_format_link(link) for link in links)


def _format_link(link: Link) -> str:
    if re.fullmatch(r"[!#-;=?-~]*", link.target) is None:
        raise ValueError("a link's target must be an encoded URI")
    text = f"<{link.target}>"
    for name, value in link.parameters.items():
        if re.fullmatch(r"[a-z0-9!#$&+.^_`|~*-]+", name) is None:
            raise ValueError("a link's parameter has no usable name")
        if re.fullmatch(r"[\t -~]*", value) is None:  # RFC 8187 is for who needs more
            raise ValueError("a link's parameter holds a control or non-ASCII character")
        plain = re.fullmatch(r"[A-Za-z0-9._-]+", value) is not None and name != "rel"
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        text += f"; {name}={value}" if plain else f'; {name}="{quoted}"'
    return text


def parse_links(value: str, *, max_links: int = 32) -> list[Link]:
    """The links of a Link field; what is malformed ends the list."""
    links: list[Link] = []
    position = 0
    while len(links) < max_links and (match := _LINK.match(value, position)):
        position = match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(value, position):
            position = parameter.end()
            text = parameter.group(2) or ""
            if text.startswith('"'):
                text = re.sub(r"\\(.)", r"\1", text[1:-1])
            parameters.setdefault(parameter.group(1).lower(), text)
        links.append(Link(match.group(1), parameters))
    return links
