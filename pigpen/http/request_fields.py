"""Header fields that say how a request is meant: what is stored, and what a copy takes along."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from pigpen.errors import BadField, ElsewhereDestination, KeyTooLong
from pigpen.http.fields import parse_digest
from pigpen.http.key import Key
from pigpen.http.message import Request

D = TypeVar("D", str, None)

_SECONDS = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?", re.ASCII)
#: of the year 1: earlier times have no HTTP date
_FIRST_MS = -62_135_596_800_000
#: what a Content-Type may be, as hosts echo it and listings show it
_CONTENT_TYPE = re.compile(r"[!-~][ -~]{0,199}")


def whole_field(request: Request, name: str, default: D) -> str | D:
    """All that a field says, its lines joined (RFC 9110 5.2): of one that should come once, two are
    nonsense, and the first must not win silently."""
    lines = request.headers.getall(name, None)
    if lines is None:
        return default
    return lines[0] if len(lines) == 1 else ", ".join(lines)


def digest_of(request: Request) -> bytes | None:
    """The SHA-256 of the whole, if announced. :raises BadField: it is malformed."""
    value = request.headers.get("Repr-Digest") or request.headers.get("Content-Digest")
    return None if value is None else parse_digest(value)


def sent_content_type(request: Request) -> str | None:
    """:return: None: there is none. :raises BadField: it holds what we could not send on."""
    value = request.headers.get("Content-Type", "")
    if not value:
        return None
    if not _CONTENT_TYPE.fullmatch(value):
        raise BadField(field="Content-Type", reason="use up to 200 characters of ASCII")
    return value


def modified_of(request: Request) -> int | None:
    """When the writer says that the bytes were made, ms since 1970: X-OC-Mtime (DAV-54).

    :raises BadField: it is no number of seconds since 1970.
    """
    value = whole_field(request, "X-OC-Mtime", None)
    if value is None:
        return None
    match = _SECONDS.fullmatch(value)
    if match is None:
        raise BadField(field="X-OC-Mtime", reason="use seconds since 1970")
    sign, seconds, fraction = match.groups("")
    modified = int(seconds) * 1000 + int(f"{fraction}000"[:3])
    return max(_FIRST_MS, -modified) if sign else modified


def refuse_content_range(request: Request) -> None:
    """A PUT of a part would replace the whole (RFC 9110 14.5)."""
    if "Content-Range" in request.headers:
        raise BadField(field="Content-Range", reason="a PUT always sends the whole object")


def overwrite_of(request: Request) -> bool:
    """RFC 4918 10.6. :raises BadField: it is neither T nor F."""
    value = whole_field(request, "Overwrite", "T").strip().upper()
    if value not in {"T", "F"}:
        raise BadField(field="Overwrite", reason="use T or F")
    return value == "T"


def deep_of(request: Request) -> bool:
    """Whether Depth takes all that lies below along: so it is without the field.

    :raises BadField: it is not 0 or infinity.
    """
    value = whole_field(request, "Depth", "infinity").strip().lower()
    if value not in {"0", "infinity"}:
        raise BadField(field="Depth", reason="use 0 or infinity")
    return value == "infinity"


# -- names of things on this server ---------------------------------------------------------------

_USUAL_PORTS = {"": "", "http": ":80", "https": ":443"}
#: one machine's names for itself
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def destination_of(request: Request, own_names: Collection[str]) -> Key:
    """The whole path that a MOVE or COPY goes to: an absolute URL or path (RFC 4918 10.3).

    :param own_names: how this server is called, beside the Host field: lower case, with the port
        unless it is the usual one.
    :raises ElsewhereDestination: it names another server. :raises BadField: it is no URL.
    """
    values = request.headers.getall("Destination", [])
    if len(values) != 1:
        raise BadField(field="Destination", reason="MOVE and COPY need one")
    parts = _split(values[0])
    if parts is None or parts.query or parts.fragment or not parts.path.startswith("/"):
        raise BadField(field="Destination", reason="use a URL like that of the request")
    if not _is_own(request, parts, own_names):
        raise ElsewhereDestination
    try:
        return Key.from_path(parts.path)
    except KeyTooLong as error:
        raise BadField(field="Destination", reason=error.message) from None


def path_on_this_server(request: Request, uri: str, own_names: Collection[str]) -> str | None:
    """The path of a URI or path that names something here; None: it names something else."""
    parts = _split(uri)
    if parts is None or parts.query or parts.fragment or not parts.path.startswith("/"):
        return None
    return parts.path if _is_own(request, parts, own_names) else None


def _split(uri: str) -> SplitResult | None:
    try:
        # header fields come as latin-1 text, and some clients send plain UTF-8
        uri = uri.strip(" \t").encode("latin-1").decode("utf-8", "surrogateescape")
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme not in _USUAL_PORTS or (parts.scheme and not parts.netloc):
        return None
    return parts


def _is_own(request: Request, parts: SplitResult, own_names: Collection[str]) -> bool:
    if not parts.netloc:
        return True
    # GVFS leaves the user's name in
    name = _plain_name(parts.netloc.rpartition("@")[2], parts.scheme)
    asked = _plain_name(request.headers.get("Host", ""), parts.scheme)
    return name == asked or name in own_names or _on_loopback(name) == _on_loopback(asked) != ""


def _on_loopback(name: str) -> str:
    """The same for all names of one port here; "": it is elsewhere."""
    try:
        parts = urlsplit(f"//{name}")
        return f"localhost:{parts.port or ''}" if parts.hostname in LOOPBACK_NAMES else ""
    except ValueError:
        return ""


def _plain_name(name: str, scheme: str) -> str:
    return name.lower().removesuffix(_USUAL_PORTS[scheme]).removesuffix(":")
