"""Retention: what the catalog forgets, and when. Rules for a sweep that runs now and then."""

from __future__ import annotations

from typing import Final

from pigpen.coordinator.catalog.locks import forget_locks
from pigpen.coordinator.catalog.namespace import sweep
from pigpen.coordinator.catalog.pending_writes import forget_writes
from pigpen.database.transaction import Transaction

#: ms that rows of ended versions stay (CLD-80)
KEEP_ENDED_MS: Final = 7 * 24 * 3600 * 1000


def upkeep(tx: Transaction, limit: int = 1000) -> bool:
    """One step of everything there is to forget, each bounded by `limit` rows.

    :return: whether more waits: call it again, in a transaction of its own.
    """
    counts = [
        forget_writes(tx, limit),
        sweep(tx, limit),
        forget_versions(tx, limit),
        forget_locks(tx, limit),
    ]
    return any(count >= limit for count in counts)


def forget_versions(tx: Transaction, limit: int = 1000) -> int:
    """Drop versions that ended a week ago, and blobs that no version names any more.

    Hosts keep what the catalog tells them to keep, so their copies of such blobs go too, later.

    :return: how many versions; call again while it is `limit`.
    """
    rows = tx.all(
        "SELECT id, blob_id FROM versions WHERE ended <= ? ORDER BY ended LIMIT ?",
        tx.now - KEEP_ENDED_MS,
        limit,
    )
    for version_id, blob_id in rows:
        tx.run("DELETE FROM versions WHERE id = ?", version_id)
        if tx.one("SELECT 1 FROM versions WHERE blob_id = ? LIMIT 1", blob_id) is None:
            tx.run("DELETE FROM blobs WHERE id = ?", blob_id)
            tx.run("DELETE FROM replicas WHERE blob_id = ?", blob_id)
    return len(rows)
