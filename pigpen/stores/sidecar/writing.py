"""PUT: judged before the first byte is asked for, and again before the store gets the last."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from pigpen.database.transaction import Transaction
from pigpen.errors import (
    DigestMismatch,
    InsufficientStorage,
    PigpenError,
    ShortBody,
    TooLarge,
    Unavailable,
)
from pigpen.http.body import BaseBody, Body
from pigpen.http.fields import OCTET_STREAM, format_digest
from pigpen.http.key import Key
from pigpen.http.message import Headers
from pigpen.http.namespace import NOTHING, Node, When, WriteMeta, Written
from pigpen.stores.sidecar import entry_rows, preconditions
from pigpen.stores.sidecar.entry_rows import Entry
from pigpen.stores.sidecar.finder import object_node
from pigpen.stores.sidecar.names import name_of
from pigpen.stores.sidecar.tree import Place, Tree, grown_time, place_of_write
from pigpen.stores.sidecar.values import Value


class Gate(BaseBody):
    """A body whose last chunk is given only when it is known to be the last, whole, and admitted.

    A store that reads it cannot commit before that. ``error``: why it ended early.
    """

    __slots__ = ("_admit", "_body", "_digest", "_held", "_meta", "error", "length", "received")

    def __init__(self, body: Body, meta: WriteMeta, admit: Callable[[], Awaitable[None]]) -> None:
        self.length = body.length
        self.received = 0
        self.error: PigpenError | None = None
        self._body = body
        self._meta = meta
        self._admit: Callable[[], Awaitable[None]] | None = admit
        self._digest = hashlib.sha256()
        self._held = b""

    @property
    def held_back(self) -> bool:  # type: ignore[override]  # a plain attribute elsewhere
        return self._body.held_back

    @property
    def admitted(self) -> bool:
        return self._admit is None

    async def __anext__(self) -> bytes:
        try:
            return await self._next()
        except PigpenError as error:
            self.error = error
            raise

    async def _next(self) -> bytes:
        while True:
            chunk = await anext(self._body, b"")
            held, self._held = self._held, chunk
            if not chunk:
                await self.finish()
                if held:
                    return held
                raise StopAsyncIteration
            self.received += len(chunk)
            if self._meta.sha256 is not None:
                self._digest.update(chunk)
            if held:
                return held

    async def finish(self) -> None:
        """Check the whole and have it admitted, once."""
        admit, self._admit = self._admit, None
        if admit is None:
            return
        expected = self._meta.length
        if expected is not None and self.received < expected:
            raise ShortBody(received=self.received, expected=expected)
        if expected is not None and self.received > expected:
            raise TooLarge(limit=expected)
        if self._meta.sha256 not in {None, self._digest.digest()}:
            raise DigestMismatch
        await admit()

    async def aclose(self) -> None:
        await self._body.aclose()


async def write(tree: Tree, key: Key, body: Body, meta: WriteMeta, when: When) -> Written:
    """The whole of `Namespace.write`."""
    async with AsyncExitStack() as held:
        held.push_async_callback(body.aclose)
        place = await _judge(tree, key, when)
        await _check_room(tree, body.length if meta.length is None else meta.length)

        async def admit() -> None:
            nonlocal place
            keys = [key, place.key, *preconditions.tagged_keys(when)]
            await held.enter_async_context(tree.changing(keys))
            before, place = place, await _judge(tree, key, when)
            if place.key != before.key:
                raise Unavailable(reason="this name was stored in another spelling meanwhile")

        gate = Gate(body, meta, admit)
        if gate.length == 0:  # nothing may ask for its end
            await gate.finish()
        etag = await _put(tree, place.key, gate, meta)
        assert gate.admitted, "a store reads a body to its end"
        value = Value(etag, gate.received, 0, meta.content_type or OCTET_STREAM, meta.sha256)
        return await _record(tree, place, value, meta)


async def _judge(tree: Tree, key: Key, when: When) -> Place:
    finder = tree.finder
    place = await place_of_write(finder, key, when)
    preconditions.check_node(when, "PUT", place.current)
    await preconditions.check_if(finder, key, when)
    await preconditions.check_locks(
        finder, when, [place.parent if place.current is None else place.current.key]
    )
    return place


async def _check_room(tree: Tree, length: int | None) -> None:
    """:raises InsufficientStorage: the disk cannot take so much, as far as is known."""
    space = None if not length else await tree.space()
    if space is not None and length is not None and length > space.free:
        raise InsufficientStorage(reason="the disk is full")


async def _put(tree: Tree, key: Key, gate: Gate, meta: WriteMeta) -> str:
    headers = Headers()
    if meta.content_type is not None:
        headers["Content-Type"] = meta.content_type
    if meta.sha256 is not None:
        headers["Repr-Digest"] = format_digest(meta.sha256)
    try:
        return await tree.values.put(key, gate, headers)
    except PigpenError:
        if gate.error is not None:  # a store may put it in its own words
            raise gate.error from None
        raise


async def _record(tree: Tree, place: Place, value: Value, meta: WriteMeta) -> Written:
    entry = await tree.records.write(put_entry, place.key, value.etag, place.current, meta.modified)
    return Written(object_node(place.key, value, entry, None, NOTHING), place.current is None)


def put_entry(
    tx: Transaction, key: Key, etag: str, before: Node | None, wished: int | None
) -> Entry:
    """Know a new version. Of a new name nothing is known from earlier times."""
    name = name_of(key)
    if before is None:
        entry_rows.forget(tx, name)
        entry_rows.touch(tx, name_of(key.parent))
    modified, same_second = grown_time(tx.now, before, wished)
    created = tx.now if before is None else before.created
    entry = Entry(name, etag, tx.now if created is None else created, modified, same_second)
    entry_rows.put(tx, entry)
    return entry
