"""Targets: which keys a request's path, its Destination and the tags of its If field name.

Outside they are paths, or URLs under any name of this server, below the face's prefix; inside, keys
of the namespace.
"""

from __future__ import annotations

import msgspec

from pigpen.dav.call import Call
from pigpen.dav.settings import DavSettings
from pigpen.errors import BadField, ElsewhereDestination, KeyTooLong, PigpenError
from pigpen.http import request_fields
from pigpen.http.conditions import Conditions
from pigpen.http.if_header import IfField, parse_if
from pigpen.http.key import Key
from pigpen.http.message import Request
from pigpen.http.namespace import When


def key_below(prefix: Key, whole: Key) -> Key | None:
    """The key that a path names here; None: it lies outside the prefix.

    :raises KeyTooLong: over 4,096 bytes are left.
    """
    return whole.below(len(prefix.names)) if prefix.contains(whole) else None


def when_of(request: Request, settings: DavSettings, principal: str) -> When:
    """The terms of a call. A PUT makes no collections (RFC 4918 9.7.1).

    :raises BadField: they are malformed.
    """
    return When(
        conditions=Conditions.from_headers(request.headers),
        if_field=_if_field(request, settings),
        principal=principal,
        loose=True,
        parents=False,
    )


def _if_field(request: Request, settings: DavSettings) -> IfField | None:
    if "If" not in request.headers:
        return None
    # Finder sends two lines
    field = parse_if(", ".join(request.headers.getall("If")))
    return field.map_tags(lambda tag: path_of_tag(request, settings, tag))


def path_of_tag(request: Request, settings: DavSettings, tag: str) -> str:
    """The path of the key that a tag names; "": it is not ours, so it matches nothing (DAV-34)."""
    path = request_fields.path_on_this_server(request, tag, settings.aliases)
    if path is None:
        return ""
    try:
        key = key_below(settings.prefix, Key.from_path(path))
    except PigpenError:
        return ""
    return "" if key is None else key.to_path()


def destination_of(call: Call) -> Key:
    """Where a COPY or MOVE goes to (DAV-29).

    A final slash is left out: what is copied says whether the copy is a collection.

    :raises ElsewhereDestination: not here. :raises BadField: it is no URL.
    """
    whole = request_fields.destination_of(call.request, call.settings.aliases)
    try:
        key = key_below(call.settings.prefix, whole)
    except KeyTooLong as error:
        raise BadField(field="Destination", reason=error.message) from None
    if key is None:
        raise ElsewhereDestination
    return msgspec.structs.replace(key, collection=key.is_root)
