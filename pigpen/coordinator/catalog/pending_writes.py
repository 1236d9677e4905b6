"""Pending writes: rows that remember a write from its opening until a week after its end."""

from __future__ import annotations

from typing import Final

import msgspec

from pigpen.coordinator.catalog.accounts import count_change
from pigpen.coordinator.catalog.nodes import blob_etag
from pigpen.database.transaction import Transaction
from pigpen.errors import PigpenError
from pigpen.http import wire
from pigpen.http.key import Key
from pigpen.http.namespace import When

#: ms an open write waits for its bytes: so long a host keeps a part (CLD-35)
OPEN_MS: Final = 24 * 3600 * 1000
#: ms a finished write is remembered, to answer the same again (CLD-33, 36)
REMEMBER_MS: Final = 7 * 24 * 3600 * 1000

OPEN: Final = 1
COMMITTED: Final = 2
REFUSED: Final = 3
ABANDONED: Final = 4


class Pending(msgspec.Struct, frozen=True):
    """A row. ``length``: as announced, and reserved; None: unknown, nothing reserved."""

    write: bytes
    account_id: int
    key: Key
    blob_id: bytes
    base_version: int | None
    when: When
    content_type: str
    length: int | None
    modified: int | None
    #: SHA-256 its bytes must have, 32 bytes
    digest: bytes | None
    hosts: tuple[int, ...]
    state: int
    status: int | None
    #: code and message of a refusal
    error: wire.Problem | None
    version_id: int | None
    #: Last-Modified it got, ms
    committed: int | None
    expires: int


_COLUMNS = (
    "id, account_id, path, blob_id, base_version, conditions, content_type, length, modified,"
    " digest, hosts, state, status, error, version_id, committed, expires"
)
_FIND = f"SELECT {_COLUMNS} FROM pending_writes WHERE id = ?"  # noqa: S608  # own constants
_INSERT = f"INSERT INTO pending_writes ({_COLUMNS}) VALUES ({', '.join('?' * 17)})"  # noqa: S608

_decode_when = msgspec.json.Decoder(When).decode
_decode_hosts = msgspec.json.Decoder(tuple[int, ...]).decode
_decode_problem = msgspec.json.Decoder(wire.Problem).decode


def find_pending(tx: Transaction, write: bytes) -> Pending | None:
    row = tx.one(_FIND, write)
    if row is None:
        return None
    number, account, path, blob, base, when, content_type, length, modified, digest, *end = row
    hosts, state, status, error, version, committed, expires = end
    return Pending(
        number,
        account,
        Key(tuple(path.decode().split("/"))),
        blob,
        base,
        _decode_when(when),
        content_type,
        length,
        modified,
        digest,
        _decode_hosts(hosts),
        state,
        status,
        None if error is None else _decode_problem(error),
        version,
        committed,
        expires,
    )


def insert_pending(tx: Transaction, pending: Pending) -> None:
    """Remember an open write and reserve its length."""
    tx.run(
        _INSERT,
        pending.write,
        pending.account_id,
        "/".join(pending.key.names).encode(),
        pending.blob_id,
        pending.base_version,
        msgspec.json.encode(pending.when).decode(),
        pending.content_type,
        pending.length,
        pending.modified,
        pending.digest,
        msgspec.json.encode(pending.hosts).decode(),
        pending.state,
        pending.status,
        None,
        pending.version_id,
        pending.committed,
        pending.expires,
    )
    if pending.length:
        count_change(tx, pending.account_id, reserved=pending.length)


def insert_abandoned(tx: Transaction, pending: Pending) -> None:
    """Remember that a write was given up before it came."""
    expires = tx.now + REMEMBER_MS
    ended = msgspec.structs.replace(pending, state=ABANDONED, length=None, expires=expires)
    insert_pending(tx, ended)


def extend(tx: Transaction, pending: Pending) -> None:
    """An open write goes on: it has a full day again, and who opened it first can see that."""
    expires = max(tx.now + OPEN_MS, pending.expires + 1)
    tx.run("UPDATE pending_writes SET expires = ? WHERE id = ?", expires, pending.write)


def settle_committed(
    tx: Transaction, pending: Pending, status: int, version_id: int, committed: int
) -> None:
    """It is current now. The caller has given its reservation back."""
    tx.run(
        "UPDATE pending_writes SET state = ?, status = ?, version_id = ?, committed = ?,"
        " expires = ? WHERE id = ?",
        COMMITTED,
        status,
        version_id,
        committed,
        tx.now + REMEMBER_MS,
        pending.write,
    )


def settle_refused(tx: Transaction, pending: Pending, error: PigpenError) -> None:
    """Its answer is final; its reservation is free."""
    problem = msgspec.json.encode(wire.Problem(error.code, error.message)).decode()
    _give_up(tx, pending, REFUSED, error.status, problem)


def settle_abandoned(tx: Transaction, pending: Pending) -> None:
    """Nobody wants it any more; its reservation is free."""
    _give_up(tx, pending, ABANDONED, None, None)


def _give_up(
    tx: Transaction, pending: Pending, state: int, status: int | None, error: str | None
) -> None:
    tx.run(
        "UPDATE pending_writes SET state = ?, status = ?, error = ?, expires = ? WHERE id = ?",
        state,
        status,
        error,
        tx.now + REMEMBER_MS,
        pending.write,
    )
    if pending.length:
        count_change(tx, pending.account_id, reserved=-pending.length)


def delete(tx: Transaction, pending: Pending) -> None:
    """Forget a write that has ended."""
    tx.run("DELETE FROM pending_writes WHERE id = ?", pending.write)


def answer_of(pending: Pending) -> wire.ReceiptAnswer:
    """What a committed or refused write answers, each time it is asked."""
    write = pending.write.hex()
    assert pending.status is not None
    if pending.error is not None:
        problem = pending.error
        return wire.ReceiptAnswer(
            write, pending.status, error=problem.error, message=problem.message
        )
    return wire.ReceiptAnswer(
        write,
        pending.status,
        etag=blob_etag(pending.blob_id),
        version=version_text(pending.version_id),
        modified=pending.committed,
    )


def refusal(write: str, error: PigpenError) -> wire.ReceiptAnswer:
    return wire.ReceiptAnswer(write, error.status, error=error.code, message=error.message)


def repeated(pending: Pending) -> PigpenError:
    """The refusal of a write, as it was raised the first time."""
    assert pending.error is not None
    facts = {"status": pending.status, "code": pending.error.error, "__doc__": "{message}"}
    kind: type[PigpenError] = type("Repeated", (PigpenError,), facts)
    return kind(message=pending.error.message)


def version_text(version_id: int | None) -> str | None:
    """A version's id as clients see it."""
    return None if version_id is None else f"{version_id:016x}"


def forget_writes(tx: Transaction, limit: int = 1000) -> int:
    """End open writes whose day is over, drop finished ones after their week.

    :return: how many rows; call again while it is `limit`.
    """
    rows = tx.all(
        "SELECT id, state FROM pending_writes WHERE expires <= ? ORDER BY expires LIMIT ?",
        tx.now,
        limit,
    )
    for write, state in rows:
        pending = find_pending(tx, write) if state == OPEN else None
        if pending is not None:
            settle_abandoned(tx, pending)
        else:
            tx.run("DELETE FROM pending_writes WHERE id = ?", write)
    return len(rows)
