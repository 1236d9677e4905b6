"""Values: what the sidecar asks a store for, each method one request."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

import msgspec

from pigpen.errors import (
    BadAnswer,
    BadField,
    Conflict,
    Forbidden,
    InsufficientStorage,
    KeyTooLong,
    MethodNotAllowed,
    PigpenError,
    PreconditionFailed,
    RangeNotSatisfiable,
    TooLarge,
    Unavailable,
)
from pigpen.http import wire
from pigpen.http.answers import NDJSON
from pigpen.http.body import Body, BytesBody
from pigpen.http.fields import OCTET_STREAM, parse_date, parse_digest
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response, Store

#: a line of a listing with a long name
_MAX_LINE_BYTES: Final = 64 * 1024
_SHA256: Final = re.compile("[0-9a-f]{64}")


class TooLargeForStore(TooLarge):
    """The store takes no value of this size."""


class Value(msgspec.Struct, frozen=True):
    """A version in the store. ``modified``: ms since 1970, of whole seconds."""

    etag: str
    length: int
    modified: int
    content_type: str = OCTET_STREAM
    sha256: bytes | None = None


class Values:
    """A store, asked by calls. A miss is None or False; other refusals and failures raise."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, key: Key) -> Value | None:
        """The version under a key; None: nothing."""
        response = await self._ask("HEAD", key)
        if response is None:
            return None
        await response.body.aclose()
        if "Content-Length" not in response.headers:
            return await self._measured(key)
        return value_of(response, int(response.headers["Content-Length"]))

    async def _measured(self, key: Key) -> Value | None:
        """HEAD may leave the length out (CMB-3)."""
        response = await self.open(key)
        if response is None:
            return None
        await response.body.aclose()
        if response.body.length is None:
            raise BadAnswer(peer="the store", reason="it does not tell lengths")
        return value_of(response, response.body.length)

    async def open(self, key: Key) -> Response | None:
        """GET: the version as it is now; its body is the caller's."""
        return await self._ask("GET", key)

    async def open_part(self, key: Key, etag: str, offset: int, length: int) -> Body | None:
        """These bytes of this version; None: the store cannot say that they are."""
        part = f"bytes={offset}-{offset + length - 1}"
        try:
            response = await self._ask("GET", key, Headers({"Range": part, "If-Range": etag}))
        except RangeNotSatisfiable:
            return None
        if response is None:
            return None
        if response.status == 206 and response.headers.get("ETag") == etag:
            return response.body
        await response.body.aclose()
        return None

    async def put(self, key: Key, body: Body, headers: Headers) -> str:
        """:return: the ETag of the new version."""
        response = await self._ask("PUT", key, headers, body)
        if response is None:
            raise Unavailable(reason="the store has no such place")
        await response.body.aclose()
        etag = response.headers.get("ETag")
        if etag is None:
            value = await self.find(key)
            if value is None:
                raise Unavailable(reason="the store lost what it took")
            etag = value.etag
        return etag

    async def delete(self, key: Key) -> bool:
        """:return: whether there was something."""
        response = await self._ask("DELETE", key)
        if response is None:
            return False
        await response.body.aclose()
        return True

    async def has_below(self, collection: Key) -> bool:
        """Whether there is any value below."""
        async with aclosing(self.lines(collection, deep=True)) as lines:
            async for line in lines:
                if line.type == "object":
                    return True
        return False

    async def lines(
        self, collection: Key, *, deep: bool, after: str = ""
    ) -> AsyncGenerator[wire.ListLine, None]:
        """A listing to its end, in bytewise order. :raises BadAnswer: it was cut, or is none."""
        while True:
            following = None
            async with aclosing(self._part(collection, deep=deep, after=after)) as parts:
                async for line in parts:
                    if isinstance(line, wire.ListEnd):
                        following = line.next
                    else:
                        yield line
            if following is None:
                return
            if following <= after:
                raise BadAnswer(peer="the store", reason="its listing goes in circles")
            after = following

    async def _part(
        self, collection: Key, *, deep: bool, after: str
    ) -> AsyncGenerator[wire.ListLine | wire.ListEnd, None]:
        """As much as the store gives at a time, its last line included."""
        query = "depth=infinity" if deep else "depth=1"
        if after:
            query += f"&after={quote(after, safe='')}"
        response = await self._ask("GET", collection, Headers({"Accept": NDJSON}), query=query)
        if response is None:
            yield wire.ListEnd(end=True, next=None)
            return
        async with aclosing(_split(response.body)) as parts:
            async for part in parts:
                line = _line_of(part)
                yield line
                if isinstance(line, wire.ListEnd):
                    return
        raise BadAnswer(peer="the store", reason="its listing was cut")

    async def _ask(
        self,
        method: str,
        key: Key,
        headers: Headers | None = None,
        body: Body | None = None,
        *,
        query: str = "",
    ) -> Response | None:
        """:return: a hit; None: a miss."""
        request = Request(
            method,
            key,
            query_string=query,
            headers=Headers() if headers is None else headers,
            body=BytesBody() if body is None else body,
        )
        response = await self._store.handle(request)
        if response.status < 300:
            return response
        await response.body.aclose()
        if response.status in {404, 410}:
            return None
        raise refusal(response, method)


def value_of(response: Response, length: int) -> Value:
    """What the head of a GET or HEAD tells of a version."""
    headers = response.headers
    second = parse_date(headers.get("Last-Modified", "")) or 0
    return Value(
        # a store without ETags: what it tells will do
        headers.get("ETag") or f'"{second:x}-{length:x}"',
        length,
        second * 1000,
        headers.get("Content-Type", OCTET_STREAM),
        _digest(headers),
    )


def _digest(headers: Headers) -> bytes | None:
    try:
        return parse_digest(headers.get("Repr-Digest", ""))
    except BadField:
        return None


def value_of_line(line: wire.ListLine) -> Value:
    """What a line of a listing tells of a version."""
    length = line.length or 0
    digest = line.digest or ""
    return Value(
        line.etag or f'"{line.modified // 1000:x}-{length:x}"',
        length,
        line.modified,
        line.content_type or OCTET_STREAM,
        bytes.fromhex(digest) if _SHA256.fullmatch(digest) else None,
    )


def refusal(response: Response, method: str) -> PigpenError:
    """What an answer that is neither hit nor miss means."""
    status = response.status
    if status == 405:
        return MethodNotAllowed(method=method, allow=response.headers.get("Allow", "GET, HEAD"))
    if status == 507:
        return InsufficientStorage(reason="the store is full")
    if status == 413:
        return TooLargeForStore()
    if status == 416:
        return RangeNotSatisfiable(length=0)
    found = {409: Conflict, 412: PreconditionFailed, 414: KeyTooLong}.get(status)
    if found is not None:
        return found(reason="the store says so")
    if status < 500:
        return Forbidden(reason=f"the store answered {status}")
    return Unavailable(reason=f"the store answered {status}")


async def _split(body: Body) -> AsyncGenerator[bytes, None]:
    """The lines of a body, which is closed on every way out."""
    rest = b""
    try:
        async for chunk in body:
            *parts, rest = (rest + chunk).split(b"\n")
            for part in parts:
                yield part
            if len(rest) > _MAX_LINE_BYTES:
                raise BadAnswer(peer="the store", reason="a line of its listing has no end")
    finally:
        await body.aclose()


def _line_of(part: bytes) -> wire.ListLine | wire.ListEnd:
    try:
        if part.startswith(b'{"end"'):
            return msgspec.json.decode(part, type=wire.ListEnd)
        return msgspec.json.decode(part, type=wire.ListLine)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadAnswer(peer="the store", reason="its listing makes no sense") from None
