"""Rules over locks: which cover a place, and taking, renewing and ending them (DAV-40 to 47)."""

from __future__ import annotations

from collections.abc import Iterable

from pigpen.database.transaction import Row, Transaction
from pigpen.errors import (
    Forbidden,
    InsufficientStorage,
    LockConflict,
    PreconditionFailed,
    WrongLock,
)
from pigpen.http.key import Key
from pigpen.http.namespace import MAX_LOCKS, Lock, LockWish
from pigpen.http.namespace_rules import check_meeting, check_owner, in_the_way, lock_end, new_token
from pigpen.stores.sidecar.names import key_of, place_of, places_above

_COLUMNS = "token, place, collection, infinite, exclusive, principal, owner, expires"
_AT = f"SELECT {_COLUMNS} FROM locks WHERE place = ? AND expires > ? ORDER BY token"  # noqa: S608
_BELOW = (
    f"SELECT {_COLUMNS} FROM locks WHERE place > ? AND place < ? AND expires > ?"  # noqa: S608
    " ORDER BY place, token"
)


def _lock(row: Row) -> Lock:
    token, place, collection, infinite, exclusive, principal, owner, expires = row
    root = key_of(place + "/" if collection else place)
    return Lock(token, root, bool(exclusive), bool(infinite), principal, owner, expires)


def covering(tx: Transaction, place: str) -> list[Lock]:
    """The locks on a place itself, and infinite ones above it, the nearest first."""
    found = []
    for above in places_above(place):
        locks = map(_lock, tx.all(_AT, above, tx.now))
        found += [lock for lock in locks if lock.infinite or above == place]
    return found


def below(tx: Transaction, place: str) -> list[Lock]:
    """The locks on all that lies below a place, not on itself."""
    return [_lock(row) for row in tx.all(_BELOW, place + "/", place + "0", tx.now)]


def missing(
    tx: Transaction,
    changed: Iterable[str],
    emptied: Iterable[str],
    submitted: frozenset[str],
    principal: str,
) -> list[Lock]:
    """The locks in the way of a change.

    :param changed: places that change, or whose members do. :param emptied: that go or move, with
        all below them. :param submitted: tokens, which count only from who took the lock.
    """
    places = [*changed, *emptied]
    for place in list(emptied):
        places += [place_of(lock.root) for lock in below(tx, place)]
    found: dict[str, Lock] = {}
    for place in dict.fromkeys(places):
        locks = in_the_way(covering(tx, place), submitted, principal)
        found |= {lock.token: lock for lock in locks}
    return list(found.values())


def roots_of(locks: Iterable[Lock]) -> tuple[Key, ...]:
    """Where locks were taken: what a 423 names."""
    return tuple(dict.fromkeys(lock.root for lock in locks))


# -- changes --------------------------------------------------------------------------------------


def check_free(tx: Transaction, key: Key, wish: LockWish) -> None:
    """:raises LockConflict: another lock is in the way. :raises InsufficientStorage: too many."""
    check_owner(wish.owner)
    place = place_of(key)
    meeting = covering(tx, place)
    if wish.infinite and key.collection:
        meeting += below(tx, place)
    conflicts = [other for other in meeting if wish.exclusive or other.exclusive]
    if conflicts:
        raise LockConflict(roots=roots_of(conflicts))
    check_meeting(len(meeting))
    if _count(tx) >= MAX_LOCKS:
        raise InsufficientStorage(reason=f"there are at most {MAX_LOCKS} locks")


def _count(tx: Transaction) -> int:
    row = tx.one("SELECT number FROM lock_count")
    if row is not None and row[0] >= MAX_LOCKS:  # some of them may have ended
        row = tx.one("SELECT count(*) FROM locks WHERE expires > ?", tx.now)
    return 0 if row is None else int(row[0])


def take(tx: Transaction, key: Key, wish: LockWish, principal: str) -> Lock:
    """:raises LockConflict: as `check_free`."""
    tx.run("DELETE FROM locks WHERE expires <= ?", tx.now)
    check_free(tx, key, wish)
    place = place_of(key)
    token = new_token(tx.random, tx.now)
    expires = lock_end(tx.now, wish.seconds)
    made = Lock(token, key, wish.exclusive, wish.infinite, principal, wish.owner, expires)
    tx.run(
        f"INSERT INTO locks ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        token, place, key.collection, wish.infinite, wish.exclusive, principal, wish.owner,
        expires,
    )  # fmt: skip
    return made


def renew(
    tx: Transaction, place: str, tokens: frozenset[str], principal: str, seconds: int
) -> Lock:
    """:raises PreconditionFailed: none of the tokens is one of this user's that covers it."""
    for held in covering(tx, place):
        if held.token in tokens and held.principal == principal:
            tx.run(
                "UPDATE locks SET expires = ? WHERE token = ?",
                lock_end(tx.now, seconds),
                held.token,
            )
            return next(lock for lock in covering(tx, place) if lock.token == held.token)
    raise PreconditionFailed


def end(tx: Transaction, place: str, token: str, principal: str) -> None:
    """:raises WrongLock: it covers another place. :raises Forbidden: it is another user's."""
    for held in covering(tx, place):
        if held.token == token:
            if held.principal != principal:
                raise Forbidden(reason="only who took a lock can end it")
            tx.run("DELETE FROM locks WHERE token = ?", token)
            return
    raise WrongLock


def end_all(tx: Transaction, place: str, *, keep: bool = False) -> None:
    """End the locks on what goes or moves, and below it (DAV-47).

    :param keep: not those on the place itself: it is written over.
    """
    tx.run("DELETE FROM locks WHERE place > ? AND place < ?", place + "/", place + "0")
    if not keep:
        tx.run("DELETE FROM locks WHERE place = ?", place)


def set_kind(tx: Transaction, place: str, *, collection: bool) -> None:
    """The locks on a place are on another kind of node now."""
    tx.run("UPDATE locks SET collection = ? WHERE place = ?", collection, place)
