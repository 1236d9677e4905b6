"""Upload: one attempt to PUT a blob, from its headers to the answer (CLD-24, CLD-35, CLD-37).

The work is a task of the host. A client that leaves ends the receiving only, and what came is kept.
Once all bytes are here they become a blob and the receipt is delivered, client or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred

from pigpen.env import Env
from pigpen.errors import (
    BadField,
    BadRequest,
    Conflict,
    DigestMismatch,
    PigpenError,
    ShortBody,
    TooLarge,
    Unavailable,
)
from pigpen.host import durable
from pigpen.host.confirming import Confirmation, ConfirmTools
from pigpen.host.durable import Written
from pigpen.host.expectations import Expectations
from pigpen.host.folder import Folder
from pigpen.host.live import Live
from pigpen.host.parts import Parts
from pigpen.host.patience import Patience
from pigpen.host.space import STEP_BYTES, Reservation, Room
from pigpen.host.tasks import Tasks
from pigpen.host.writer import BlobWriter
from pigpen.http.answers import json_answer
from pigpen.http.body import BytesBody
from pigpen.http.fields import parse_digest
from pigpen.http.message import Headers, Request, Response
from pigpen.http.wire import INLINE_BYTES, Problem, WriteState

OFFSET = "Upload-Offset"


class Running(Protocol):
    """An upload under way."""

    def cut(self, error: PigpenError) -> Deferred[None] | None:
        """End the receiving and tell the client why.

        :return: fires when the upload is over; None: there is no receiving, it goes on."""


@dataclass(slots=True)
class UploadTools:
    """What all uploads of a host share. ``takes_writes``: whether the disk can be trusted."""

    env: Env
    tasks: Tasks
    folder: Folder
    table: Expectations
    room: Room
    parts: Parts
    confirming: ConfirmTools
    takes_writes: Callable[[], bool]
    #: by blob: two writers of one blob would write one file
    running: dict[str, Running] = field(default_factory=dict)

    async def displace(self, blob: str) -> None:
        """The sender of an upload has come back: its old connection is dead, so what came over it
        is kept for the new one. One that has all its bytes goes on."""
        upload = self.running.get(blob)
        over = None if upload is None else upload.cut(Conflict(reason="its sender came back"))
        if over is not None:
            await over

    async def remove_part(self, blob: str) -> None:
        """Remove what waits of an upload, if it still does; nobody may write the file meanwhile."""
        part = self.parts.take(blob)
        if part is None:
            return
        self.running[blob] = _Removal()
        try:
            await self.parts.discard(part)
        finally:
            del self.running[blob]


class _Removal:
    """A part that is being removed, among the uploads that run."""

    __slots__ = ()

    def cut(self, _: object) -> None:
        """It is over soon."""


class Upload:
    """One PUT to /x/UUID."""

    def __init__(self, tools: UploadTools, uuid: str, live: Live, request: Request) -> None:
        self._tools = tools
        self._live = live
        self._expected = live.expectation
        self._body = request.body
        self._fields = request.headers
        self._patience = Patience(tools.env.clock, self.cut, live.expectation.idle, live.ends)
        self._receiving: Deferred[None] | None = None
        self._confirmation = Confirmation(tools.confirming, uuid, live)
        self._left = False
        self._cut: PigpenError | None = None
        #: all bytes are here: it goes on whatever its sender does
        self._whole = live.complete is not None
        #: its sender will not come back
        self._abandoned = False
        #: whether the bytes ended early without anybody's decision: then they are kept
        self._interrupted = False
        self._small: list[bytes] = []
        self._waiters: list[Deferred[None]] = []
        self._digest: str | None = None

    async def answer(self) -> Response:
        """Do it. :raises PigpenError: what was wrong."""
        if self._live.spent:
            raise self._tools.table.violation("spent")
        if not self._tools.takes_writes():
            raise Unavailable(reason="this host takes no writes; ask the coordinator for another")
        if self._expected.blob in self._tools.running:
            # how much of it will be here is not known yet
            raise Conflict(reason="this upload is under way on another connection")
        have = current_offset(self._tools.parts, self._live)
        begin = self._begin(have)
        if begin is None:
            return _wrong_offset(have)
        self._check_length(begin)
        self._digest = wanted_digest(self._fields, self._expected.digest)
        self._tools.table.begin_put(self._live)
        work = self._tools.tasks.start(self._run(begin))
        try:
            return await work
        except CancelledError:
            self.leave()
            raise

    def leave(self) -> None:
        """The client has gone."""
        self._left = True
        if self._receiving is not None:
            self._receiving.cancel()
        self._confirmation.leave()

    def cut(self, error: PigpenError) -> Deferred[None] | None:
        return None if self._receiving is None else self._end_early(error)

    def abandon(self, error: PigpenError) -> Deferred[None] | None:
        """As `cut`, also before and after the receiving; no part is kept if none was yet.

        :return: None: all bytes are here, it goes on."""
        if self._whole:
            return None
        self._abandoned = True
        return self._end_early(error)

    def _end_early(self, error: PigpenError) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if self._cut is None:
            self._cut = error
            if self._receiving is not None:
                self._receiving.cancel()
        return waiter

    # -- before the first byte: nothing changes ----------------------------------------------------

    def _begin(self, have: int) -> int | None:
        """Where the client begins; None: not where it can."""
        text = self._fields.get(OFFSET)
        if text is not None and not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise BadField(field=OFFSET, reason="it is a number of bytes")
        offset = int(text or 0)
        # from the start is always possible, unless the blob is complete: that never changes
        return offset if offset == have or (not offset and not self._live.complete) else None

    def _check_length(self, begin: int) -> None:
        length = self._body.length
        if length is None:
            return
        expected = self._expected.length
        if expected is None and begin + length == 0:
            raise BadRequest(reason="the body is empty, though its length was not announced")
        if begin + length > self._limit:
            raise TooLarge(limit=self._limit - begin)
        if expected is not None and begin + length < expected:
            raise ShortBody(received=length, expected=expected - begin)

    @property
    def _limit(self) -> int:
        found = self._expected.length
        return (self._expected.max_bytes or 0) if found is None else found

    # -- the work ----------------------------------------------------------------------------------

    async def _run(self, begin: int) -> Response:
        self._tools.running[self._expected.blob] = self
        try:
            written = await (self._claim() if self._live.complete else self._store(begin))
            data = b"".join(self._small)
            small = data if len(data) == written.length else None
            return await self._confirmation.answer(written, small)
        except PigpenError as error:
            if not self._interrupted:
                self._live.state = WriteState(
                    "refused", error.status, None, error.code, error.message
                )
            raise
        finally:
            del self._tools.running[self._expected.blob]
            self._tools.table.end_put(self._live, spent=not self._interrupted)
            for waiter in self._waiters:
                if not waiter.called:
                    waiter.callback(None)

    async def _store(self, begin: int) -> Written:
        first = min(STEP_BYTES, self._limit - begin)
        reservation = self._live.reservation or self._tools.room.reserve(first)
        try:
            return await self._write(await self._writer(begin), reservation)
        finally:
            if reservation is not self._live.reservation:
                reservation.release()

    async def _writer(self, begin: int) -> BlobWriter:
        parts = self._tools.parts
        part = parts.take(self._expected.blob)
        if part is not None and begin:
            try:
                await self._tools.tasks.own(part.rehash())
            except Exception:
                await parts.discard(part)
                raise
            return part
        if part is not None:
            await parts.discard(part)
        return parts.new(self._expected.blob)

    async def _write(self, writer: BlobWriter, reservation: Reservation) -> Written:
        try:
            await self._receive(writer, reservation)
            written = await writer.finish(self._digest)
        except Exception:
            await self._give_up(writer, reservation)
            raise
        self._tools.room.wrote(written.allocated - written.length)
        return written

    async def _give_up(self, writer: BlobWriter, reservation: Reservation) -> None:
        """Keep the part if its sender may come back; else nothing is left of it."""
        if self._interrupted and writer.on_disk and not self._abandoned:
            try:
                await self._tools.tasks.own(writer.park())
            except PigpenError:  # the disk has failed: who watches it was told
                self._interrupted = False
            else:
                self._tools.parts.keep(writer)
                return
        await self._tools.parts.discard(writer)
        if self._interrupted:
            reservation.put_back(writer.offset)

    # -- receiving ---------------------------------------------------------------------------------

    async def _receive(self, writer: BlobWriter, reservation: Reservation) -> None:
        if self._left or self._cut is not None:
            self._interrupted = True
            raise self._cut or CancelledError
        if type(self._body) is BytesBody:  # all of it is here: no waiting, nothing to cut
            self._whole = True
            await self._pump(writer, reservation)
            return
        self._receiving = Deferred.fromCoroutine(self._pump(writer, reservation))
        if not self._receiving.called:  # else all of a small body was here already
            self._patience.begin()
        try:
            await self._receiving
            self._whole = True
        except CancelledError:
            self._interrupted = True
            if self._cut is not None:
                raise self._cut from None
            raise
        finally:
            self._receiving = None
            self._patience.end()

    async def _pump(self, writer: BlobWriter, reservation: Reservation) -> None:
        while (chunk := await self._next_chunk()) is not None:
            size = len(chunk)
            if writer.offset + size > self._limit:
                raise TooLarge(limit=self._limit)
            reservation.take(size)
            if writer.offset + size <= INLINE_BYTES:
                self._small.append(chunk)
            await writer.write(chunk)
        expected = self._expected.length
        if expected is not None and writer.offset < expected:
            raise ShortBody(received=writer.offset, expected=expected)
        if expected is None and not writer.offset:
            raise BadRequest(reason="the body is empty, though its length was not announced")

    async def _next_chunk(self) -> bytes | None:
        self._patience.wait()
        try:
            return await self._body.__anext__()
        except StopAsyncIteration:
            return None
        except TooLarge:
            raise
        except PigpenError:
            self._interrupted = True
            raise
        finally:
            self._patience.go_on()

    # -- a blob that was complete before its sender knew -------------------------------------------

    async def _claim(self) -> Written:
        if await self._next_chunk() is not None:
            raise TooLarge(limit=0)
        hashing = self._tools.env.in_thread(self._tools.folder.hash, self._expected.blob)
        try:
            length, sha256 = await self._tools.tasks.own(hashing)
        except OSError as error:
            raise durable.what_failed(error) from error
        if self._digest not in {None, sha256}:
            raise DigestMismatch
        return Written(length, sha256, 0)


def wanted_digest(fields: Headers, announced: str | None) -> str | None:
    """The SHA-256 the bytes must have, announced by the coordinator or the client."""
    if "Content-Range" in fields:  # RFC 9110 14.4: a part must not pass for the whole
        raise BadField(field="Content-Range", reason="send the whole, or use Upload-Offset")
    field = fields.get("Repr-Digest")
    sent = None if field is None else parse_digest(field)
    if sent is None or announced in {None, sent.hex()}:
        return announced or (sent.hex() if sent else None)
    raise DigestMismatch


def current_offset(parts: Parts, live: Live) -> int:
    """How many bytes of an upload are here."""
    return live.complete or parts.offset(live.expectation.blob)


def _wrong_offset(have: int) -> Response:
    problem = Problem("offset", f"go on at byte {have}, with Upload-Offset: {have}")
    return json_answer(409, problem, Headers({OFFSET: str(have)}))


_is_running: type[Running] = Upload
