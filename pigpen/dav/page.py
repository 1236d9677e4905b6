"""The page of a collection: what a browser shows of it (DAV-90 to 92).

?sort=name|size|time    &order=desc    how it is sorted, up to 10,000 entries; else by name
?after=PLACE            the entries behind a place: the next page
?sort=stored            as stored; where the next page of a very large collection begins to read
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from html import escape
from itertools import chain
from typing import Final

from pigpen.dav.call import Call
from pigpen.dav.options import possible
from pigpen.dav.page_assets import page_assets
from pigpen.dav.page_html import Shown, listing_of, path_of, title_of
from pigpen.dav.page_order import FIELDS, MAX_SORTED_ENTRIES, Order, Page
from pigpen.dav.presentation import OWN_PAGES_ONLY
from pigpen.http.body import StreamBody
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.http.namespace import Node
from pigpen.http.namespace_rules import check_names

BLOCK_BYTES: Final = 32 * 1024


async def directory_page(call: Call, collection: Node) -> Response:
    """:raises PigpenError: the collection cannot be read: then nothing was sent yet."""
    headers = _headers()
    if not call.request.key.collection:  # DAV-26
        headers["Content-Location"] = call.href(collection.key)
    if call.request.method == "HEAD":
        return Response(200, headers)
    shown = await _read(call, collection)
    return Response(200, headers, StreamBody(_blocks(_texts(call, shown))))


def _headers() -> Headers:
    return Headers(
        {
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "private, no-cache",
            "Content-Security-Policy": page_assets().policy,
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            **OWN_PAGES_ONLY,
        }
    )


async def _read(call: Call, collection: Node) -> Shown:
    query = call.request.query
    after, field = query.get("after", ""), query.get("sort", "name")
    if field == "stored":
        return await _read_stored(call, collection, after)
    order = Order(field if field in FIELDS else "name", query.get("order") == "desc")
    shown = await _read_sorted(call, collection, order, after)
    return shown or await _read_stored(call, collection, "")


async def _read_sorted(call: Call, collection: Node, order: Order, after: str) -> Shown | None:
    """None: there are too many."""
    place = order.place_of(after) if after else None
    page = Page(order, place, call.settings.page_entries)
    total = 0
    async with aclosing(call.namespace.list(collection.key)) as members:
        async for node in members:
            total += 1
            if total > MAX_SORTED_ENTRIES:
                return None
            page.add(node)
    entries = page.entries()
    more = page.before + len(entries) < total
    next_after = order.cursor(entries[-1]) if entries and more else None
    return Shown(collection, entries, order, total, page.before, next_after, place is None)


async def _read_stored(call: Call, collection: Node, after: str) -> Shown:
    """:raises BadKey: `after` is no name."""
    if after:
        check_names(Key.of((after.removesuffix("/"),)))
    entries: list[Node] = []
    more = False
    async with aclosing(call.namespace.list(collection.key, after=after)) as members:
        async for node in members:
            more = len(entries) == call.settings.page_entries
            if more:
                break
            entries.append(node)
    next_after = Order().cursor(entries[-1]) if more else None
    return Shown(collection, entries, None, None, 0, next_after, not after)


def _texts(call: Call, shown: Shown) -> Iterable[str]:
    assets = page_assets()
    before = assets.begin(
        title=title_of(shown),
        folder=escape(call.href(shown.collection.key)),
        access="all" if "PUT" in possible(call.namespace) else "read",
        path=path_of(shown, call.href),
    )
    return chain((before,), listing_of(shown, call.href), (assets.after,))


async def _blocks(texts: Iterable[str]) -> AsyncGenerator[bytes, None]:
    block = bytearray()
    for text in texts:
        block += text.encode()
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)
