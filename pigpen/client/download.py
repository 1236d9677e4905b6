"""Download: one version of an object, from as many hosts as it takes.

A cut at byte n goes on at the next source with Range and If-Range; a source that does not answer
with exactly those bytes of exactly this version is dropped, so two versions are never mixed
(CLD-45). The last chunk is held back until the SHA-256 of all agrees with the coordinator's: who
reads to a clean end has what was stored (CLD-46).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from twisted.logger import Logger

from pigpen.client.attempts import Attempts
from pigpen.client.batches import Batches
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
from pigpen.http.body import Body, BytesBody, StreamBody, read_all
from pigpen.http.fields import parse_date, parse_digest
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.http.ranges import ByteRange, parse_content_range


async def open_download(session: Session, key: Key, conditions: Headers | None = None) -> Download:
    """Ask for the version that a key names now.

    :raises Refused: there is none, or a condition does not hold. :raises NoAnswer: see `Sender`.
    """
    attempts = Attempts(session.env)
    while True:
        try:
            answer = await _ask(session, key, conditions)
            break
        except Refused as error:
            if error.facts["status"] != 503:
                raise
            await attempts.again(error, retry_after(error))
    if answer.headers.get("Content-Type", "").startswith(NDJSON):
        await answer.body.aclose()
        message = f"{key} is a collection; `pigpen ls {key}` shows what is in it."
        raise Refused(message=message, status=409, code="collection")
    if "ETag" in answer.headers:  # so small that it came at once
        offer, data = await _inline(answer)
        return Download(session, key, offer, data)
    return Download(session, key, await session.read(answer, wire.DownloadOffer))


async def _ask(session: Session, key: Key, conditions: Headers | None) -> Response:
    headers = conditions.copy() if conditions is not None else Headers()
    return await session.call("GET", key, {"redirect": "false"}, headers=headers)


async def _inline(answer: Response) -> tuple[wire.DownloadOffer, bytes]:
    data = await read_all(answer.body, MAX_ANSWER_BYTES)
    said = parse_digest(answer.headers.get("Repr-Digest", ""))
    if said != hashlib.sha256(data).digest():
        raise WrongContent(reason="its SHA-256 is another than the coordinator's")
    modified = parse_date(answer.headers.get("Last-Modified", "")) or 0
    content_type = answer.headers.get("Content-Type", "application/octet-stream")
    etag = answer.headers["ETag"]
    return wire.DownloadOffer(len(data), etag, said.hex(), content_type, modified * 1000, []), data


class Download:
    """A version that can be read, whole or in part. ``offer``: its size, digest, type."""

    log = Logger()

    def __init__(
        self, session: Session, key: Key, offer: wire.DownloadOffer, data: bytes | None = None
    ) -> None:
        """:param data: all the bytes, where they came with the answer."""
        self._session = session
        self._key = key
        self.offer = offer
        self._data = data
        self._sources = sorted(offer.sources, key=lambda source: source.pri)
        self._attempts = Attempts(session.env)

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

    async def _checked(self, on_bytes: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
        digest = hashlib.sha256()

        def work(chunks: list[bytes]) -> None:
            for chunk in chunks:
                digest.update(chunk)

        hashing = Batches(self._session.env, work)
        held = b""
        size = 0
        async with aclosing(self._chunks(ByteRange(0, self.offer.length - 1))) as chunks:
            async for chunk in chunks:
                await hashing.put(chunk, len(chunk))
                size += len(chunk)
                on_bytes(size)
                if held:
                    yield held
                held = chunk
        await hashing.flush()
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
            body = StreamBody(_pieces(answer.body), part.last - position + 1)
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
                answer = await _ask(self._session, self._key, conditions)
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


async def _pieces(body: Body) -> AsyncGenerator[bytes, None]:
    """A body as a generator, which `StreamBody` holds to a length."""
    try:
        async for chunk in body:
            yield chunk
    finally:
        await body.aclose()
