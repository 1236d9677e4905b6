"""What a request says about keys: its query, its conditions, its Destination. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pigpen.errors import BadField, BadRequest, ElsewhereDestination, PigpenError
from pigpen.http import request_fields, wire
from pigpen.http.conditions import Conditions
from pigpen.http.fields import OCTET_STREAM
from pigpen.http.if_header import IfField, parse_if
from pigpen.http.key import Key
from pigpen.http.message import Request
from pigpen.http.namespace import When
from pigpen.http.request_fields import sent_content_type, whole_field

_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIZE = re.compile(r"[0-9]{1,18}", re.ASCII)


class Query:
    """The query of a request; a name given twice counts once."""

    __slots__ = ("_values",)

    def __init__(self, request: Request) -> None:
        # most requests have none, and reading one costs more than all else here
        self._values = request.query if request.query_string else None

    def __contains__(self, name: str) -> bool:
        return self._values is not None and name in self._values

    def get(self, name: str) -> str | None:
        return None if self._values is None else self._values.get(name)

    def flag(self, name: str, *, default: bool) -> bool:
        """:raises BadRequest: it is neither true nor false."""
        value = self.get(name)
        if value is None:
            return default
        if value not in {"true", "false"}:
            raise BadRequest(reason=f"{name} is true or false")
        return value == "true"

    @property
    def redirect(self) -> str | None:
        """None: as usual; "false": as JSON; "never": the bytes from here."""
        value = self.get("redirect")
        if value not in {None, "true", "false", "never"}:
            raise BadRequest(reason="redirect is true, false or never")
        return None if value == "true" else value

    @property
    def loose(self) -> bool:
        """Whether other Unicode spellings of a name count too (DAV-62)."""
        value = self.get("lookup")
        if value not in {None, "loose"}:
            raise BadRequest(reason="lookup is loose, or left out")
        return value == "loose"

    def write_id(self) -> str | None:
        value = self.get("write")
        return None if value is None else _checked_id(value, "the query's write")


def when_of(request: Request, query: Query) -> When:
    """The terms of a change; the first name of its key is the login.

    :raises BadField: they are malformed.
    """
    headers = request.headers
    return When(
        conditions=Conditions.from_headers(headers),
        if_field=_if_field(request),
        principal=headers.get(wire.PRINCIPAL, request.key.names[0]),
        loose=query.loose,
        parents=query.flag("parents", default=True),
    )


def _if_field(request: Request) -> IfField | None:
    """:raises BadField: it is malformed."""
    if "If" not in request.headers:
        return None
    login = request.key.names[0]
    field = parse_if(", ".join(request.headers.getall("If")))
    return field.map_tags(lambda tag: path_of_tag(login, tag))


def path_of_tag(login: str, tag: str) -> str:
    """The path of the key that a tag of an If field names by an API path or URI (DAV-6).

    :return: "": it is not ours, so nothing matches it.
    """
    path = tag
    if not path.startswith("/"):
        _, found, rest = path.partition("://")
        _, slash, path = rest.partition("/")
        if not found or not slash:
            return ""
        path = "/" + path
    try:
        whole = Key.from_path(path)
        return whole.below(2).to_path() if whole.names[:2] == (wire.API, login) else ""
    except PigpenError:
        return ""


def found_at(request: Request, key: Key) -> dict[str, str]:
    """The field that says where a thing lies whose name was spelled otherwise, or without its
    final slash (RFC 9110 8.7): what a listing's names are relative to.

    :param request: its key's first name is the login. :param key: as stored.
    """
    login, *asked = request.key.names
    if key.names == tuple(asked) and key.collection == request.key.collection:
        return {}
    return {"Content-Location": Key((wire.API, login, *key.names), key.collection).to_path()}


def write_id_of(request: Request, query: Query) -> str | None:
    """The id a client chose for its write, in the query or in Pigpen-Write (CLD-36)."""
    value = query.write_id()
    if value is None and wire.WRITE in request.headers:
        value = _checked_id(request.headers[wire.WRITE], wire.WRITE)
    return value


def _checked_id(value: str, name: str) -> str:
    if not _ID.fullmatch(value):
        raise BadRequest(reason=f"{name} is not an id of 64 hexadecimal digits")
    return value


def upload_length(request: Request) -> int | None:
    """Upload-Length: how long the bytes will be that are sent elsewhere (CLD-31)."""
    value = whole_field(request, "Upload-Length", None)
    if value is None:
        return None
    if not _SIZE.fullmatch(value):
        raise BadField(field="Upload-Length", reason="it is not a number of bytes")
    return int(value)


def content_type_of(request: Request) -> str:
    """:raises BadField: it holds what we could not send on."""
    return sent_content_type(request) or OCTET_STREAM


def destination_of(request: Request, login: str, public_url: wire.Url | None) -> Key:
    """The key that a MOVE or COPY goes to (RFC 4918 10.3).

    :raises ElsewhereDestination: not on this server or account. :raises BadField: it is no URL.
    """
    own = set() if public_url is None else {urlsplit(public_url).netloc.lower()}
    key = request_fields.destination_of(request, own)
    if key.names[:2] != (wire.API, login):
        raise ElsewhereDestination
    return key.below(2)
