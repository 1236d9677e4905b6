"""Taking, refreshing and ending locks: the rules of LOCK and UNLOCK (DAV-19, 20, 40 to 47)."""

from __future__ import annotations

from typing import Final

import msgspec

from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.locks import (
    LockRow,
    below,
    by_token,
    check,
    covering,
    drop,
    key_of,
    line_of,
    live_locks,
    roots_of,
)
from pigpen.coordinator.catalog.namespace import check_slash, resolve
from pigpen.coordinator.catalog.nodes import Node, find
from pigpen.coordinator.catalog.writes import WriteWish, store_inline
from pigpen.database.transaction import Transaction
from pigpen.errors import (
    Forbidden,
    InsufficientStorage,
    LockConflict,
    NotFound,
    PreconditionFailed,
    WrongLock,
)
from pigpen.http.key import Key
from pigpen.http.namespace import MAX_LOCKS, LockWish, When, check_conditions
from pigpen.http.namespace_rules import check_meeting, check_owner, lock_end, new_token

#: of a list of all locks
PAGE: Final = 1000


def lock(
    tx: Transaction, principal: Principal, key: Key, wish: LockWish, when: When
) -> tuple[Key, LockRow, bool]:
    """Lock a node; a free name becomes an empty object.

    :return: where it was taken, the lock, and whether the object was made (201).
    :raises LockConflict: another lock is in the way; its fact ``roots`` has their keys.
    :raises Conflict: there is no collection to lie in.
    :raises InsufficientStorage: there are too many, or its owner is too long.
    """
    check_owner(wish.owner)
    node = find(tx, principal.root_id, key, loose=when.loose)
    made = node is None
    if node is None:
        terms = msgspec.structs.replace(when, parents=False)
        store_inline(tx, principal, WriteWish(key, terms, length=0), b"")
        node = resolve(tx, principal, key, loose=when.loose)
    else:
        check_slash(key, node)
        check_conditions(when, "LOCK", node.validators)
        check(tx, principal, when, key, [])
    meeting = _meeting(tx, principal, node, wish)
    conflicts = [other for other in meeting if wish.exclusive or other.exclusive]
    if conflicts:
        raise LockConflict(roots=roots_of(tx, conflicts))
    check_meeting(len(meeting))
    return node.key, _insert(tx, principal, node, wish, when.principal), made


def _meeting(tx: Transaction, principal: Principal, node: Node, wish: LockWish) -> list[LockRow]:
    found = covering(tx, node.id)
    if wish.infinite and node.is_collection:
        found += below(tx, principal.account_id, node)
    return found


def _insert(
    tx: Transaction, principal: Principal, node: Node, wish: LockWish, holder: str
) -> LockRow:
    if not tx.run(
        "UPDATE accounts SET locks = locks + 1 WHERE id = ? AND locks < ?",
        principal.account_id,
        MAX_LOCKS,
    ):
        raise InsufficientStorage(reason=f"an account has at most {MAX_LOCKS} locks")
    token = new_token(tx.random, tx.now)
    made = LockRow(
        token,
        node.id,
        wish.infinite,
        wish.exclusive,
        holder,
        wish.owner,
        lock_end(tx.now, wish.seconds),
    )
    tx.run(
        "INSERT INTO locks (token, account_id, node_id, depth, exclusive, principal, owner,"
        " expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        token,
        principal.account_id,
        node.id,
        wish.infinite,
        wish.exclusive,
        holder,
        wish.owner,
        made.expires,
    )
    return made


def refresh(
    tx: Transaction, principal: Principal, key: Key, seconds: int, when: When
) -> tuple[Key, LockRow]:
    """Give a lock new time: the one whose token the If field submits, also through a member.

    :return: where it was taken, and the lock.
    :raises PreconditionFailed: no such lock covers the key, or it is another user's.
    """
    node = resolve(tx, principal, key, loose=when.loose)
    check_conditions(when, "LOCK", node.validators)
    check(tx, principal, when, key, [])
    tokens = when.if_field.tokens if when.if_field is not None else frozenset()
    for held in covering(tx, node.id):
        if held.token in tokens and held.principal == when.principal:
            expires = lock_end(tx.now, seconds)
            tx.run("UPDATE locks SET expires = ? WHERE token = ?", expires, held.token)
            return key_of(tx, held.node_id), msgspec.structs.replace(held, expires=expires)
    raise PreconditionFailed


def unlock(tx: Transaction, principal: Principal, key: Key, token: str, when: When) -> None:
    """End a lock, through any key it covers.

    :raises WrongLock: it covers another key, or none. :raises Forbidden: it is another user's.
    """
    node = resolve(tx, principal, key, loose=when.loose)
    check_conditions(when, "UNLOCK", node.validators)
    check(tx, principal, when, key, [])
    held = by_token(tx, token)
    if held is None or not _covers(tx, held, node):
        raise WrongLock
    if held.principal != when.principal:
        raise Forbidden(reason="only who took a lock can end it")
    drop(tx, principal.account_id, token)


def _covers(tx: Transaction, held: LockRow, node: Node) -> bool:
    return held.node_id == node.id or (held.infinite and held.node_id in line_of(tx, node.id))


def locks_on(tx: Transaction, node: Node) -> list[tuple[Key, LockRow]]:
    """The locks that cover a node, with where they were taken: its lockdiscovery."""
    return [(key_of(tx, lock.node_id), lock) for lock in covering(tx, node.id)]


def all_locks(
    tx: Transaction, principal: Principal, after: str = "", limit: int = PAGE
) -> list[tuple[Key, LockRow]]:
    """The next locks of an account, by token, with where they were taken.

    :param after: a token, exclusive.
    """
    found = live_locks(tx, principal.account_id, after, limit)
    return [(key_of(tx, lock.node_id), lock) for lock in found]


def break_lock(tx: Transaction, principal: Principal, token: str) -> None:
    """The account ends a lock, whoever took it. :raises NotFound: there is none."""
    if not drop(tx, principal.account_id, token):
        raise NotFound(said="There is no lock of this token; `pigpen locks` shows all there are.")
