"""Nodes and locks out of what the coordinator says of them in JSON."""

from __future__ import annotations

from urllib.parse import unquote

from pigpen.errors import BadAnswer, PigpenError
from pigpen.http import wire
from pigpen.http.fields import OCTET_STREAM, parse_date, parse_digest, parse_modified
from pigpen.http.key import Key
from pigpen.http.message import Response
from pigpen.http.namespace import Lock, Node


def node_of(line: wire.ListLine, place: Key) -> Node:
    """:param place: what its name is relative to."""
    collection = line.type == "collection"
    key = Key((*place.names, *line.name.rstrip("/").split("/")) if line.name else place.names,
              collection)  # fmt: skip
    return Node(
        key,
        line.modified,
        line.created,
        line.length or 0,
        None if collection else line.etag,
        line.content_type or "",
        bytes.fromhex(line.digest) if line.digest else None,
        line.same_second,
        None if line.properties is None else tuple(line.properties),
        None if line.locks is None else tuple(map(lock_of, line.locks)),
    )


def lock_of(info: wire.LockInfo) -> Lock:
    return Lock(
        token=info.token,
        root=Key.from_path(info.root).below(2),
        exclusive=info.exclusive,
        infinite=info.infinite,
        principal=unquote(info.principal),
        owner=info.owner,
        expires=info.expires,
    )


def offered_node(key: Key, offer: wire.DownloadOffer) -> Node:
    """The version that can be read now."""
    return Node(
        Key(key.names),
        offer.modified,
        None,
        offer.length,
        offer.etag,
        offer.content_type,
        bytes.fromhex(offer.digest),
        offer.same_second,
    )


def place_of(answer: Response, asked: Key) -> Key:
    """The key that an answer is about, as it is stored (RFC 9110 8.7)."""
    location = answer.headers.get("Content-Location")
    if location is None:
        return asked
    try:
        return Key.from_path(location).below(2)
    except PigpenError:
        reason = "its Content-Location is no path of the API"
        raise BadAnswer(peer="The coordinator", reason=reason) from None


def inline_offer(answer: Response, length: int) -> wire.DownloadOffer:
    """What an answer with the object itself says of it. :raises BadField: its digest is none."""
    headers = answer.headers
    modified = parse_modified(headers.get(wire.MODIFIED, ""))
    if modified is None:
        modified = (parse_date(headers.get("Last-Modified", "")) or 0) * 1000, False
    return wire.DownloadOffer(
        length,
        headers["ETag"],
        (parse_digest(headers.get("Repr-Digest", "")) or b"").hex(),
        headers.get("Content-Type", OCTET_STREAM),
        modified[0],
        [],
        modified[1],
    )
