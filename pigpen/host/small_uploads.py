"""SmallUpload: a PUT whose bytes are all here when it is asked for.

There is nothing to receive and nothing to resume, so one object goes from its batch to its receipt
and to its answer, and one Deferred is all that is made for it. `uploads` has the other ones, and
all that is refused before anything changes.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from pigpen.errors import PigpenError
from pigpen.host import durable
from pigpen.host.batches import SmallBlob
from pigpen.host.confirming import Confirmation
from pigpen.host.live import Live
from pigpen.host.uploads import OFFSET, Running, UploadTools, wanted_digest
from pigpen.host.writer import START_BYTES
from pigpen.http.body import BytesBody
from pigpen.http.message import Request, Response
from pigpen.http.wire import INLINE_BYTES, WriteState


class SmallUpload(SmallBlob):
    """One PUT to /x/UUID; once begun it goes on, client or not."""

    __slots__ = ("_confirmation", "_done", "_live", "_size", "_tools")

    def __init__(
        self, tools: UploadTools, uuid: str, live: Live, data: bytes, digest: str | None
    ) -> None:
        super().__init__(live.expectation.blob, data, digest)
        self._tools = tools
        self._live = live
        self._size = len(data)
        self._confirmation = Confirmation(tools.confirming, uuid, live)
        #: None: nobody waits for the answer any more
        self._done: Deferred[Response] | None = Deferred(self._leave)

    def begin(self) -> Deferred[Response]:
        """:return: fails with PigpenError; cancel it when the client leaves."""
        tools, done = self._tools, self._done
        reservation = self._live.reservation
        assert done is not None and reservation is not None
        reservation.take(self._size)  # first: it may be refused
        tools.table.begin_put(self._live)
        tools.tasks.hold()
        tools.running[self.blob] = self
        tools.parts.batches.add(self)
        return done

    def cut(self, error: PigpenError) -> None:
        """There is no receiving."""

    def _leave(self, _: Deferred[Response]) -> None:
        self._done = None
        self._confirmation.leave()

    # -- SmallBlob ---------------------------------------------------------------------------------

    def settle(self) -> None:
        if self.error is not None:
            self._tools.tasks.forget(Deferred.fromCoroutine(self._give_up(self.error)))
            return
        written = durable.written(self._size, self.sha256)
        self._tools.room.wrote(written.allocated - self._size)
        if self._live.expectation.write is None:
            self._answer(self._confirmation.answered(None, self.sha256))
            return
        data, self.data = self.data, b""
        delivery = self._confirmation.deliver(written, data if self._size <= INLINE_BYTES else None)
        self._tools.confirming.outbox.tell(delivery, self._told)

    async def _give_up(self, error: BaseException) -> None:
        tools = self._tools
        tools.parts.on_error(error)
        try:
            await tools.env.in_thread(tools.folder.forget_part, self.blob)
        finally:
            tools.room.wrote(-self._size)
            self._fail(error)

    # -- the answer --------------------------------------------------------------------------------

    def _told(self) -> None:
        response = self._confirmation.response(self.sha256)
        if response is not None:
            self._answer(response)
        else:
            self._tools.tasks.forget(Deferred.fromCoroutine(self._be_late()))

    async def _be_late(self) -> None:
        try:
            response = await self._confirmation.late(self.sha256)
        except Exception as error:
            self._fail(error)
            raise
        self._answer(response)

    def _answer(self, response: Response) -> None:
        done = self._end()
        if done is not None:
            done.callback(response)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, PigpenError):
            self._live.state = WriteState("refused", error.status, None, error.code, error.message)
        done = self._end()
        if done is not None:
            done.errback(error)

    def _end(self) -> Deferred[Response] | None:
        del self._tools.running[self.blob]
        self._tools.table.end_put(self._live, spent=True)
        self._tools.tasks.let_go()
        done, self._done = self._done, None
        return done


def small_upload(tools: UploadTools, uuid: str, live: Live, request: Request) -> SmallUpload | None:
    """A PUT that can be one, or None. :raises DigestMismatch: its bytes are not those announced."""
    body, expected = request.body, live.expectation
    if type(body) is not BytesBody or not 0 < len(body.data) < START_BYTES:
        return None
    if len(body.data) != expected.length or live.reservation is None or live.complete is not None:
        return None
    if live.running or live.spent or not tools.takes_writes():
        return None
    if expected.blob in tools.running or tools.parts.offset(expected.blob):
        return None
    if OFFSET in request.headers:
        return None
    digest = wanted_digest(request.headers, expected.digest)
    return SmallUpload(tools, uuid, live, body.data, digest)


_is_running: type[Running] = SmallUpload
