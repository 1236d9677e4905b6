"""Copies of nodes: new names and versions for the same blobs."""

from __future__ import annotations

from typing import Final

from pigpen.coordinator import properties
from pigpen.coordinator.accounts import count_change
from pigpen.coordinator.nodes import (
    Node,
    grown_time,
    insert_node,
    insert_version,
    new_version_id,
)
from pigpen.coordinator.transaction import Transaction
from pigpen.errors import Forbidden

#: nodes one COPY makes at most
MAX_COPIED: Final = 100_000


def measure(tx: Transaction, node: Node, *, deep: bool) -> int:
    """The bytes a copy makes. :raises Forbidden: over MAX_COPIED nodes; counting stops there."""
    if not node.is_collection or not deep:
        return node.length
    row = tx.one(
        "WITH RECURSIVE below (id, version_id) AS ("
        " SELECT id, version_id FROM nodes WHERE id = ?"
        " UNION ALL SELECT n.id, n.version_id FROM nodes n JOIN below ON n.parent_id = below.id"
        " LIMIT ?)"
        " SELECT count(*), total(b.length) FROM below"
        " LEFT JOIN versions v ON v.id = below.version_id LEFT JOIN blobs b ON b.id = v.blob_id",
        node.id,
        MAX_COPIED + 1,
    )
    assert row is not None
    if row[0] > MAX_COPIED:
        raise Forbidden(reason=f"one COPY makes at most {MAX_COPIED} names; copy in parts")
    return int(row[1])


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
    properties.copy(tx, node.id, made)
    return made


def copy_members(tx: Transaction, account_id: int, source_id: int, target_id: int) -> None:
    """All below a collection; `measure` has bounded it."""
    waiting = [(source_id, target_id)]
    objects = used = 0
    while waiting:
        source, target = waiting.pop()
        for node_id, name, blob_id, content_type, length in _members(tx, source):
            if blob_id is None:
                made = insert_node(tx, account_id, target, name)
                waiting.append((node_id, made))
            else:
                version_id = new_version_id(tx)
                made = insert_node(tx, account_id, target, name, version_id)
                insert_version(tx, version_id, made, account_id, (blob_id, content_type))
                objects += 1
                used += length
            properties.copy(tx, node_id, made)
    count_change(tx, account_id, used=used, objects=objects)


def _members(tx: Transaction, collection_id: int) -> list[tuple[int, str, bytes, str, int]]:
    """All of them at once: `_measure` has bounded their number."""
    rows = tx.all(
        "SELECT n.id, n.name, v.blob_id, v.content_type, b.length FROM nodes n"
        " LEFT JOIN versions v ON v.id = n.version_id LEFT JOIN blobs b ON b.id = v.blob_id"
        " WHERE n.parent_id = ? ORDER BY n.sort_name",
        collection_id,
    )
    return [(number, name.decode(), *rest) for number, name, *rest in rows]
