"""Listings as lines of JSON, for stores that know their keys (CMB-7)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from dataclasses import dataclass

from pigpen.errors import BadRequest
from pigpen.http import wire
from pigpen.http.answers import NDJSON
from pigpen.http.body import StreamBody
from pigpen.http.message import Headers, Request, Response

#: lines are sent in pieces of about this size
PIECE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a listing is asked for. ``depth``: names below the collection; None: all of them."""

    limit: int | None = None
    after: str = ""
    depth: int | None = 1

    @classmethod
    def of(cls, request: Request) -> ListQuery:
        """:raises BadRequest: a parameter makes no sense."""
        query = request.query
        depth = query.get("depth", "1")
        if depth not in {"0", "1", "infinity"}:
            raise BadRequest(reason="depth is 0, 1 or infinity")
        limit = query.get("limit")
        if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) <= 18):
            raise BadRequest(reason="limit is a number")
        return cls(
            None if limit is None else int(limit),
            query.get("after", ""),
            None if depth == "infinity" else int(depth),
        )


def asks_for_list(request: Request) -> bool:
    """Whether a request reads a collection."""
    return request.key.collection and request.method in {"GET", "HEAD"}


def lines_of(objects: Iterable[wire.ListLine], query: ListQuery) -> Iterator[wire.ListLine]:
    """The lines that a query selects.

    :param objects: all objects below the collection, in bytewise order of their relative names,
        which may have slashes; collections are found in them.
    """
    last: tuple[str, ...] = ()
    for line in objects:
        *folders, _ = names = line.name.split("/")
        if query.depth is not None and len(folders) >= query.depth:
            folders = folders[: query.depth]
            names = []
        for count in range(1, len(folders) + 1):
            folder = tuple(folders[:count])
            if folder != last[:count]:
                yield wire.ListLine("/".join(folder) + "/", "collection", 0)
        last = tuple(folders)
        if names:
            yield line


async def _iterated(lines: Iterable[wire.ListLine]) -> AsyncGenerator[wire.ListLine, None]:
    for line in lines:
        yield line


async def encoded(
    lines: AsyncIterable[wire.ListLine], query: ListQuery
) -> AsyncGenerator[bytes, None]:
    """Lines in pieces, then the last line, which says where to go on."""
    piece = bytearray()
    count, name, more = 0, "", False
    async for line in lines:
        if line.name <= query.after:
            continue
        if count == query.limit:
            more = True
            break
        count, name = count + 1, line.name
        piece += wire.encode(line) + b"\n"
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    end = wire.ListEnd(end=True, next=(name or query.after) if more else None)
    yield bytes(piece) + wire.encode(end) + b"\n"


def list_answer(request: Request, objects: Iterable[wire.ListLine]) -> Response:
    """Answer a request that `asks_for_list`.

    :param objects: as for `lines_of`. :raises BadRequest: a parameter makes no sense.
    """
    query = ListQuery.of(request)
    headers = Headers({"Content-Type": NDJSON, "Cache-Control": "no-store"})
    if request.method == "HEAD":
        return Response(200, headers)
    lines = _iterated(lines_of(objects, query))
    return Response(200, headers, StreamBody(encoded(lines, query)))
