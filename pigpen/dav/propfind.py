"""PROPFIND: properties of a node and of what lies below, streamed (DAV-16, 27, 28, 140)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from pigpen.dav import live_properties, xml_bodies
from pigpen.dav.call import Call
from pigpen.dav.multistatus import MULTISTATUS, MULTISTATUS_END, xml_answer
from pigpen.dav.preconditions import body_as, found
from pigpen.dav.propfind_entries import Entry, entry_of, want_of
from pigpen.dav.xml_bodies import Asked
from pigpen.errors import BadField, Forbidden
from pigpen.http.body import BaseBody, Body, BytesBody
from pigpen.http.message import Headers, Response
from pigpen.http.namespace import NOTHING, Ability, Node, Quota, Want

#: an answer is sent in pieces of about this size, each made when it is asked for
BLOCK_BYTES: Final = 32 * 1024


class InfiniteDepth(Forbidden):
    """This is not allowed: list one collection at a time (Depth 0 or 1)."""

    code = "depth"
    condition = "propfind-finite-depth"


async def propfind(call: Call) -> Response:
    """What the body asks for of the node, its members (Depth 1, as without Depth), or all below.

    :raises NotFound: nothing there. :raises InfiniteDepth: all below is asked for in vain.
    :raises BadRequest: the body or Depth makes no sense.
    """
    depth = _depth(call)
    asked = await body_as(call, _listable, xml_bodies.propfind)
    want = want_of(call, asked)
    node = await _listable(call, want)
    listed = node.is_collection and depth != "0"
    deep = listed and depth == "infinity"
    entry = entry_of(call, asked, await _quota(call, node, asked))
    headers = Headers()
    if node.is_collection and not call.request.key.collection:
        headers["Content-Location"] = call.href(node.key)  # DAV-26
    if not listed:
        return xml_answer(207, MULTISTATUS + entry(node) + MULTISTATUS_END, headers)
    members = call.namespace.list(node.key, deep=deep, want=want)
    return xml_answer(207, await _Listing(node, members, entry).begun(), headers)


def _depth(call: Call) -> str:
    # none: as 1, since clients that send none want a listing (DAV-27)
    depth = call.request.headers.get("Depth", "1").strip().lower()
    if depth not in {"0", "1", "infinity"}:
        raise BadField(field="Depth", reason="use 0, 1 or infinity")
    return depth


async def _listable(call: Call, want: Want = NOTHING) -> Node:
    """As `found`. :raises InfiniteDepth: all that lies below is asked for in vain."""
    node = await found(call, want)
    allowed = call.settings.infinity and Ability.SUBTREE in call.namespace.abilities
    if node.is_collection and not allowed and _depth(call) == "infinity":
        raise InfiniteDepth
    return node


async def _quota(call: Call, node: Node, asked: Asked) -> Quota | None:
    """One for the whole answer, and only if it is named (DAV-51)."""
    if live_properties.QUOTAS.isdisjoint(asked.names) or not node.is_collection:
        return None
    if Ability.QUOTA not in call.namespace.abilities:
        return None
    return await call.namespace.quota(node.key)


class _Listing(BaseBody):
    """The answer about a collection and its members, read as far as the peer takes it."""

    __slots__ = ("_blocks", "_ended", "_first")

    def __init__(self, node: Node, members: AsyncGenerator[Node, None], entry: Entry) -> None:
        self._ended = False
        self._first = b""
        self._blocks = self._made(node, members, entry)

    async def begun(self) -> Body:
        """With its first block, so that what fails until then still has a status of its own."""
        first = await anext(self._blocks)
        if self._ended:
            await self._blocks.aclose()
            return BytesBody(first)
        self._first = first
        return self

    async def _made(
        self, node: Node, members: AsyncGenerator[Node, None], entry: Entry
    ) -> AsyncGenerator[bytes, None]:
        block = [MULTISTATUS, entry(node)]
        size = sum(map(len, block))
        async with aclosing(members):
            async for member in members:
                text = entry(member)
                block.append(text)
                size += len(text)
                if size >= BLOCK_BYTES:
                    yield "".join(block).encode()
                    block.clear()
                    size = 0
        block.append(MULTISTATUS_END)
        self._ended = True
        yield "".join(block).encode()

    async def __anext__(self) -> bytes:
        first, self._first = self._first, b""
        return first or await anext(self._blocks)

    async def aclose(self) -> None:
        self._first = b""
        await self._blocks.aclose()


_is_body: type[Body] = _Listing
