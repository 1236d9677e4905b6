"""Link: what a host says to its coordinator, and what comes back."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pigpen.env import Env
from pigpen.errors import BadAnswer, NoAnswer, PigpenError, Refused, TimedOut, TooLarge, Unavailable
from pigpen.http import wire
from pigpen.http.answers import JSON
from pigpen.http.body import BytesBody, read_all
from pigpen.http.message import Headers
from pigpen.web.sender import Sender

T = TypeVar("T")

#: a coordinator that has not answered by then is silent
SILENCE_SECONDS = 10


class Link:
    """The coordinator's face, as typed calls.

    Each call raises NoAnswer if there was none, and Refused (``facts``: status, code, message) if
    it was no success.
    """

    def __init__(self, env: Env, client: Sender, url: str) -> None:
        """:param url: ``https://coordinator:2573``, without a path."""
        self._env = env
        self._client = client
        self._url = url.rstrip("/")
        #: the coordinator's clock as last heard, and when that was on ours
        self.heard: tuple[str, float] | None = None

    async def register(self, access_key: str, value: wire.Registration) -> wire.Registered:
        return await self._post("/hosts", access_key, value, wire.Registered)

    async def session(self, id: int, key: str, value: wire.Registration) -> wire.Registered:
        return await self._post(f"/hosts/{id}/session", key, value, wire.Registered)

    async def heartbeat(self, id: int, key: str, value: wire.Heartbeat) -> None:
        await self._exchange(f"/hosts/{id}/heartbeat", key, value)

    async def receipts(
        self, id: int, key: str, value: list[wire.Receipt]
    ) -> list[wire.ReceiptAnswer]:
        # not repeated below: what is said of a client that waits may be wrong by then (CLD-34), so
        # the outbox says it anew; the coordinator answers what it has already as before (REL-C3)
        return await self._post(f"/hosts/{id}/receipts", key, value, list[wire.ReceiptAnswer])

    async def _post(
        self, path: str, token: str, value: object, shape: type[T], *, repeatable: bool = False
    ) -> T:
        data = await self._exchange(path, token, value, repeatable)
        try:
            return msgspec.json.decode(data, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadAnswer(peer="the coordinator", reason=str(error)) from None

    async def _exchange(
        self, path: str, token: str, value: object, repeatable: bool = False
    ) -> bytes:
        asking = Deferred.fromCoroutine(self._ask(path, token, value, repeatable))
        return await asking.addTimeout(SILENCE_SECONDS, self._env.clock, _too_late)

    async def _ask(self, path: str, token: str, value: object, repeatable: bool) -> bytes:
        headers = Headers({"Authorization": f"Bearer {token}", "Content-Type": JSON})
        body = BytesBody(wire.encode(value))
        response = await self._client.request(
            "POST",
            self._url + path,
            headers=headers,
            body=body,
            repeatable=repeatable,
        )
        reading = response.headers.get(wire.CLOCK, "")
        if 0 < len(reading) <= 64:
            self.heard = (reading, self._env.clock.seconds())
        try:
            data = await read_all(response.body, wire.MAX_BATCH_BYTES)
        except TooLarge:
            raise BadAnswer(peer="the coordinator", reason="it is too long") from None
        if response.status >= 300:
            raise _refused(response.status, data)
        return data


def is_transient(error: PigpenError) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, Refused):
        status = error.facts["status"]
        return status == 429 or (isinstance(status, int) and status >= 500)
    return isinstance(error, NoAnswer | Unavailable)


def _refused(status: int, data: bytes) -> Refused:
    try:
        problem = msgspec.json.decode(data, type=wire.Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = wire.Problem("unknown", f"the coordinator answered {status}")
    return Refused(status=status, code=problem.error, message=problem.message)


def _too_late(result: bytes | Failure, seconds: float) -> bytes | Failure:
    if isinstance(result, Failure):
        raise TimedOut(peer="the coordinator", seconds=seconds, phase="it was asked")
    return result
