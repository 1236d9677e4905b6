"""Dead properties of nodes: rows of (namespace, name, value) (CLD-14, DAV-52)."""

from __future__ import annotations

from pigpen.coordinator.catalog.accounts import check_quota, count_change
from pigpen.database.transaction import Transaction
from pigpen.http.namespace import Changes, Property
from pigpen.http.namespace_rules import check_properties, check_property


def read(tx: Transaction, node_id: int) -> list[Property]:
    """All properties of a node, by namespace and name."""
    rows = tx.all(
        "SELECT namespace, name, value FROM properties WHERE node_id = ? ORDER BY namespace, name",
        node_id,
    )
    return [Property(*row) for row in rows]


def apply(tx: Transaction, account_id: int, node_id: int, changes: Changes) -> None:
    """Set and remove, in order, all or nothing. Removing what is not there is no error.

    :raises InsufficientStorage: see `namespace_rules`.
    :raises QuotaExceeded: see `count`.
    """
    if not changes:
        return
    _, before = _sums(tx, node_id)
    for change in changes:
        if change.value is None:
            tx.run(
                "DELETE FROM properties WHERE node_id = ? AND namespace = ? AND name = ?",
                node_id,
                change.namespace,
                change.name,
            )
        else:
            _set(tx, node_id, change.namespace, change.name, change.value)
    number, size = _sums(tx, node_id)
    check_properties(number, size)
    count(tx, account_id, size - before)


def _sums(tx: Transaction, node_id: int) -> tuple[int, int]:
    """How many a node has, and their bytes."""
    sums = tx.one(
        "SELECT count(*), sum(length(CAST(namespace || name || value AS BLOB))) FROM properties"
        " WHERE node_id = ?",
        node_id,
    )
    assert sums is not None
    return sums[0], sums[1] or 0


def count(tx: Transaction, account_id: int, size: int) -> None:
    """So many bytes of properties came, or went: names and values are the account's.

    :raises QuotaExceeded: it has no room for them.
    """
    check_quota(tx, account_id, size)
    if size:
        count_change(tx, account_id, used=size)


def _set(tx: Transaction, node_id: int, namespace: str, name: str, value: str) -> None:
    check_property(namespace, name, value)
    tx.run(
        "INSERT INTO properties (node_id, namespace, name, value) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (node_id, namespace, name) DO UPDATE SET value = excluded.value",
        node_id,
        namespace,
        name,
        value,
    )


def copy(tx: Transaction, source_id: int, target_id: int) -> int:
    """Give a new node the properties of another. :return: their bytes, which `count` takes."""
    copied = tx.run(
        "INSERT INTO properties (node_id, namespace, name, value)"
        " SELECT ?, namespace, name, value FROM properties WHERE node_id = ?",
        target_id,
        source_id,
    )
    return _sums(tx, target_id)[1] if copied else 0


def remove(tx: Transaction, account_id: int, node_id: int) -> None:
    """All of a node that goes."""
    rows = tx.all(
        "DELETE FROM properties WHERE node_id = ?"
        " RETURNING length(CAST(namespace || name || value AS BLOB))",
        node_id,
    )
    count(tx, account_id, -sum(size for (size,) in rows))
