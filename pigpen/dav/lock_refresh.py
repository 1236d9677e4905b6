"""Lock refresh: locks that a long PUT uses do not end while it lasts (DAV-45)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from twisted.internet.defer import CancelledError, Deferred

from pigpen.dav.call import Call
from pigpen.env import sleep
from pigpen.errors import NoAnswer, PigpenError, Unavailable
from pigpen.http.if_header import Condition, ConditionList, IfField
from pigpen.http.namespace import Ability, Lock, Want, When

#: so long a PUT lasts before its locks are looked at
FIRST_SECONDS: Final = 1.0
#: a lock gets at least so much new time, so that it is not refreshed again and again
LEAST_SECONDS: Final = 60


@asynccontextmanager
async def kept_locked(call: Call) -> AsyncIterator[None]:
    """Refresh the locks whose tokens the request submits at half their time, until the end."""
    if call.when.if_field is None or Ability.LOCKS not in call.namespace.abilities:
        yield
        return
    keeping = Deferred.fromCoroutine(_keep(call, call.when.if_field.tokens))
    try:
        yield
    finally:
        keeping.cancel()


async def _keep(call: Call, tokens: frozenset[str]) -> None:
    # a lock that is gone is the PUT's own concern: it is judged again with the change
    with contextlib.suppress(CancelledError, PigpenError):
        await _refresh_all(call, tokens)


async def _refresh_all(call: Call, tokens: frozenset[str]) -> None:
    await sleep(call.env, FIRST_SECONDS)
    locks = [lock for lock in await _locks(call) if lock.token in tokens]
    spans = {lock.token: max(LEAST_SECONDS, round(_left(call, lock))) for lock in locks}
    while locks:
        first = min(locks, key=lambda lock: lock.expires)
        await sleep(call.env, max(FIRST_SECONDS, _left(call, first) / 2))
        renewed = await _refreshed(call, first, spans[first.token])
        locks.remove(first)
        if renewed is not None:
            locks.append(renewed)


async def _locks(call: Call) -> list[Lock]:
    """Those of this user that cover the object, or the collection it will lie in."""
    for key in (call.key, call.key.parent):
        try:
            node = await call.namespace.stat(key, Want(locks=True))
        except PigpenError:
            continue
        return [lock for lock in node.locks or () if lock.principal == call.when.principal]
    return []


async def _refreshed(call: Call, lock: Lock, seconds: int) -> Lock | None:
    """:return: None: it is gone, or cannot be refreshed."""
    field = IfField((ConditionList(None, (Condition(lock.token, False),)),))
    when = When(if_field=field, principal=call.when.principal, loose=call.when.loose)
    try:
        return await call.namespace.refresh(lock.root, seconds, when)
    except (NoAnswer, Unavailable):
        return lock if _left(call, lock) > 0 else None


def _left(call: Call, lock: Lock) -> float:
    return lock.expires / 1000 - call.env.wall()
