"""Write: one new version on its way, as its coordinator knows it.

The client chooses the write's id, and the same id is the same write (CLD-36). So whatever answer
gets lost, asking for the id settles whether the version was stored.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pigpen.client.attempts import Attempts
from pigpen.client.session import Session
from pigpen.env import sleep
from pigpen.errors import NoAnswer, OutcomeUnknown, Refused
from pigpen.http import wire
from pigpen.http.body import BytesBody, read_all
from pigpen.http.fields import format_digest, parse_modified
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response

#: how long a write that is durable but not visible is waited for (CLD-35: 202)
SETTLE_SECONDS = 60.0
ASK_AGAIN_SECONDS = 0.5

#: the state of an id that the coordinator does not know
UNUSED = wire.WriteState("abandoned")


class Write:
    """A write under one id."""

    def __init__(
        self,
        session: Session,
        key: Key,
        write: str,
        headers: Headers,
        query: Mapping[str, str] | None = None,
    ) -> None:
        """:param headers: Content-Type and conditions of the version to be. :param query: how its
        key is looked up."""
        self._session = session
        self.key = key
        self.id = write
        self._headers = headers
        self._query = {"redirect": "false", **(query or {})}

    async def begin(self, length: int | None) -> wire.UploadOffer:
        """Ask where to put the bytes. :raises Refused: nowhere."""
        headers = self._with_id(length)
        return await self._offer(self._query, headers)

    async def resume(self) -> wire.UploadOffer:
        """Ask where to go on; ``offset`` says from which byte."""
        return await self._offer({**self._query, "write": self.id}, self._with_id(None))

    async def put_small(self, data: bytes, sha256: bytes) -> wire.Stored:
        """Store a few bytes in the request itself."""
        headers = self._with_id(len(data))
        headers.setdefault("Repr-Digest", format_digest(sha256))
        answer = await self._session.call(
            "PUT", self.key, self._query, headers=headers, body=BytesBody(data), brief=True
        )
        return await stored(answer)

    async def state(self) -> wire.WriteState:
        """What became of it; `UNUSED` if the coordinator knows no such write."""
        try:
            answer = await self._session.call("GET", self.key, {"write": self.id}, brief=True)
        except Refused as error:
            if error.facts["status"] in {404, 410}:
                return UNUSED
            raise
        return await self._session.read(answer, wire.WriteState)

    async def settled(self) -> wire.WriteState:
        """What became of it, asked until the coordinator answers.

        :raises OutcomeUnknown: it does not.
        """
        attempts = Attempts(self._session.env)
        while True:
            try:
                return await self.state()
            except (NoAnswer, Refused) as error:
                if isinstance(error, Refused) and int(str(error.facts["status"])) < 500:
                    raise
                reason = error.message.rstrip(".?! ")
                await attempts.again(OutcomeUnknown(reason=reason), retry_after(error))

    async def wait(self) -> wire.WriteState:
        """Wait until it is over. :raises OutcomeUnknown: it takes too long."""
        clock = self._session.env.clock
        deadline = clock.seconds() + SETTLE_SECONDS
        while True:
            state = await self.settled()
            if state.state != "open":
                return state
            if clock.seconds() >= deadline:
                raise OutcomeUnknown(reason="a host has all of it, but it is not in its place yet")
            await sleep(self._session.env, ASK_AGAIN_SECONDS)

    async def abandon(self) -> bool:
        """Give it up for good. :return: False: too late, it is stored."""
        try:
            answer = await self._session.call("DELETE", self.key, {"write": self.id})
        except Refused as error:
            if error.facts["status"] == 409:
                return False
            if error.facts["status"] in {404, 410}:
                return True
            raise
        await answer.body.aclose()
        return True

    async def _offer(self, query: dict[str, str], headers: Headers) -> wire.UploadOffer:
        answer = await self._session.call("PUT", self.key, query, headers=headers, brief=True)
        return await self._session.read(answer, wire.UploadOffer)

    def _with_id(self, length: int | None) -> Headers:
        headers = self._headers.copy()
        headers[wire.WRITE] = self.id
        if length is not None:
            headers["Upload-Length"] = str(length)
        return headers


async def stored(answer: Response) -> wire.Stored:
    """What a 200, 201 or 204 answer to a PUT says."""
    data = await read_all(answer.body, wire.INLINE_BYTES)
    try:
        return msgspec.json.decode(data, type=wire.Stored)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        etag = answer.headers.get("ETag", "")
        modified = parse_modified(answer.headers.get(wire.MODIFIED, ""))
        return wire.Stored(etag, "", answer.status != 201, modified[0] if modified else None)


def retry_after(error: Exception) -> object:
    """The seconds that a refusal asks us to wait, if it does."""
    return error.facts.get("retry_after") if isinstance(error, Refused) else None
