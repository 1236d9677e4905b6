"""Listing: the members of a collection, bytewise, a page at a time (CLD-50, 51).

Sorted by ``sort_name`` a collection stands as ``name/``, before its members and after ``name-``: so
walking down in that order gives the bytewise order of whole relative names, at every depth, and a
name to go on after is all a page has to remember.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from pigpen.coordinator.accounts import Principal
from pigpen.coordinator.namespace import resolve
from pigpen.coordinator.nodes import Node, blob_etag
from pigpen.coordinator.transaction import Row, Transaction
from pigpen.http import wire
from pigpen.http.key import Key

#: lines of one page, so that no reader holds a snapshot for long
PAGE: Final = 1000

Depth = Literal["0", "1", "infinity"]

_MEMBERS = (
    "SELECT n.sort_name, n.id, n.modified, v.blob_id, v.content_type, b.length, b.sha256"
    " FROM nodes n LEFT JOIN versions v ON v.id = n.version_id LEFT JOIN blobs b"
    " ON b.id = v.blob_id WHERE n.parent_id = ? AND n.sort_name > ? ORDER BY n.sort_name"
)


class Page(msgspec.Struct, frozen=True):
    """Some lines. ``next``: give it as ``after`` for the rest; None: this was all."""

    lines: list[wire.ListLine]
    next: str | None


def list_page(
    tx: Transaction,
    principal: Principal,
    key: Key,
    *,
    depth: Depth = "1",
    after: str = "",
    limit: int = PAGE,
    loose: bool = False,
) -> Page:
    """The next lines of a listing.

    :param depth: "0": what the key names itself, with the name ""; else members, without it.
    :param after: a relative name, exclusive; it need not exist.
    :param limit: at most PAGE are given at once.
    :raises NotFound: nothing there. An object has no members: at any depth it is its own line.
    """
    node = resolve(tx, principal, key, loose=loose)
    if depth == "0" or not node.is_collection:
        return Page([] if after else [_own_line(node)], None)
    limit = max(1, min(limit, PAGE))
    deep = depth == "infinity"
    lines: list[wire.ListLine] = []
    for line in _walk(tx, node.id, after.encode("utf-8", "surrogatepass"), deep):
        if len(lines) == limit:
            return Page(lines, lines[-1].name)
        lines.append(line)
    return Page(lines, None)


def _walk(tx: Transaction, collection_id: int, after: bytes, deep: bool) -> Iterator[wire.ListLine]:
    """All lines in order, read as they are asked for."""
    path = _path_to(tx, collection_id, after, deep)
    # at each level the members that are still to come
    levels = [(prefix, tx.each(_MEMBERS, number, last)) for number, prefix, last in path]
    while levels:
        prefix, rows = levels[-1]
        row = next(rows, None)
        if row is None:
            levels.pop()
            continue
        yield _line(prefix, row)
        if deep and row[3] is None:
            levels.append((prefix + row[0], tx.each(_MEMBERS, row[1], b"")))


def _path_to(
    tx: Transaction, collection_id: int, after: bytes, deep: bool
) -> list[tuple[int, bytes, bytes]]:
    """The collections that a name to go on after leads through: (id, prefix, last name done)."""
    path: list[tuple[int, bytes, bytes]] = []
    prefix = b""
    while deep and b"/" in after:
        head, _, rest = after.partition(b"/")
        path.append((collection_id, prefix, head + b"/"))
        row = tx.one(
            "SELECT id FROM nodes WHERE parent_id = ? AND name = ? AND version_id IS NULL",
            collection_id,
            head,
        )
        if row is None:
            return path
        collection_id = row[0]
        prefix += head + b"/"
        after = rest
    return [*path, (collection_id, prefix, after)]


def _line(prefix: bytes, row: Row) -> wire.ListLine:
    sort_name, _, modified, blob_id, content_type, length, sha256 = row
    name = (prefix + sort_name).decode()
    if blob_id is None:
        return wire.ListLine(name, "collection", modified)
    etag = blob_etag(blob_id)
    return wire.ListLine(name, "object", modified, length, etag, sha256.hex(), content_type)


def _own_line(node: Node) -> wire.ListLine:
    if node.is_collection:
        return wire.ListLine("", "collection", node.modified)
    return wire.ListLine(
        "",
        "object",
        node.modified,
        node.length,
        node.etag,
        node.sha256.hex(),
        node.content_type,
    )
