"""Writes: opened, resumed, stored, asked about, given up (CLD-30 to 38). Rules, no HTTP.

open ──receipt──> committed      201 or 204, the same for 7 days
  │ ╰────────────> refused       409, 412, 423, 507
  ╰──DELETE, 24 h──> abandoned   later receipts get 410
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from pigpen.coordinator.catalog import host_rows, locks, pending_writes
from pigpen.coordinator.catalog.accounts import Principal, room_left
from pigpen.coordinator.catalog.commits import Content, commit
from pigpen.coordinator.catalog.namespace import place_of_write
from pigpen.coordinator.catalog.nodes import Node, blob_etag, find
from pigpen.coordinator.catalog.pending_writes import (
    ABANDONED,
    COMMITTED,
    OPEN,
    OPEN_MS,
    REFUSED,
    Pending,
    answer_of,
    find_pending,
    refusal,
)
from pigpen.database.transaction import Transaction
from pigpen.errors import (
    Conflict,
    DigestMismatch,
    Gone,
    NotFound,
    PigpenError,
    QuotaExceeded,
    TooLarge,
)
from pigpen.http import wire
from pigpen.http.fields import OCTET_STREAM
from pigpen.http.key import Key
from pigpen.http.namespace import ALWAYS, When, check_conditions

#: states as clients see them
STATES: Final[dict[int, Literal["open", "committed", "refused", "abandoned"]]] = {
    OPEN: "open",
    COMMITTED: "committed",
    REFUSED: "refused",
    ABANDONED: "abandoned",
}


class WriteWish(msgspec.Struct, frozen=True):
    """What a PUT asks for."""

    key: Key
    when: When = ALWAYS
    content_type: str = OCTET_STREAM
    #: bytes; None: unknown
    length: int | None = None
    #: Last-Modified that the writer sets, ms (DAV-54)
    modified: int | None = None
    #: SHA-256 its bytes must have, 32 bytes
    digest: bytes | None = None
    #: the client's own id for this write; None: a new one
    write: str | None = None
    #: where it is to go, best first: a resumed write goes to the same
    hosts: tuple[int, ...] = ()


class OpenWrite(msgspec.Struct, frozen=True):
    """A write that waits for its bytes, or has its answer already."""

    write: str
    blob: str
    key: Key
    length: int | None
    #: bytes it may have: its length, else what the quota leaves
    max_bytes: int
    content_type: str
    modified: int | None
    hosts: tuple[int, ...]
    digest: bytes | None = None
    #: it was open before: hosts may have a part
    resumed: bool = False
    #: its row's, which changes when another request goes on with it
    expires: int = 0
    #: it is committed: say this again
    answer: wire.ReceiptAnswer | None = None


def judge(tx: Transaction, principal: Principal, wish: WriteWish) -> None:
    """Judge a PUT that will not be opened now. :raises PigpenError: as `open_write`."""
    if _known(tx, principal, wish) is None:
        _judge(tx, principal, wish)


def open_write(tx: Transaction, principal: Principal, wish: WriteWish) -> OpenWrite:
    """Judge a PUT before its body is asked for, and reserve its length.

    The same write id again is the same write: it goes on, or answers as it did.

    :raises PigpenError: as the commit would refuse it: 405, 409, 412, 423, 507.
    """
    known = _known(tx, principal, wish)
    if known is not None:
        return _go_on(tx, principal, known)
    current, room = _judge(tx, principal, wish)
    made = _pending(tx, principal, wish, current)
    pending_writes.insert_pending(tx, made)
    return _opened(made, room, resumed=False)


def renew(tx: Transaction, principal: Principal, wish: WriteWish) -> OpenWrite:
    """Go on with an open write whose expectation has ended (CLD-37).

    :raises NotFound: begin anew. :raises Gone: it was given up. :raises Conflict: it is the write
        of another key, length or digest.
    """
    assert wish.write is not None
    row = find_pending(tx, bytes.fromhex(wish.write))
    if row is None or row.account_id != principal.account_id:
        raise NotFound
    _check_same(row, principal, wish)
    return _go_on(tx, principal, row)


def store_inline(
    tx: Transaction, principal: Principal, wish: WriteWish, data: bytes
) -> wire.ReceiptAnswer:
    """Store a small object in the catalog itself, at once.

    :return: 201 or 204. :raises TooLarge: over INLINE_BYTES. :raises PigpenError: as `open_write`.
    """
    if len(data) > wire.INLINE_BYTES:
        raise TooLarge(limit=wire.INLINE_BYTES)
    known = _known(tx, principal, wish)
    if known is not None and (done := _go_on(tx, principal, known)).answer is not None:
        return done.answer
    if known is not None and known.length not in {None, len(data)}:
        raise Conflict(reason="this write was opened with another length")
    row = known or _pending(tx, principal, wish, None, tx.dated_id())
    content = Content(len(data), hashlib.sha256(data).digest(), "inline", data)
    if row.digest not in {None, content.sha256}:
        raise DigestMismatch
    reserved = (known.length or 0) if known else 0
    answer = commit(tx, row, content, late=False, reserved=reserved)
    if wish.write is not None:  # else nobody can ask for it
        if known is None:
            pending_writes.insert_pending(tx, msgspec.structs.replace(row, length=None))
        _settle(tx, row, answer)
    return answer


def _says_late(receipt: wire.Receipt) -> bool:
    return receipt.late


def commit_receipt(
    tx: Transaction,
    host_id: int,
    receipt: wire.Receipt,
    is_late: Callable[[wire.Receipt], bool] = _says_late,
) -> wire.ReceiptAnswer:
    """A host has made a blob durable: make the write current, or say why not.

    A receipt may come again, also from another host: it gets the same answer, and counts once.
    One from an older epoch of its host is late: what it would replace must not have changed. One of
    a write that is not remembered is answered 404, not 410: its blob may be what a key names, if
    the host was away for a week or a backup of the catalog was restored, so the host keeps it.

    :param is_late: `Readings.is_late`. :raises NotFound: there is no such host.
    """
    epoch = host_rows.epoch_of(tx, host_id)
    row = find_pending(tx, bytes.fromhex(receipt.write))
    if row is None:
        return refusal(receipt.write, NotFound())
    if row.state == ABANDONED:
        return refusal(receipt.write, Gone())
    if row.state == REFUSED:
        return answer_of(row)
    try:
        content = _content(tx, row, receipt)
    except PigpenError as error:
        return refusal(receipt.write, error)  # another host may still bring the right bytes
    if row.state == COMMITTED:
        host_rows.add_replica(tx, host_id, row.blob_id)
        return answer_of(row)
    late = receipt.epoch != epoch or is_late(receipt)
    try:
        answer = commit(tx, row, content, late=late, reserved=row.length or 0)
    except PigpenError as error:
        pending_writes.settle_refused(tx, row, error)
        return refusal(receipt.write, error)
    _settle(tx, row, answer)
    host_rows.add_replica(tx, host_id, row.blob_id)
    return answer


def write_state(tx: Transaction, principal: Principal, write: str) -> wire.WriteState:
    """How a write ended (CLD-36). :raises NotFound: never heard of, or over a week ago."""
    row = find_pending(tx, bytes.fromhex(write))
    if row is None or row.account_id != principal.account_id:
        raise NotFound
    return wire.WriteState(
        STATES[row.state],
        status=row.status,
        etag=blob_etag(row.blob_id) if row.state == COMMITTED else None,
        error=None if row.error is None else row.error.error,
        message=None if row.error is None else row.error.message,
    )


def abandon(tx: Transaction, principal: Principal, write: str, key: Key | None = None) -> None:
    """Give a write up: 204, later receipts get 410.

    :param key: where it goes if it is still on its way: it will be refused.
    :raises Conflict: it is committed. :raises NotFound: as `write_state`.
    """
    row = find_pending(tx, bytes.fromhex(write))
    if row is None and key is not None and not key.is_root:
        given_up = _pending(tx, principal, WriteWish(key, write=write), None)
        pending_writes.insert_abandoned(tx, given_up)
        return
    if row is None or row.account_id != principal.account_id:
        raise NotFound
    if row.state == COMMITTED:
        raise Conflict(reason="this write is committed already")
    if row.state == OPEN:
        pending_writes.settle_abandoned(tx, row)


def withdraw(tx: Transaction, opened: OpenWrite) -> None:
    """Forget an open write that nobody was told of: its id may be opened again.

    Another request with the same id may have gone on with it, and found a host: then it stays.
    """
    row = find_pending(tx, bytes.fromhex(opened.write))
    same = row is not None and (row.blob_id.hex(), row.expires) == (opened.blob, opened.expires)
    if row is not None and same and row.state == OPEN:
        pending_writes.settle_abandoned(tx, row)
        pending_writes.delete(tx, row)


# -- parts ----------------------------------------------------------------------------------------


def _known(tx: Transaction, principal: Principal, wish: WriteWish) -> Pending | None:
    """The row of a write id that the client chose, if it has come before."""
    if wish.write is None:
        return None
    row = find_pending(tx, bytes.fromhex(wish.write))
    if row is not None:
        _check_same(row, principal, wish)
    return row


def _check_same(row: Pending, principal: Principal, wish: WriteWish) -> None:
    """:raises Conflict: this id belongs to another write."""
    if row.account_id != principal.account_id or row.key.names != wish.key.names:
        raise Conflict(reason="this write id belongs to another write")
    if None not in {row.length, wish.length} and row.length != wish.length:
        raise Conflict(reason="this write was opened with another length")
    if None not in {row.digest, wish.digest} and row.digest != wish.digest:
        raise Conflict(reason="this write was opened with another digest")


def _go_on(tx: Transaction, principal: Principal, row: Pending) -> OpenWrite:
    if row.state == ABANDONED:
        raise Gone
    if row.state == REFUSED:
        raise pending_writes.repeated(row)
    if row.state == COMMITTED:
        return _opened(row, row.length or 0, resumed=True, answer=answer_of(row))
    pending_writes.extend(tx, row)
    current = find(tx, principal.root_id, row.key, loose=row.when.loose)
    return _opened(row, _room(tx, principal, current), resumed=True)


def _judge(tx: Transaction, principal: Principal, wish: WriteWish) -> tuple[Node | None, int]:
    """:return: what would be replaced, and the bytes there is room for."""
    parent, current = place_of_write(tx, principal, wish.key, wish.when)
    check_conditions(wish.when, "PUT", None if current is None else current.validators)
    changed = [parent if current is None else current]
    locks.check(tx, principal, wish.when, wish.key, changed)
    room = _room(tx, principal, current)
    if wish.length is not None and wish.length > room:
        raise QuotaExceeded
    return current, room


def _room(tx: Transaction, principal: Principal, current: Node | None) -> int:
    """Bytes a version may have. What it replaces counts no more afterwards, so that a full account
    can still be edited."""
    replaced = 0 if current is None else current.length
    return min(room_left(tx, principal.account_id) + replaced, 2**62)


def _pending(
    tx: Transaction,
    principal: Principal,
    wish: WriteWish,
    current: Node | None,
    blob_id: bytes | None = None,
) -> Pending:
    return Pending(
        write=tx.random_id() if wish.write is None else bytes.fromhex(wish.write),
        account_id=principal.account_id,
        key=wish.key,
        blob_id=blob_id or tx.random_id(),
        base_version=None if current is None else current.version_id,
        when=wish.when,
        content_type=wish.content_type,
        length=wish.length,
        modified=wish.modified,
        digest=wish.digest,
        hosts=wish.hosts,
        state=OPEN,
        status=None,
        error=None,
        version_id=None,
        committed=None,
        expires=tx.now + OPEN_MS,
    )


def _opened(
    row: Pending, room: int, *, resumed: bool, answer: wire.ReceiptAnswer | None = None
) -> OpenWrite:
    return OpenWrite(
        write=row.write.hex(),
        blob=row.blob_id.hex(),
        key=row.key,
        length=row.length,
        max_bytes=room if row.length is None else row.length,
        content_type=row.content_type,
        modified=row.modified,
        hosts=row.hosts,
        digest=row.digest,
        resumed=resumed,
        expires=row.expires,
        answer=answer,
    )


def _content(tx: Transaction, row: Pending, receipt: wire.Receipt) -> Content:
    """What a receipt brings. :raises PigpenError: it is not what the write is about."""
    sha256 = bytes.fromhex(receipt.sha256)
    if bytes.fromhex(receipt.blob) != row.blob_id:
        raise Conflict(reason="this write has another blob")
    if row.length is not None and receipt.length != row.length:
        raise Conflict(reason="this write has another length")
    if row.digest not in {None, sha256}:
        raise DigestMismatch
    if row.state == COMMITTED:
        known = tx.one("SELECT sha256 FROM blobs WHERE id = ?", row.blob_id)
        if known is not None and known[0] != sha256:
            raise Conflict(reason="another host stored other bytes for this write")
    data = receipt.data
    if data is not None and len(data) > wire.INLINE_BYTES:
        data = None
    if data is not None:
        if len(data) != receipt.length or hashlib.sha256(data).digest() != sha256:
            raise DigestMismatch
    return Content(receipt.length, sha256, "copies", data)


def _settle(tx: Transaction, row: Pending, answer: wire.ReceiptAnswer) -> None:
    assert answer.version is not None
    assert answer.modified is not None
    pending_writes.settle_committed(
        tx, row, answer.status, int(answer.version, 16), answer.modified
    )
