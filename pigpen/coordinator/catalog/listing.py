"""Listing: the members of a collection, bytewise, a page at a time (CLD-50, 51).

Sorted by ``sort_name`` a collection stands as ``name/``, before its members and after ``name-``: so
walking down in that order gives the bytewise order of whole relative names, at every depth, and a
name to go on after is all a page has to remember.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.extras import Extras, columns
from pigpen.coordinator.catalog.namespace import resolve
from pigpen.coordinator.catalog.nodes import Node, blob_etag
from pigpen.coordinator.catalog.transaction import Row, Transaction
from pigpen.http import wire
from pigpen.http.key import Key
from pigpen.http.namespace import NOTHING, Want

#: lines of one page, so that no reader holds a snapshot for long
PAGE: Final = 1000

Depth = Literal["0", "1", "infinity"]

#: of properties and locks in one page: its last line may pass it
PAGE_BYTES: Final = 1024 * 1024

_MEMBERS = (
    "SELECT n.sort_name, n.id, n.modified, v.blob_id, v.content_type, b.length, b.sha256,"
    " n.created, n.same_second, {extras}"
    " FROM nodes n LEFT JOIN versions v ON v.id = n.version_id LEFT JOIN blobs b"
    " ON b.id = v.blob_id WHERE n.parent_id = ?1 AND n.sort_name > ?2 ORDER BY n.sort_name"
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
    want: Want = NOTHING,
) -> Page:
    """The next lines of a listing.

    :param depth: "0": what the key names itself, with the name ""; else members, without it.
    :param after: a relative name, exclusive; it need not exist.
    :param limit: at most PAGE are given at once, fewer if their properties and locks are large.
    :raises NotFound: nothing there. An object has no members: at any depth it is its own line.
    """
    node = resolve(tx, principal, key, loose=loose)
    if depth == "0" or not node.is_collection:
        return Page([] if after else [own_line(tx, principal, node, want)], None)
    extras = Extras(tx, principal.login, want)
    limit = max(1, min(limit, PAGE))
    walk = _Walk(tx, node, want, extras, deep=depth == "infinity")
    lines: list[wire.ListLine] = []
    for line in walk.lines(after.encode("utf-8", "surrogatepass")):
        if len(lines) == limit or (lines and walk.size > PAGE_BYTES):
            return Page(lines, lines[-1].name)
        lines.append(line)
    return Page(lines, None)


class _Level(msgspec.Struct):
    """A collection on the way down: the members still to come, and what covers all of them."""

    prefix: bytes
    rows: Iterator[Row]
    locks: list[wire.LockInfo]


class _Walk:
    """All lines below a collection in order, read as they are asked for."""

    def __init__(
        self, tx: Transaction, top: Node, want: Want, extras: Extras, *, deep: bool
    ) -> None:
        self._tx = tx
        self._top = top
        self._extras = extras
        self._deep = deep
        self._members = _MEMBERS.format(extras=columns(want))
        self._moment = (tx.now,) if want.locks else ()
        #: bytes of properties and locks so far
        self.size = 0

    def lines(self, after: bytes) -> Iterator[wire.ListLine]:
        path = _path_to(self._tx, self._top.id, after, self._deep)
        levels = [self._level(*place) for place in path]
        while levels:
            level = levels[-1]
            row = next(level.rows, None)
            if row is None:
                levels.pop()
                continue
            line = _line(level.prefix, row)
            if row[9] is not None or row[10] is not None:
                self._fill(line, level, row)
            yield line
            if self._deep and row[3] is None:
                levels.append(self._level(row[1], level.prefix + row[0], b""))

    def _level(self, collection_id: int, prefix: bytes, after: bytes) -> _Level:
        rows = self._tx.each(self._members, collection_id, after, *self._moment)
        return _Level(prefix, rows, self._extras.infinite(collection_id))

    def _fill(self, line: wire.ListLine, level: _Level, row: Row) -> None:
        names = line.name.removesuffix("/").split("/")
        key = Key((*self._top.key.names, *names), line.type == "collection")
        self.size += self._extras.add(line, row[9:], key, level.locks)


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
    sort_name, _, modified, blob_id, content_type, length, sha256, created, same, _, _ = row
    name = (prefix + sort_name).decode()
    if blob_id is None:
        return wire.ListLine(name, "collection", modified, created=created)
    return wire.ListLine(
        name,
        "object",
        modified,
        length,
        blob_etag(blob_id),
        sha256.hex(),
        content_type,
        created=created,
        same_second=bool(same),
    )


def own_line(tx: Transaction, principal: Principal, node: Node, want: Want) -> wire.ListLine:
    """What a listing of depth 0 says."""
    line = _plain_line(node)
    Extras(tx, principal.login, want).add_own(line, node)
    return line


def _plain_line(node: Node) -> wire.ListLine:
    if node.is_collection:
        return wire.ListLine("", "collection", node.modified, created=node.created)
    return wire.ListLine(
        "",
        "object",
        node.modified,
        node.length,
        node.etag,
        node.sha256.hex(),
        node.content_type,
        created=node.created,
        same_second=node.same_second,
    )
