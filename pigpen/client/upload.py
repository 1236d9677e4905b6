"""Upload: bytes to a host, until the coordinator says that they are stored.

    read ahead 4 KiB -> all of it: PUT with the bytes, done
    else PUT ?redirect=false -> a host's URL -> PUT the bytes there -> 201
    cut, 5xx, 202: ask for the write -> stored | refused | go on at byte n | begin again

Begin again needs byte 0: a file has it, a pipe only for the first few MiB.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec
from twisted.logger import Logger

from pigpen.client.attempts import Attempts
from pigpen.client.batches import Batches
from pigpen.client.inputs import Input
from pigpen.client.session import Session, refusal
from pigpen.client.watched_body import RunningDigest, WatchedBody
from pigpen.client.writes import UNUSED, Write, retry_after, stored
from pigpen.env import random_id
from pigpen.errors import (
    BodyAborted,
    CatalogFull,
    ConnectFailed,
    FileFailed,
    NoAnswer,
    PigpenError,
    Refused,
    Unavailable,
    WrongContent,
)
from pigpen.http import wire
from pigpen.http.fields import parse_digest
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.web.give_up import give_up

T = TypeVar("T")

#: files from this size on are looked for on a host, in case an earlier run was cut
RESUME_BYTES = 8 * 1024 * 1024
#: how many earlier runs are looked for
MAX_EARLIER = 4
#: places of a write that are remembered, to be given back
MAX_TARGETS = 8

#: a host's refusals after which the same bytes may still be stored (CLD-24, 35)
_ASK = {403, 408, 409, 410, 425, 429}


class Upload:
    """One upload; `run` once."""

    log = Logger()

    def __init__(
        self,
        session: Session,
        key: Key,
        data: Input,
        headers: Headers | None = None,
        on_bytes: Callable[[int], None] = lambda _: None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> None:
        """:param headers: Content-Type and conditions. :param on_bytes: told how many bytes the
        host has been sent, each time it changes. :param query: how the key is looked up."""
        self._session = session
        self._key = key
        self._input = data
        self._headers = Headers() if headers is None else headers
        self._query = query
        self._on_bytes = on_bytes
        self._attempts = Attempts(session.env)
        self._digest = RunningDigest()
        self._hashing = Batches(session.env, self._hash)
        self._sending: WatchedBody | None = None
        #: where the write may have left something
        self._targets: dict[str, wire.Target] = {}
        self._write = self._new_write(random_id(session.env))
        #: the coordinator may have heard of it
        self.begun = False

    async def run(self) -> wire.Stored:
        """Store it. :return: only when it is durable and visible.

        :raises Refused: it is not stored. :raises OutcomeUnknown: that could not be found out.
        :raises PigpenError: it is not stored.
        """
        data = await self._read_ahead()
        if data is not None:
            return await self._put_small(data)
        offer = await self._begin()
        while True:
            try:
                return await self._put(offer)
            except (PigpenError, OSError) as error:
                await self._stop_if_unreadable()
                if not isinstance(error, NoAnswer | Refused | BodyAborted):
                    raise
                result = await self._after_cut(offer, error)
            if isinstance(result, wire.Stored):
                return result
            offer = result

    @property
    def resumable(self) -> bool:
        """Whether a later run on the same file goes on with this one."""
        length = self._input.length
        return self._input.identity is not None and (length or 0) >= RESUME_BYTES

    @property
    def size(self) -> int:
        """Of what was stored, in bytes; right once `sha256` was asked."""
        return self._digest.size

    async def sha256(self) -> bytes | None:
        """Of what was stored; None if not all of it passed through here."""
        await self._hashing.flush()
        return self._digest.value if self._digest.complete else None

    async def give_up(self) -> None:
        """End the write, unless it is stored: its part and its room are given back.

        :raises NoAnswer: the coordinator cannot be told; it ends by itself in a day.
        """
        await self._abandon()

    # -- small ------------------------------------------------------------------------------------

    async def _read_ahead(self) -> bytes | None:
        """All the bytes if they are few; else None."""
        length = self._input.length
        if length is not None and length > wire.INLINE_BYTES:
            return None
        body = self._input.body(0)
        assert body is not None, "nothing was read yet"
        chunks: list[bytes] = []
        size = 0
        try:
            while size <= wire.INLINE_BYTES:
                chunk = await anext(body, b"")
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)
                size += len(chunk)
        finally:
            await body.aclose()
        return None

    async def _put_small(self, data: bytes) -> wire.Stored:
        self._digest.feed(0, data)
        sha256 = self._digest.value
        self.begun = True
        sent = False
        while True:
            try:
                result = await self._write.put_small(data, sha256)
            except (NoAnswer, Refused) as error:
                _raise_if_final(error)
                # without a connection nothing was stored: there is no doubt to settle
                sent = sent or not isinstance(error, ConnectFailed)
                if sent:
                    state = await self._write.settled()
                    if state.state in {"committed", "refused"}:
                        return _outcome(state)
                await self._attempts.again(error, retry_after(error))
            else:
                self._on_bytes(len(data))
                return result

    # -- large ------------------------------------------------------------------------------------

    async def _begin(self) -> wire.UploadOffer:
        earlier = await self._resume_earlier()
        return await self._offer() if earlier is None else earlier

    async def _offer(self) -> wire.UploadOffer:
        """A place for byte 0 on, asked for until there is one; nothing is stored meanwhile."""
        self.begun = True
        return await self._patiently(lambda: self._write.begin(self._input.length))

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask again while that may help. :raises NoAnswer, Refused: it does not."""
        while True:
            try:
                return await ask()
            except (NoAnswer, Refused) as error:
                _raise_if_final(error)
                await self._attempts.again(error, retry_after(error))

    async def _resume_earlier(self) -> wire.UploadOffer | None:
        """Where an earlier run on the same unchanged file was cut.

        The id of such a write is made of what identifies the file, so that a later run finds it.
        """
        if not self.resumable:
            return None
        identity = self._input.identity
        for number in range(MAX_EARLIER):
            text = f"{self._key}\0{identity}\0{number}".encode()
            secret = self._session.access_key.encode()
            self._write = self._new_write(hmac.digest(secret, text, "sha256").hex())
            state = await self._patiently(self._write.state)
            if state.state == "open":
                try:
                    return await self._write.resume()
                except Refused:
                    await self._abandon()
            elif state is UNUSED:
                return None
        self._write = self._new_write(random_id(self._session.env))
        return None

    async def _put(self, offer: wire.UploadOffer) -> wire.Stored:
        """Send the rest to the host, or if it cannot be reached to an alternative."""
        targets = [wire.Target(offer.uuid, offer.url, offer.pin)]
        if offer.offset == 0:
            targets += offer.alternatives
        self._remember(targets)
        for target in targets:
            try:
                return await self._put_at(target, offer.offset)
            except ConnectFailed:
                if target is targets[-1]:
                    raise
        raise AssertionError("there is at least one target")

    async def _put_at(self, target: wire.Target, offset: int) -> wire.Stored:
        body = self._body(offset)
        headers = Headers()
        if offset:
            headers["Upload-Offset"] = str(offset)
        if (content_type := self._headers.get("Content-Type")) is not None:
            headers["Content-Type"] = content_type
        answer = await self._session.http.request(
            "PUT", target.url, headers=headers, body=body, pin=target.pin
        )
        if answer.status == 202:
            await answer.body.aclose()
            return _outcome(await self._write.wait())
        if answer.status >= 300:
            raise await refusal(answer, "The host")
        await self._hashing.flush()
        self._check(answer)
        return await stored(answer)

    def _check(self, answer: Response) -> None:
        """:raises WrongContent: the host names another SHA-256 than that of the bytes we read."""
        said = parse_digest(answer.headers.get("Repr-Digest", ""))
        if said is not None and self._digest.complete and said != self._digest.value:
            raise WrongContent(reason="the host stored other bytes than were sent to it")

    # -- after a cut ------------------------------------------------------------------------------

    async def _after_cut(
        self, offer: wire.UploadOffer, error: PigpenError
    ) -> wire.Stored | wire.UploadOffer:
        """Settle what happened; then where to go on."""
        if isinstance(error, Refused) and _final_at_host(error):
            raise error
        self.log.info("upload was cut: {reason}", reason=error.message)
        state = await self._write.settled()
        if state.state in {"committed", "refused"}:
            return _outcome(state)
        await self._hashing.flush()
        if self._digest.moved():
            self._attempts.progress()
        try:
            await self._attempts.again(error, retry_after(error))
        except PigpenError:
            return await self._give_up(error)
        if state.state == "open":
            resumed = await self._resumed(offer)
            if resumed is not None:
                return resumed
        return await self._anew(error)

    async def _stop_if_unreadable(self) -> None:
        """:raises PigpenError, OSError: the input ended early, so trying again is no use."""
        error = self._sending.error if self._sending is not None else None
        if error is not None:
            try:
                await self._abandon()
            except (NoAnswer, Refused):
                self.log.info("the write stays open until it expires")
            raise error

    async def _give_up(self, error: PigpenError) -> wire.Stored:
        """End the write, so that its outcome is known. :raises PigpenError: why it failed."""
        if await self._abandon():
            if isinstance(error, Refused) and int(str(error.facts["status"])) < 500:
                # between us and the host; whoever stores is not refused anything
                raise Unavailable(reason="no host took all of it, and nothing was stored")
            raise error
        return _outcome(await self._write.settled())

    async def _abandon(self) -> bool:
        """End the write, then what hosts keep of it. :return: False: too late, it is stored."""
        if not await self._write.abandon():
            return False
        targets, self._targets = self._targets, {}
        await give_up(self._session.http, self._session.env.clock, targets.values())
        return True

    async def _resumed(self, offer: wire.UploadOffer) -> wire.UploadOffer | None:
        """Where the same host goes on; None if it does not."""
        try:
            answer = await self._session.http.request("HEAD", offer.url, pin=offer.pin)
            await answer.body.aclose()
            offset = answer.headers.get("Upload-Offset", "")
            if answer.status == 204 and offset.isdecimal():
                return self._at(offer, int(offset))
        except NoAnswer as error:
            self.log.debug("no answer from the host: {reason}", reason=error.message)
        try:
            offer = await self._write.resume()
        except Refused:
            return None
        self._remember([wire.Target(offer.uuid, offer.url, offer.pin)])
        return self._at(offer, offer.offset)

    def _at(self, offer: wire.UploadOffer, offset: int) -> wire.UploadOffer | None:
        if self._input.body(offset) is None:
            return None
        return msgspec.structs.replace(offer, offset=offset, alternatives=[])

    async def _anew(self, error: PigpenError) -> wire.Stored | wire.UploadOffer:
        """Byte 0 again, under a new id. :raises FileFailed: byte 0 is gone; nothing is stored."""
        if not await self._abandon():
            return _outcome(await self._write.settled())
        if self._input.body(0) is None:
            raise FileFailed(
                action="read again what came through",
                path="the pipe",
                reason=f"{error.message.rstrip('. ')}; nothing was stored, so run it again",
            )
        self._write = self._new_write(random_id(self._session.env))
        return await self._offer()

    # -- parts ------------------------------------------------------------------------------------

    def _remember(self, targets: list[wire.Target]) -> None:
        for target in targets:
            self._targets[target.url] = target
        while len(self._targets) > MAX_TARGETS:
            del self._targets[next(iter(self._targets))]

    def _new_write(self, write: str) -> Write:
        return Write(self._session, self._key, write, self._headers, self._query)

    def _body(self, offset: int) -> WatchedBody:
        body = self._input.body(offset)
        assert body is not None, "the offset was checked"
        length = None if self._input.length is None else self._input.length - offset
        self._sending = WatchedBody(body, length, offset, self._seen)
        return self._sending

    async def _seen(self, offset: int, chunk: bytes) -> None:
        await self._hashing.put((offset, chunk), len(chunk))
        self._on_bytes(offset + len(chunk))

    def _hash(self, chunks: list[tuple[int, bytes]]) -> None:
        for offset, chunk in chunks:
            self._digest.feed(offset, chunk)


def _raise_if_final(error: PigpenError) -> None:
    """Let go on only what may be different at the next try."""
    if isinstance(error, Refused):
        status = int(str(error.facts["status"]))
        passing = status in {408, 425, 429} or (status >= 500 and status not in {501, 507})
        if not passing or error.facts["code"] == CatalogFull.code:
            raise error


def _final_at_host(error: Refused) -> bool:
    """Whether a host's refusal ends the write; else the coordinator is asked."""
    status = int(str(error.facts["status"]))
    if status == 507:
        return error.facts["code"] != "full"  # full: another host may have room
    return status < 500 and status not in _ASK


def _outcome(state: wire.WriteState) -> wire.Stored:
    if state.state == "committed":
        return wire.Stored(etag=state.etag or "", version="", replaced=state.status == 204)
    said = f"the coordinator answered {state.error or state.status or 'no'}."  # an older one
    message = f"It was not stored: {said if state.message is None else state.message}"
    raise Refused(message=message, status=state.status or 409, code=state.error or "refused")
