"""What a `CatalogNamespace` asks of the catalog: rules with shared values, no I/O of their own."""

from __future__ import annotations

from typing import Final

from pigpen.coordinator.catalog import accounts, listing, locking, namespace, writes
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.details import lock_of
from pigpen.coordinator.catalog.listing import NodePage, shared_node
from pigpen.coordinator.catalog.nodes import Node
from pigpen.coordinator.catalog.writes import WriteWish
from pigpen.database.transaction import Transaction
from pigpen.errors import MethodNotAllowed, NotFound
from pigpen.http.key import Key
from pigpen.http.namespace import ON_COLLECTION, Lock, LockWish, Want, When
from pigpen.http.namespace import Node as SharedNode

#: nodes that are read at once: each slow reader of a listing holds so many (DAV-141)
PAGE: Final = 400


def stat(tx: Transaction, principal: Principal, key: Key, want: Want) -> SharedNode:
    return shared_node(tx, namespace.resolve(tx, principal, key, loose=True), want)


def first_page(
    tx: Transaction, principal: Principal, key: Key, deep: bool, want: Want, after: str
) -> tuple[Principal, Key, NodePage]:
    """:return: also the collection's key as stored. :raises NotFound: none is there."""
    top = namespace.resolve(tx, principal, key, loose=True)
    if not top.is_collection:
        raise NotFound
    return principal, top.key, _members(tx, top, deep, want, after)


def next_page(
    tx: Transaction, principal: Principal, key: Key, deep: bool, want: Want, after: str
) -> NodePage:
    """:param key: as stored."""
    return _members(tx, namespace.resolve(tx, principal, key), deep, want, after)


def _members(tx: Transaction, top: Node, deep: bool, want: Want, after: str) -> NodePage:
    return listing.members(tx, top, deep=deep, want=want, after=after, limit=PAGE)


def find_object(tx: Transaction, principal: Principal, key: Key) -> tuple[Principal, Node]:
    """:raises MethodNotAllowed: it is a collection."""
    node = namespace.resolve(tx, principal, key, loose=True)
    if node.is_collection:
        raise MethodNotAllowed(method="GET", allow=ON_COLLECTION)
    return principal, node


# -- writes ---------------------------------------------------------------------------------------


def store(
    tx: Transaction, principal: Principal, wish: WriteWish, data: bytes
) -> tuple[SharedNode, bool]:
    """:return: the version, and whether the object is new."""
    answer = writes.store_inline(tx, principal, wish, data)
    node = namespace.resolve(tx, principal, wish.key, loose=wish.when.loose)
    return shared_node(tx, node), answer.status == 201


def stored_now(tx: Transaction, principal: Principal, wish: WriteWish) -> SharedNode:
    """What a write's key names now. :raises NotFound: it is gone already."""
    return shared_node(tx, namespace.resolve(tx, principal, wish.key, loose=wish.when.loose))


# -- locks and quota ------------------------------------------------------------------------------


def lock(
    tx: Transaction, principal: Principal, key: Key, wish: LockWish, when: When
) -> tuple[Lock, bool]:
    root, held, made = locking.lock(tx, principal, key, wish, when)
    return lock_of(root, held), made


def refresh(tx: Transaction, principal: Principal, key: Key, seconds: int, when: When) -> Lock:
    return lock_of(*locking.refresh(tx, principal, key, seconds, when))


def quota(tx: Transaction, principal: Principal, key: Key) -> tuple[int, int | None]:
    """:return: bytes used, and bytes left; None: there is no quota."""
    namespace.resolve(tx, principal, key, loose=True)
    info = accounts.account_info(tx, principal.account_id)
    return info.used, accounts.left_of(info)
