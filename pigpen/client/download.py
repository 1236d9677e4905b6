"""Download: one version of an object, from as many hosts as it takes.

A cut at byte n goes on at the next source with Range and If-Range; a source that does not answer
with exactly those bytes of exactly this version is dropped, so two versions are never mixed
(CLD-45). The last chunk is held back until the SHA-256 of all agrees with the coordinator's: who
reads to a clean end has what was stored (CLD-46).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import msgspec
from twisted.logger import Logger

from pigpen.client.attempts import Attempts
from pigpen.client.batches import Batches
from pigpen.client.nodes import inline_offer, place_of
from pigpen.client.session import MAX_ANSWER_BYTES, Session, refusal
from pigpen.client.writes import retry_after
from pigpen.errors import (
    BadAnswer,
    BodyAborted,
    NoAnswer,
    PigpenError,
    Refused,
    ShortBody,
    TooLarge,
    WrongContent,
)
from pigpen.http import wire
from pigpen.http.answers import NDJSON
from pigpen.http.body import BaseBody, Body, BytesBody, StreamBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.http.ranges import ByteRange, parse_content_range

#: hashed between two chunks: less than a millisecond's work
FEW_BYTES: Final = 256 * 1024
#: what came is hashed, and its memory free, though no more comes: many readers are slow
PATIENCE_SECONDS: Final = 0.1


async def open_download(session: Session, key: Key, conditions: Headers | None = None) -> Download:
    """Ask for the version that a key names now, until a host that has it can be reached.

    :raises Refused: there is none, or a condition does not hold. :raises NoAnswer: see `Sender`.
    """
    attempts = Attempts(session.env)
    while True:
        try:
            return await ask_download(Wanted(session, key), conditions)
        except Refused as error:
            if error.facts["status"] != 503:
                raise
            await attempts.again(error, retry_after(error))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read. ``query``: beside what asks for the JSON form."""

    session: Session
    key: Key
    query: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, conditions: Headers | None = None) -> Response:
        headers = conditions.copy() if conditions is not None else Headers()
        query = {"redirect": "false", **self.query}
        return await self.session.call("GET", self.key, query, headers=headers, brief=True)


async def ask_download(wanted: Wanted, conditions: Headers | None = None) -> Download:
    """Ask once for the version that a key names now. :raises: as `open_download`."""
    answer = await wanted.ask(conditions)
    if answer.headers.get("Content-Type", "").startswith(NDJSON):
        await answer.body.aclose()
        message = f"{wanted.key} is a collection; `pigpen ls {wanted.key}` shows what is in it."
        raise Refused(message=message, status=409, code="collection")
    place = place_of(answer, wanted.key)
    if "ETag" in answer.headers:  # so small that it came at once
        data = await read_all(answer.body, MAX_ANSWER_BYTES)
        offer = inline_offer(answer, len(data))
        if offer.digest != hashlib.sha256(data).hexdigest():
            raise WrongContent(reason="its SHA-256 is another than the coordinator's")
        return Download(wanted, place, offer, data)
    return Download(wanted, place, await wanted.session.read(answer, wire.DownloadOffer))


class Download:
    """A version that can be read, whole or in part. ``offer``: its size, digest, type."""

    log = Logger()

    def __init__(
        self, wanted: Wanted, place: Key, offer: wire.DownloadOffer, data: bytes | None = None
    ) -> None:
        """:param place: the key as it is stored. :param data: all the bytes, where they came with
        the answer."""
        self._wanted = wanted
        self._session = wanted.session
        self.place = place
        self.offer = offer
        self._data = data
        self._sources = sorted(offer.sources, key=lambda source: source.pri)
        self._attempts = Attempts(wanted.session.env)

    @property
    def sources(self) -> tuple[wire.Source, ...]:
        """The hosts that have it, the best first."""
        return tuple(self._sources)

    def body(
        self, part: ByteRange | None = None, on_bytes: Callable[[int], None] = lambda _: None
    ) -> Body:
        """The bytes, all or a part. Only all of them are checked against the digest.

        :param on_bytes: told how many bytes came so far, each time it changes.

        Reading it :raises PigpenError: no source gives the rest, or the bytes are wrong.
        """
        if self._data is not None:
            data = self._data
            return BytesBody(data if part is None else data[part.first : part.last + 1])
        if self.offer.length == 0:
            return BytesBody()
        if part is not None:
            return StreamBody(self._chunks(part), part.length)
        return StreamBody(self._checked(on_bytes), self.offer.length)

    async def begun(self, part: ByteRange | None = None) -> Body:
        """As `body`, when it begins to come: what `body` would raise at first is raised here."""
        body = self.body(part)
        if isinstance(body, BytesBody):
            return body
        begun = False
        try:
            first = await anext(body)
            begun = True
        finally:
            if not begun:
                await body.aclose()
        return BegunBody(first, body)

    async def _checked(self, on_bytes: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
        digest = hashlib.sha256()

        def work(chunks: list[bytes]) -> None:
            for chunk in chunks:
                digest.update(chunk)

        hashing = Batches(self._session.env, work, PATIENCE_SECONDS)
        # a few take less time than asking a thread
        few = self.offer.length <= FEW_BYTES
        held = b""
        size = 0
        try:
            async with aclosing(self._chunks(ByteRange(0, self.offer.length - 1))) as chunks:
                async for chunk in chunks:
                    if few:
                        digest.update(chunk)
                    else:
                        await hashing.put(chunk, len(chunk))
                    size += len(chunk)
                    on_bytes(size)
                    if held:
                        yield held
                    held = chunk
            await hashing.flush()
        finally:
            hashing.drop()
        if digest.hexdigest() != self.offer.digest:
            raise WrongContent(reason="its SHA-256 is another than the coordinator's")
        yield held

    async def _chunks(self, part: ByteRange) -> AsyncGenerator[bytes, None]:
        position = part.first
        while position <= part.last:
            source = await self._next_source()
            try:
                answer = await self._open(source, ByteRange(position, part.last))
            except (NoAnswer, Refused) as error:
                await self._drop(source, error)
                continue
            body = StreamBody(pieces(answer.body), part.last - position + 1)
            try:
                async for chunk in body:
                    self._attempts.progress()
                    position += len(chunk)
                    yield chunk
            except (NoAnswer, BodyAborted, ShortBody, TooLarge) as error:
                await self._drop(source, error)
            finally:
                await body.aclose()

    async def _open(self, source: wire.Source, part: ByteRange) -> Response:
        """Ask one host for the bytes. :raises NoAnswer, Refused: it does not have just those."""
        whole = part == ByteRange(0, self.offer.length - 1)
        headers = Headers()
        if not whole:
            headers["Range"] = f"bytes={part.first}-{part.last}"
            headers["If-Range"] = self.offer.etag
        http = self._session.http
        answer = await http.request("GET", source.url, headers=headers, pin=source.pin)
        if answer.status >= 300:
            raise await refusal(answer, "The host")
        if not self._fits(answer, part, whole):
            await answer.body.aclose()
            raise BadAnswer(peer="The host", reason="these are not the bytes that were asked for")
        return answer

    def _fits(self, answer: Response, part: ByteRange, whole: bool) -> bool:
        if answer.headers.get("ETag") != self.offer.etag:
            return False
        if whole and answer.status == 200:
            return answer.body.length in {None, self.offer.length}
        sent = parse_content_range(answer.headers.get("Content-Range"))
        return (
            answer.status == 206
            and sent is not None
            and sent.range == part
            and sent.total == self.offer.length
        )

    async def _next_source(self) -> wire.Source:
        """The best source left; when there is none, ask for the same version anew."""
        while not self._sources:
            conditions = Headers({"If-Match": self.offer.etag})
            try:
                answer = await self._wanted.ask(conditions)
                offer = await self._session.read(answer, wire.DownloadOffer)
            except (NoAnswer, Refused) as error:
                await self._pause(error)
                continue
            if offer.etag != self.offer.etag:
                raise WrongContent(reason="it was replaced while it was read")
            self.offer = msgspec.structs.replace(self.offer, sources=offer.sources)
            self._sources = sorted(offer.sources, key=lambda source: source.pri)
        return self._sources[0]

    async def _pause(self, error: PigpenError) -> None:
        if isinstance(error, Refused):
            status = error.facts["status"]
            if status in {404, 410, 412}:
                raise WrongContent(reason="it was replaced or deleted while it was read")
            if int(str(status)) < 500:
                raise error
        await self._attempts.again(error, retry_after(error))

    async def _drop(self, source: wire.Source, error: PigpenError) -> None:
        self.log.info("a source broke off: {reason}", reason=error.message)
        if source in self._sources:
            self._sources.remove(source)
        if not self._sources:
            await self._attempts.again(error, retry_after(error))


async def pieces(body: Body) -> AsyncGenerator[bytes, None]:
    """A body as a generator, which `StreamBody` holds to a length."""
    try:
        async for chunk in body:
            yield chunk
    finally:
        await body.aclose()


class BegunBody(BaseBody):
    """A body whose first chunk was taken already."""

    __slots__ = ("_first", "_rest", "length")

    def __init__(self, first: bytes, rest: Body) -> None:
        self.length = rest.length
        self._first: bytes | None = first
        self._rest = rest

    async def __anext__(self) -> bytes:
        first, self._first = self._first, None
        return await anext(self._rest) if first is None else first

    async def aclose(self) -> None:
        self._first = None
        await self._rest.aclose()


_is_body: type[Body] = BegunBody
