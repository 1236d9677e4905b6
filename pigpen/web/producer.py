"""A request body on its way: from a Body we ask to a transport that pushes back."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from pigpen.errors import ShortBody, TooLarge
from pigpen.http.body import Body, BytesBody


class Sender(Protocol):
    """Who wants to know how the sending goes."""

    def peer_is_slow(self) -> None:
        """The peer takes no more for now."""

    def peer_takes(self) -> None:
        """It does again."""

    def all_sent(self) -> None: ...


@implementer(IBodyProducer)
class BodyProducer:
    """Writes a Body to a transport, chunk by chunk, while the transport takes them.

    The body is closed on every way out. One that ends early, or gives more than it promised, makes
    the request fail before a wrong byte is sent, so that no peer takes it as complete.
    """

    def __init__(self, body: Body, sender: Sender) -> None:
        self.length = UNKNOWN_LENGTH if body.length is None else body.length
        #: whether the first byte was asked for
        self.touched = False
        self._body = body
        self._sender = sender
        self._stopped = False
        self._room: Deferred[None] | None = None
        self._running: Deferred[None] | None = None
        self._done: Deferred[None] = Deferred(self._cancel)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.touched = True
        if isinstance(self._body, BytesBody):
            consumer.write(self._body.data)
            self._sender.all_sent()
            return succeed(None)
        running = Deferred.fromCoroutine(self._send(consumer))
        self._running = running.addBoth(self._ended)
        return self._done

    def pauseProducing(self) -> None:
        if self._room is None and not self._stopped:
            self._room = Deferred()
            self._sender.peer_is_slow()

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not self._stopped:
            self._sender.peer_takes()
            room.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone or the answer came early: nobody waits for us any more."""
        self._stopped = True
        if self._running is not None:
            self._running.cancel()

    async def _send(self, consumer: IConsumer) -> None:
        limit = self._body.length
        sent = 0
        try:
            async for chunk in self._body:
                sent += len(chunk)
                if limit is not None and sent > limit:
                    raise TooLarge(limit=limit)
                consumer.write(chunk)
                # the write may have paused or stopped us
                if self._stopped:
                    return
                if self._room is not None:
                    await self._room
            if limit is not None and sent < limit:
                raise ShortBody(received=sent, expected=limit)
        finally:
            await self._body.aclose()
        self._sender.all_sent()

    def _ended(self, result: Failure | None) -> None:
        # a failure after the stop is of no interest: it is the consequence
        if not self._stopped:
            self._done.callback(result)

    def _cancel(self, _: Deferred[None]) -> None:
        assert self._running is not None
        self._running.cancel()
