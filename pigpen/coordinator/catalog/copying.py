"""Copies of nodes: new names and versions for the same blobs."""

from __future__ import annotations

from typing import Final

from pigpen.coordinator.catalog import properties
from pigpen.coordinator.catalog.accounts import count_change
from pigpen.coordinator.catalog.nodes import (
    Node,
    grown_time,
    insert_node,
    insert_version,
    new_version_id,
)
from pigpen.database.transaction import Row, Transaction, Value
from pigpen.errors import Forbidden, Unavailable
from pigpen.http.key import Key
from pigpen.http.namespace_rules import check_key_bytes

#: nodes one COPY makes at most
MAX_COPIED: Final = 100_000
#: members read and written at a time
PAGE: Final = 1000

_MEMBERS = (
    "SELECT n.id, n.name, n.sort_name, v.blob_id, v.content_type, b.length FROM nodes n"
    " LEFT JOIN versions v ON v.id = n.version_id LEFT JOIN blobs b ON b.id = v.blob_id"
    " WHERE n.parent_id = ? AND n.sort_name > ? ORDER BY n.sort_name LIMIT ?"
)
_WITH_PROPERTIES = (
    "SELECT DISTINCT p.node_id FROM nodes n CROSS JOIN properties p"
    " WHERE p.node_id = n.id AND n.parent_id = ? AND n.sort_name > ? AND n.sort_name <= ?"
)
_INSERT_NODE = (
    "INSERT INTO nodes (id, account_id, parent_id, name, sort_name, version_id, created, modified)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
_INSERT_VERSION = (
    "INSERT INTO versions (id, account_id, node_id, blob_id, content_type, created)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)


def measure(tx: Transaction, node: Node, target: Key, *, deep: bool) -> int:
    """The bytes a copy makes.

    :param target: its key. :raises Forbidden: over MAX_COPIED nodes, where counting stops, or a
        member's key would be too long to be asked for.
    """
    if not node.is_collection or not deep:
        return node.length
    row = tx.one(
        "WITH RECURSIVE below (id, version_id, key_bytes) AS ("
        " SELECT id, version_id, ? FROM nodes WHERE id = ?"
        " UNION ALL SELECT n.id, n.version_id, key_bytes + length(n.sort_name) FROM nodes n"
        " JOIN below ON n.parent_id = below.id)"
        " SELECT count(*), sum(b.length), max(key_bytes) FROM (SELECT * FROM below LIMIT ?) below"
        " LEFT JOIN versions v ON v.id = below.version_id LEFT JOIN blobs b ON b.id = v.blob_id",
        len("/".join(target.names).encode()) + 1,
        node.id,
        MAX_COPIED + 1,
    )
    assert row is not None
    if row[0] > MAX_COPIED:
        raise Forbidden(reason=f"one COPY makes at most {MAX_COPIED} names; copy in parts")
    check_key_bytes(row[2])
    return row[1] or 0


def copy_node(
    tx: Transaction, account_id: int, node: Node, place: tuple[int, str], replaced: Node | None
) -> int:
    """A node without members, with its properties.

    :param place: parent and name. :param replaced: what the name named before, for its time.
    """
    parent_id, name = place
    if node.is_collection:
        made = insert_node(tx, account_id, parent_id, name)
    else:
        version_id = new_version_id(tx)
        times = grown_time(tx, replaced)
        made = insert_node(tx, account_id, parent_id, name, version_id, times)
        content = (node.blob_id, node.content_type)
        insert_version(tx, version_id, made, account_id, content)
        count_change(tx, account_id, used=node.length, objects=1)
    properties.count(tx, account_id, properties.copy(tx, node.id, made))
    return made


def copy_members(tx: Transaction, account_id: int, source_id: int, target_id: int) -> None:
    """All below a collection; `measure` has bounded it.

    Rows go in by pages, as a hundred thousand of them hold every other change up.

    :raises Unavailable: a random id was taken already; try again. :raises QuotaExceeded: by the
        properties; `measure` tells the bytes of objects.
    """
    waiting = [(source_id, target_id)]
    objects = used = kept = 0
    while waiting:
        source, target = waiting.pop()
        after = b""
        while rows := tx.all(_MEMBERS, source, after, PAGE):
            made = [tx.random.getrandbits(63) for _ in rows]
            _insert_page(tx, account_id, target, rows, made)
            kept += _copy_properties(tx, source, (after, rows[-1][2]), _pairs(rows, made))
            for row, new_id in zip(rows, made, strict=True):
                if row[3] is None:
                    waiting.append((row[0], new_id))
                else:
                    objects += 1
                    used += row[5]
            after = rows[-1][2]
    count_change(tx, account_id, used=used, objects=objects)
    properties.count(tx, account_id, kept)


def _pairs(rows: list[Row], made: list[int]) -> dict[int, int]:
    return {row[0]: new_id for row, new_id in zip(rows, made, strict=True)}


def _insert_page(
    tx: Transaction, account_id: int, target: int, rows: list[Row], made: list[int]
) -> None:
    nodes: list[tuple[Value, ...]] = []
    versions: list[tuple[Value, ...]] = []
    for (_, name, sort_name, blob_id, content_type, _), new_id in zip(rows, made, strict=True):
        version_id = None
        if blob_id is not None:
            version_id = tx.random.getrandbits(63)
            versions.append((version_id, account_id, new_id, blob_id, content_type, tx.now))
        nodes.append((new_id, account_id, target, name, sort_name, version_id, tx.now, tx.now))
    inserted = tx.many(_INSERT_NODE, nodes)
    if versions:
        inserted += tx.many(_INSERT_VERSION, versions)
    if inserted != len(nodes) + len(versions):
        raise Unavailable(reason="two random ids were the same")


def _copy_properties(
    tx: Transaction, source: int, span: tuple[bytes, bytes], made: dict[int, int]
) -> int:
    """Most members have none, so those that do are asked for. :return: bytes."""
    with_some = tx.all(_WITH_PROPERTIES, source, *span)
    return sum(properties.copy(tx, node_id, made[node_id]) for (node_id,) in with_some)
