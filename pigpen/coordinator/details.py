"""Details: properties and locks of a key, as JSON, for the gateway (CLD-14; RFC 4918 meaning).

    GET    KEY?properties       [Property]
    PATCH  KEY?properties       [Property] -> 204; one without a value is removed
                                X-OC-Mtime: the Last-Modified it gets
    GET    KEY?lock             [LockInfo]: what covers the key; 412 if the If field does not hold
    POST   KEY?lock             LockBody -> LockInfo, 201 if it made an empty object
    POST   KEY?lock&seconds=N   without a body: refresh, by the token in If
    DELETE KEY?lock=TOKEN       204

``Pigpen-Principal`` says for whom, if not the account itself: a token counts only from the user who
took the lock (DAV-46).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from pigpen.coordinator.catalog import locking, locks, properties
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.details import lock_info, lock_of
from pigpen.coordinator.catalog.locks import LockRow
from pigpen.coordinator.catalog.namespace import change_properties, resolve
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.request_terms import Query, when_of
from pigpen.database.transaction import Transaction
from pigpen.errors import BadRequest
from pigpen.http.answers import check_method, json_answer, read_json
from pigpen.http.elements import check_property, parse_element
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.http.namespace import LOCK_SECONDS, Changes, LockWish, Property, When
from pigpen.http.request_fields import modified_of

#: a body; an owner in it is XML that a person's program sent (REL 5: XML)
MAX_LOCK_BYTES = 64 * 1024


class PropertyWish(msgspec.Struct):
    """One property to set, or without ``value`` to remove."""

    namespace: Annotated[str, Meta(max_length=1000)]
    name: Annotated[str, Meta(min_length=1, max_length=1000)]
    value: str | None = None


class LockBody(msgspec.Struct):
    exclusive: bool = True
    infinite: bool = True
    owner: str = ""
    seconds: Annotated[int, Meta(ge=0)] = LOCK_SECONDS


class Details:
    """Answers what is asked with ``?properties`` and ``?lock``."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance

    async def answer(self, request: Request, login: str, key: Key, query: Query) -> Response:
        if "properties" in query:
            check_method(request, "GET", "HEAD", "PATCH")
            if request.method == "PATCH":
                return await self._patch(request, login, key, query)
            found = await self._entrance.read(request, login, _properties, key, query.loose)
            return json_answer(200, found)
        check_method(request, "GET", "HEAD", "POST", "DELETE")
        if request.method == "POST":
            return await self._lock(request, login, key, query)
        if request.method == "DELETE":
            return await self._unlock(request, login, key, query)
        when = when_of(request, query)
        covering = await self._entrance.read(request, login, _locks, key, when)
        return json_answer(200, [lock_info(login, lock_of(*one)) for one in covering])

    async def _patch(self, request: Request, login: str, key: Key, query: Query) -> Response:
        await self._entrance.read(request, login, _nothing)
        changes = await read_changes(request)
        when, modified = when_of(request, query), modified_of(request)
        await self._entrance.write(request, login, _change, key, changes, when, modified)
        return Response(204, Headers({"X-OC-Mtime": "accepted"} if modified is not None else {}))

    async def _lock(self, request: Request, login: str, key: Key, query: Query) -> Response:
        when = when_of(request, query)
        if request.body.length == 0:
            seconds = _seconds(query)
            refresh = locking.refresh
            root, held = await self._entrance.write(request, login, refresh, key, seconds, when)
            return json_answer(200, lock_info(login, lock_of(root, held)))
        await self._entrance.read(request, login, _nothing)
        body = await read_json(request, LockBody, MAX_LOCK_BYTES)
        if body.owner:
            parse_element(body.owner)
        wish = LockWish(body.exclusive, body.infinite, body.owner, body.seconds)
        root, held, made = await self._entrance.write(request, login, locking.lock, key, wish, when)
        return json_answer(201 if made else 200, lock_info(login, lock_of(root, held)))

    async def _unlock(self, request: Request, login: str, key: Key, query: Query) -> Response:
        token = query.get("lock")
        if not token:
            raise BadRequest(reason="say which lock: ?lock=TOKEN")
        when = when_of(request, query)
        await self._entrance.write_soon(request, login, locking.unlock, key, token, when)
        return Response(204)


async def read_changes(request: Request) -> Changes:
    """The properties in a JSON body. :raises UnsupportedMediaType: it is no JSON."""
    wishes = await read_json(request, list[PropertyWish])
    changes = tuple(Property(wish.namespace, wish.name, wish.value) for wish in wishes)
    for change in changes:
        check_property(change)
    return changes


def _seconds(query: Query) -> int:
    value = query.get("seconds") or str(LOCK_SECONDS)
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        raise BadRequest(reason="seconds is a number")
    return int(value)


# -- rules, with who asks in front ----------------------------------------------------------------


def _nothing(_: Transaction, __: Principal) -> None:
    return None


def _properties(tx: Transaction, principal: Principal, key: Key, loose: bool) -> list[Property]:
    return properties.read(tx, resolve(tx, principal, key, loose=loose).id)


def _change(
    tx: Transaction,
    principal: Principal,
    key: Key,
    changes: Changes,
    when: When,
    modified: int | None,
) -> None:
    change_properties(tx, principal, key, changes, when, modified)


def _locks(
    tx: Transaction, principal: Principal, key: Key, when: When
) -> list[tuple[Key, LockRow]]:
    locks.check_if(tx, principal, when, key)
    return locking.locks_on(tx, resolve(tx, principal, key, loose=when.loose))
