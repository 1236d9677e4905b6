"""Listings: GET of a collection, line by line (CLD-50, CLD-51).

One page of the catalog is in memory at a time; the next is read when the client took the last.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pigpen.coordinator.catalog import listing
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.catalog.details import parse_want
from pigpen.coordinator.catalog.listing import Depth, Page
from pigpen.coordinator.catalog.namespace import resolve
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.request_terms import Query, found_at
from pigpen.database.transaction import Transaction
from pigpen.errors import BadRequest
from pigpen.http import wire
from pigpen.http.answers import NDJSON
from pigpen.http.body import BytesBody, StreamBody
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.http.namespace import Want

_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_DEPTHS: dict[str, Depth] = {"0": "0", "1": "1", "infinity": "infinity"}


@dataclass(frozen=True, slots=True)
class _Asked:
    depth: Depth
    want: Want


class Listings:
    """Answers GET and HEAD of collections, and of what is listed by itself."""

    def __init__(self, entrance: Entrance, catalog: Catalog) -> None:
        self._entrance = entrance
        self._catalog = catalog

    async def itself(self, request: Request, login: str, key: Key, query: Query) -> Response:
        """One line of what a key names, an object or a collection: ``depth=0``.

        :raises BadRequest: the query. :raises NotFound: nothing is there.
        """
        want = parse_want(query.get("want") or "")
        found, line = await self._entrance.read(request, login, _itself, key, query.loose, want)
        headers = _headers(request, found)
        if request.method == "HEAD":
            return Response(200, headers)
        lines = [] if query.get("after") else [line]
        return Response(200, headers, BytesBody(_text(lines) + _END))

    async def answer(
        self, request: Request, principal: Principal, key: Key, query: Query
    ) -> Response:
        """:param key: the collection; in its stored spelling. :raises BadRequest: the query."""
        headers = _headers(request, key)
        asked = _Asked(_depth(query), parse_want(query.get("want") or ""))
        limit = _limit(query)
        if request.method == "HEAD":
            return Response(200, headers)
        # the first page before the first byte, so that an error is an answer
        page = await self._page(principal, key, asked, query.get("after") or "", limit)
        return Response(
            200, headers, StreamBody(self._lines(principal, key, asked, limit, page), None)
        )

    async def _page(
        self, principal: Principal, key: Key, asked: _Asked, after: str, limit: int | None
    ) -> Page:
        size = listing.PAGE if limit is None else min(limit, listing.PAGE)
        return await self._catalog.read(_page, principal, key, asked, after, size)

    async def _lines(
        self, principal: Principal, key: Key, asked: _Asked, left: int | None, page: Page
    ) -> AsyncGenerator[bytes, None]:
        while True:
            if page.lines:
                yield _text(page.lines)
            if left is not None:
                left -= len(page.lines)
            if page.next is None or left == 0:
                break
            page = await self._page(principal, key, asked, page.next, left)
        yield wire.encode(wire.ListEnd(end=True, next=page.next)) + b"\n"


_END = wire.encode(wire.ListEnd(end=True, next=None)) + b"\n"


def _text(lines: list[wire.ListLine]) -> bytes:
    return b"".join(wire.encode(line) + b"\n" for line in lines)


def _headers(request: Request, key: Key) -> Headers:
    """:param key: as stored."""
    fields = {"Content-Type": NDJSON, "Cache-Control": "no-store", **found_at(request, key)}
    return Headers(fields)


def _itself(
    transaction: Transaction, principal: Principal, key: Key, loose: bool, want: Want
) -> tuple[Key, wire.ListLine]:
    node = resolve(transaction, principal, key, loose=loose)
    return node.key, listing.own_line(transaction, principal, node, want)


def _page(
    transaction: Transaction, principal: Principal, key: Key, asked: _Asked, after: str, limit: int
) -> Page:
    return listing.list_page(
        transaction, principal, key, depth=asked.depth, after=after, limit=limit, want=asked.want
    )


def _depth(query: Query) -> Depth:
    value = query.get("depth") or "1"
    if value not in _DEPTHS:
        raise BadRequest(reason="depth is 0, 1 or infinity")
    return _DEPTHS[value]


def _limit(query: Query) -> int | None:
    value = query.get("limit")
    if value is None:
        return None
    if not _COUNT.fullmatch(value) or int(value) == 0:
        raise BadRequest(reason="limit is a number of lines, at least 1")
    return int(value)
