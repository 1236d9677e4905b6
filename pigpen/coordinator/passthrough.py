"""Passthrough: a PUT whose client cannot follow redirects; the bytes pass through here (CLD-32).

One bounded window lies between client and host: a chunk is asked of the client when the host took
the one before. After a body byte there is no redirect and no reset: the answer is always ours.
"""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pigpen.coordinator.announcer import Confirmed
from pigpen.coordinator.catalog import writes
from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.counted_body import CountedBody
from pigpen.coordinator.hosts import Hosts
from pigpen.coordinator.metrics import Metrics
from pigpen.coordinator.openings import Opening
from pigpen.errors import Conflict, ConnectionLost, NoAnswer, PigpenError, Unavailable
from pigpen.http import wire
from pigpen.http.body import Body, read_all
from pigpen.http.message import Headers
from pigpen.web.give_up import give_up
from pigpen.web.sender import Sender

MAX_ANSWER_BYTES = 64 * 1024
#: refusals of a host that are about the client's bytes: they are passed on
_PASSED_ON = frozenset({400, 408, 409, 412, 413, 422, 423, 507})


class Passthrough:
    """Sends bodies on to hosts."""

    log = Logger()

    def __init__(
        self, clock: IReactorTime, client: Sender, catalog: Catalog, hosts: Hosts, metrics: Metrics
    ) -> None:
        self._clock = clock
        self._client = client
        self._catalog = catalog
        self._hosts = hosts
        self._metrics = metrics

    async def send(self, opening: Opening, body: Body) -> wire.ReceiptAnswer:
        """Send a body to the host that expects it; its answer becomes ours.

        :return: 201 or 204; 202: durable, not visible yet; or how the host refused the bytes.
        :raises Unavailable: the host was lost; nothing is stored.
        :raises PigpenError: the client's body ended early or came too slowly; likewise.
        """
        settled = False
        release = opening.first.host.begin_stream()
        try:
            try:
                status, data = await self._put(opening, body)
            except NoAnswer as error:
                settled = True
                self._hosts.suspect(opening.first.host)
                return await self._end(opening, f"the host was lost ({error.code})")
            answer = self._translate(opening, status, data)
            if answer is None:
                settled = True
                return await self._end(opening, f"the host answered {status}")
            settled = answer.status < 300
            return answer
        finally:
            release()
            if not settled:
                self._give_up(opening)

    async def _put(self, opening: Opening, body: Body) -> tuple[int, bytes]:
        """:raises NoAnswer: the host gave none, or broke off in it."""
        target = _target(opening.first)
        answer = await self._client.request(
            "PUT",
            target.url,
            headers=Headers({"Content-Type": "application/octet-stream"}),
            body=CountedBody(body, self._metrics.bytes_in),
            pin=target.pin,
        )
        try:
            return answer.status, await read_all(answer.body, MAX_ANSWER_BYTES)
        except PigpenError:
            raise ConnectionLost(peer=opening.first.host.control_url, phase="it answered") from None

    def _translate(self, opening: Opening, status: int, data: bytes) -> wire.ReceiptAnswer | None:
        """The host's answer, in our words; None: it is no clear one."""
        write = opening.write.write
        if status in {200, 201}:
            try:
                stored = msgspec.json.decode(data, type=wire.Stored)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                return None
            told = 204 if stored.replaced else 201
            return wire.ReceiptAnswer(
                write, told, etag=stored.etag, version=stored.version, modified=stored.modified
            )
        if status == 202:
            return wire.ReceiptAnswer(write, 202)
        if status not in _PASSED_ON:
            return None
        try:
            problem = msgspec.json.decode(data, type=wire.Problem)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            problem = wire.Problem("refused", f"The host answered {status}.")
        return wire.ReceiptAnswer(write, status, error=problem.error, message=problem.message)

    async def _end(self, opening: Opening, reason: str) -> wire.ReceiptAnswer:
        """End a write whose host said nothing clear.

        :return: it was committed before. :raises Unavailable: it was not, and never will be.
        """
        write = opening.write.write
        try:
            await self._catalog.write(writes.abandon, opening.principal, write)
        except Conflict:
            state = await self._catalog.read(writes.write_state, opening.principal, write)
            return wire.ReceiptAnswer(write, state.status or 201, etag=state.etag, version="")
        _ = Deferred.fromCoroutine(self._tell_hosts(opening)).addErrback(self._not_given_up)
        raise Unavailable(reason=f"{reason}, and nothing was stored")

    def _give_up(self, opening: Opening) -> None:
        """In the background: the client is refused, or gone."""
        _ = Deferred.fromCoroutine(self._abandon(opening)).addErrback(self._not_given_up)

    async def _abandon(self, opening: Opening) -> None:
        await self._catalog.write(writes.abandon, opening.principal, opening.write.write)
        await self._tell_hosts(opening)

    async def _tell_hosts(self, opening: Opening) -> None:
        """They need keep nothing. The write has ended: its receipt, if it comes, is refused."""
        await give_up(self._client, self._clock, [_target(one) for one in opening.confirmed])

    def _not_given_up(self, failure: Failure) -> None:
        # committed at the last moment, or it ends by itself in a day
        self.log.info("a write was not given up: {reason}", reason=failure.getErrorMessage())


def _target(one: Confirmed) -> wire.Target:
    url, uuid = one.host.control_url, one.expectation.uuid
    return wire.Target(uuid, f"{url}/x/{uuid}", one.host.pin_of(url))
