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
from pigpen.coordinator.catalog.details import Extras, Found, columns, lock_info
from pigpen.coordinator.catalog.namespace import resolve
from pigpen.coordinator.catalog.nodes import Node, blob_etag
from pigpen.database.transaction import Row, Transaction
from pigpen.http import wire
from pigpen.http.key import Key
from pigpen.http.namespace import NOTHING, Lock, Want
from pigpen.http.namespace import Node as SharedNode

#: lines of one page, so that no reader holds a snapshot for long
PAGE: Final = 1000

Depth = Literal["0", "1", "infinity"]

#: of properties and locks in one page: its last line may pass it
PAGE_BYTES: Final = 1024 * 1024

_MEMBERS = (
    "SELECT n.sort_name, n.id, v.blob_id, n.modified, n.created, b.length, v.content_type,"
    " b.sha256, n.same_second, {extras}"
    " FROM nodes n LEFT JOIN versions v ON v.id = n.version_id LEFT JOIN blobs b"
    " ON b.id = v.blob_id WHERE n.parent_id = ?1 AND n.sort_name > ?2 ORDER BY n.sort_name"
)


class NodePage(msgspec.Struct, frozen=True):
    """Some members. ``next``: give it as ``after`` for the rest; None: this was all."""

    nodes: list[SharedNode]
    next: str | None


class Page(msgspec.Struct, frozen=True):
    """A `NodePage` as lines of the API."""

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
    :param limit: see `members`.
    :raises NotFound: nothing there. An object has no members: at any depth it is its own line.
    """
    node = resolve(tx, principal, key, loose=loose)
    if depth == "0" or not node.is_collection:
        return Page([] if after else [own_line(tx, principal, node, want)], None)
    deep = depth == "infinity"
    page = members(tx, node, deep=deep, after=after, limit=limit, want=want)
    skip = len(node.key.names)
    return Page([_line(principal.login, one, skip) for one in page.nodes], page.next)


def members(
    tx: Transaction,
    collection: Node,
    *,
    deep: bool = False,
    after: str = "",
    limit: int = PAGE,
    want: Want = NOTHING,
) -> NodePage:
    """The next members of a collection.

    :param deep: of all levels. :param after: a relative name, exclusive; it need not exist.
    :param limit: at most PAGE are given at once, fewer if their properties and locks are large.
    """
    limit = max(1, min(limit, PAGE))
    walk = _Walk(tx, collection, want, deep=deep)
    found: list[SharedNode] = []
    for node in walk.nodes(after.encode("utf-8", "surrogatepass")):
        if len(found) == limit or (found and walk.size > PAGE_BYTES):
            return NodePage(found, relative_name(found[-1], len(collection.key.names)))
        found.append(node)
    return NodePage(found, None)


def relative_name(node: SharedNode, skip: int) -> str:
    """Its name from a collection of `skip` names on."""
    name = "/".join(node.key.names[skip:])
    return name + "/" if node.key.collection else name


class _Level(msgspec.Struct):
    """A collection on the way down: the members still to come, and what covers all of them.

    ``lock_bytes``: of the owners of these locks, which each member's line repeats.
    """

    names: tuple[str, ...]
    rows: Iterator[Row]
    locks: tuple[Lock, ...]
    lock_bytes: int


class _Walk:
    """All that lies below a collection in order, read as it is asked for."""

    def __init__(self, tx: Transaction, top: Node, want: Want, *, deep: bool) -> None:
        self._tx = tx
        self._top = top
        self._extras = Extras(tx, want)
        self._deep = deep
        self._members = _MEMBERS.format(extras=columns(want))
        self._moment = (tx.now,) if want.locks else ()
        #: bytes of properties and locks so far
        self.size = 0

    def nodes(self, after: bytes) -> Iterator[SharedNode]:
        path = _path_to(self._tx, self._top, after, self._deep)
        levels = [self._level(*place) for place in path]
        while levels:
            level = levels[-1]
            for row in level.rows:
                name, number, blob_id = row[0].decode(), row[1], row[2]
                if blob_id is None:
                    key = Key((*level.names, name[:-1]), True)
                else:
                    key = Key((*level.names, name))
                yield self._node(key, row, level)
                if blob_id is None and self._deep:
                    levels.append(self._level(number, key.names, b""))
                    break
            else:
                levels.pop()

    def _level(self, collection_id: int, names: tuple[str, ...], after: bytes) -> _Level:
        rows = self._tx.each(self._members, collection_id, after, *self._moment)
        locks = self._extras.infinite(collection_id)
        return _Level(names, rows, locks, sum(len(lock.owner) for lock in locks))

    def _node(self, key: Key, row: Row, level: _Level) -> SharedNode:
        _, _, blob_id, modified, created, length, content_type, sha256, same, _, _ = row
        extras = row[9:]
        found: Found = (None, None)
        if extras != _NO_EXTRAS:
            found = self._extras.of_row(extras, key, level.locks)
            self.size += level.lock_bytes + sum(len(one) for one in extras if one is not None)
        if blob_id is None:
            return SharedNode(key, modified, created, 0, None, "", None, False, *found)
        etag = blob_etag(blob_id)
        return SharedNode(
            key, modified, created, length, etag, content_type, sha256, bool(same), *found
        )


_NO_EXTRAS = (None, None)


def _path_to(
    tx: Transaction, top: Node, after: bytes, deep: bool
) -> list[tuple[int, tuple[str, ...], bytes]]:
    """The collections that a name to go on after leads through: (id, names, last name done)."""
    path: list[tuple[int, tuple[str, ...], bytes]] = []
    collection_id, names = top.id, top.key.names
    while deep and b"/" in after:
        head, _, rest = after.partition(b"/")
        path.append((collection_id, names, head + b"/"))
        row = tx.one(
            "SELECT id FROM nodes WHERE parent_id = ? AND name = ? AND version_id IS NULL",
            collection_id,
            head,
        )
        if row is None:
            return path
        collection_id = row[0]
        names = (*names, head.decode())
        after = rest
    return [*path, (collection_id, names, after)]


# -- one thing by itself, and lines ---------------------------------------------------------------


def shared_node(tx: Transaction, node: Node, want: Want = NOTHING) -> SharedNode:
    """A node as everybody outside the catalog knows it, with what is wanted of it."""
    return as_shared(node, Extras(tx, want).of_node(node))


def as_shared(node: Node, found: Found = (None, None)) -> SharedNode:
    """:param found: its properties and locks, if they are known."""
    return SharedNode(
        node.key,
        node.modified,
        node.created,
        node.length,
        node.etag,
        node.content_type,
        None if node.is_collection else node.sha256,
        node.same_second,
        *found,
    )


def own_line(tx: Transaction, principal: Principal, node: Node, want: Want) -> wire.ListLine:
    """What a listing of depth 0 says."""
    line = _line(principal.login, shared_node(tx, node, want), 0)
    line.name = ""
    return line


def _line(login: str, node: SharedNode, skip: int) -> wire.ListLine:
    line = wire.ListLine(
        relative_name(node, skip),
        "object",
        node.modified,
        created=node.created,
        same_second=node.same_second,
    )
    if node.sha256 is None:
        line.type = "collection"
    else:
        line.length, line.etag = node.length, node.etag
        line.digest, line.content_type = node.sha256.hex(), node.content_type
    if node.properties is not None:
        line.properties = list(node.properties)
    if node.locks is not None:
        line.locks = [lock_info(login, lock) for lock in node.locks]
    return line
