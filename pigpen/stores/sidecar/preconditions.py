"""Preconditions: whether a change may go on: conditions, If, locks (DAV-3, 34, 35, 41).

In one order: what is there (404, 405, 409, 403), conditions (412), If (412), locks (423).
"""

from __future__ import annotations

from collections.abc import Iterable

from pigpen.errors import Locked, PreconditionFailed
from pigpen.http.if_header import ResourceState
from pigpen.http.key import Key
from pigpen.http.namespace import Node, When, check_conditions
from pigpen.stores.sidecar import lock_rows
from pigpen.stores.sidecar.finder import Finder
from pigpen.stores.sidecar.names import place_of


def check_node(when: When, method: str, node: Node | None) -> None:
    """:raises PreconditionFailed: If-Match and its kin do not hold for what is there."""
    check_conditions(when, method, None if node is None else node.validators)


async def check_if(finder: Finder, key: Key, when: When) -> None:
    """:param key: what an untagged list is about. :raises PreconditionFailed: it does not hold."""
    if when.if_field is None:
        return
    states: dict[str | None, ResourceState | None] = {}
    for tag in {one.tag for one in when.if_field.lists}:
        named = key if tag is None else tag and Key.from_path(tag)
        states[tag] = await _state(finder, named, when) if named else None
    if not when.if_field.holds(states.__getitem__):
        raise PreconditionFailed


async def _state(finder: Finder, key: Key, when: When) -> ResourceState:
    node = await finder.find(key, loose=when.loose)
    if node is not None:
        locks = await finder.records.read(lock_rows.covering, place_of(node.key))
        return ResourceState(node.etag, frozenset(lock.token for lock in locks))
    # a name that is free is covered by infinite locks only
    above = await finder.nearest(key, loose=when.loose)
    locks = await finder.records.read(lock_rows.covering, place_of(above.key))
    return ResourceState(None, frozenset(lock.token for lock in locks if lock.infinite))


async def check_locks(
    finder: Finder, when: When, changed: Iterable[Key], emptied: Iterable[Key] = ()
) -> None:
    """Ask for the token of every lock in the way.

    :param changed: keys that change, or whose members do. :param emptied: that go or move, with
        all below them. :raises Locked: a token is missing, or another user's.
    """
    submitted = frozenset[str]() if when.if_field is None else when.if_field.tokens
    missing = await finder.records.read(
        lock_rows.missing,
        [place_of(key) for key in changed],
        [place_of(key) for key in emptied],
        submitted,
        when.principal,
    )
    if missing:
        raise Locked(roots=lock_rows.roots_of(missing))


def tagged_keys(when: When) -> list[Key]:
    """The keys that an If field is about, beside the request's own."""
    if when.if_field is None:
        return []
    return [Key.from_path(one.tag) for one in when.if_field.lists if one.tag]
