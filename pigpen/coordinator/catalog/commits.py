"""Commit: the one place where bytes that are durable become what a key names (CLD-33 to 35)."""

from __future__ import annotations

import msgspec

from pigpen.coordinator.catalog import locks
from pigpen.coordinator.catalog.accounts import Principal, count_change
from pigpen.coordinator.catalog.namespace import make_parents, place_of_write
from pigpen.coordinator.catalog.nodes import (
    Node,
    blob_etag,
    end_version,
    grown_time,
    insert_node,
    insert_version,
    new_version_id,
    touch,
)
from pigpen.coordinator.catalog.pending_writes import Pending, version_text
from pigpen.database.transaction import Transaction
from pigpen.errors import Gone, QuotaExceeded, Superseded
from pigpen.http import wire
from pigpen.http.namespace import check_conditions


class Content(msgspec.Struct, frozen=True):
    """Bytes that are durable: on a host, or here in ``data``."""

    length: int
    sha256: bytes
    #: 'inline' if no host has them, else 'copies'
    scheme: str
    data: bytes | None = None


class Holder(msgspec.Struct, frozen=True):
    """An account as a commit sees it."""

    principal: Principal
    quota: int | None
    used: int
    reserved: int


def holder_of(tx: Transaction, account_id: int) -> Holder:
    """:raises Gone: the account is."""
    row = tx.one(
        "SELECT login, root_id, quota, used, reserved FROM accounts WHERE id = ?", account_id
    )
    if row is None:
        raise Gone
    login, root_id, *sums = row
    return Holder(Principal(account_id, login, root_id, ""), *sums)


def commit(
    tx: Transaction, pending: Pending, content: Content, *, late: bool, reserved: int
) -> wire.ReceiptAnswer:
    """Judge a write once more, for what is stored now, and make it current.

    :param late: its client may have gone on without it: only what it saw may be replaced (CLD-34).
    :param reserved: bytes of quota that were set aside for it.
    :return: 201 or 204. :raises PigpenError: the refusal; nothing was changed.
    """
    holder = holder_of(tx, pending.account_id)
    principal, when = holder.principal, pending.when
    parent, current = place_of_write(tx, principal, pending.key, when)
    if late and (None if current is None else current.version_id) != pending.base_version:
        raise Superseded
    check_conditions(when, "PUT", None if current is None else current.validators)
    locks.check(tx, principal, when, pending.key, [parent if current is None else current])
    _check_room(holder, content.length - (current.length if current else 0), reserved)
    # from here on nothing refuses
    times = grown_time(tx, current, pending.modified)
    version_id = _make_current(tx, pending, content, (parent, current), times)
    count_change(
        tx,
        pending.account_id,
        used=content.length - (current.length if current else 0),
        reserved=-reserved,
        objects=0 if current else 1,
    )
    return wire.ReceiptAnswer(
        pending.write.hex(),
        204 if current else 201,
        etag=blob_etag(pending.blob_id),
        version=version_text(version_id),
        modified=times[0],
    )


def _check_room(holder: Holder, more: int, reserved: int) -> None:
    """What was reserved was let in at the opening; what was not keeps off others' reservations."""
    if holder.quota is None or more <= 0:
        return
    others = 0 if reserved else holder.reserved
    if holder.used + others + more > holder.quota:
        raise QuotaExceeded


def _make_current(
    tx: Transaction,
    pending: Pending,
    content: Content,
    place: tuple[Node, Node | None],
    times: tuple[int, bool],
) -> int:
    parent, current = place
    tx.run(
        "INSERT INTO blobs (id, length, sha256, scheme, data, created) VALUES (?, ?, ?, ?, ?, ?)",
        pending.blob_id,
        content.length,
        content.sha256,
        content.scheme,
        content.data,
        tx.now,
    )
    version_id = new_version_id(tx)
    if current is None:
        principal = Principal(pending.account_id, "", 0, "")
        parent_id = make_parents(tx, principal, pending.key, parent)
        name = pending.key.name
        node_id = insert_node(tx, pending.account_id, parent_id, name, version_id, times)
        if parent_id != parent.id or parent.modified < tx.now:
            touch(tx, parent_id)
    else:
        node_id = current.id
        assert current.version_id is not None
        end_version(tx, current.version_id)
        tx.run(
            "UPDATE nodes SET version_id = ?, modified = ?, same_second = ? WHERE id = ?",
            version_id,
            *times,
            node_id,
        )
    made = (pending.blob_id, pending.content_type)
    insert_version(tx, version_id, node_id, pending.account_id, made)
    return version_id
