"""CallProtocol: one connection to a server: one request at a time, whole; its answer streams."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pigpen.errors import BadAnswer, BodyAborted, ConnectionLost, PigpenError, TimedOut
from pigpen.http.body import BytesBody, PushBody
from pigpen.http.message import Response
from pigpen.web.answer_parser import AnswerParser
from pigpen.web.connections import MAX_HEAD_BYTES, READ_BYTES, Origin
from pigpen.web.exchange import WAITING, Order
from pigpen.web.receiver import RECEIVING
from pigpen.web.watch import Watch

IDLE = "waiting for a request"
#: the body of an answer that is awaited whole is shorter
WHOLE_BYTES = 64 * 1024


class Keeper(Protocol):
    """Who owns connections."""

    #: how long one may be idle
    keep_seconds: float

    @property
    def window(self) -> int:
        """Bytes of an answer that may wait for its reader."""
        ...

    def made(self, connection: CallProtocol) -> None: ...

    def done(self, connection: CallProtocol) -> None:
        """It answered, or was cut: its slot is free, and it too if it is still `open`."""

    def lost(self, connection: CallProtocol) -> None: ...


@implementer(IHandshakeListener)
class CallProtocol(protocol.Protocol):
    """An answer that came at once has a `BytesBody`; else its body is pushed as it comes, and the
    connection paused while a full window waits for the reader."""

    def __init__(self, clock: IReactorTime, origin: Origin, keeper: Keeper) -> None:
        self.origin = origin
        #: fires when TLS is
        self.ready: Deferred[None] = Deferred()
        #: whether it may be used again
        self.open = True
        #: bytes of the answer so far
        self.received = 0
        self._keeper = keeper
        self._parser = AnswerParser()
        self._watch = Watch(clock, None, self._late)
        #: what it is busy with
        self._order: Order | None = None
        self._waiter: Deferred[Response] | None = None
        self._body: PushBody | None = None
        self._body_bytes = 0
        #: of an answer that is awaited whole
        self._pieces: list[bytes] = []
        self._paused = False

    @property
    def busy(self) -> bool:
        return self._order is not None

    def call(self, order: Order, data: bytes) -> Deferred[Response]:
        """Send a request and wait for the head of its answer; cancelling it cuts the connection.

        :param data: the request's head and body.
        """
        assert self._order is None and self.transport is not None
        self._order = order
        self._pieces = []
        self.received = self._body_bytes = 0
        self._parser.begin(order.method)
        self._watch.begin(order.deadline)
        self._watch.expect(WAITING, order.limits.first_byte_seconds)
        waiter = self._waiter = Deferred(self._leave)
        self.transport.write(data)
        return waiter

    def cut(self, error: PigpenError) -> None:
        """End it now; whoever waits for the answer, or reads it, is told why."""
        self.abort_now()
        self._fail(error)

    def lost(self) -> ConnectionLost:
        return ConnectionLost(peer=self.origin.peer, phase=self._watch.phase)

    def abort_now(self) -> None:
        self.open = False
        self._watch.stop()
        transport: Any = self.transport
        transport.abortConnection()

    # -- the transport's calls ---------------------------------------------------------------------

    def connectionMade(self) -> None:
        self._keeper.made(self)
        if ITCPTransport.providedBy(self.transport):
            # finds out about peers that vanished while the connection was idle
            self.transport.setTcpKeepAlive(True)

    def handshakeCompleted(self) -> None:
        self.ready.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if self._order is None:
            self.abort_now()  # nobody asked
            return
        self.received += len(data)
        pieces = self._parser.feed(data)
        if self._body is not None:
            self._watch.progress()
            self._push(self._body, pieces)
        elif self._parser.status:
            self._pieces += pieces
            if not self._awaits_rest(self._order):
                pieces, self._pieces = self._pieces, []
                self._begin(self._order, pieces)
        elif self._parser.broken:
            self._bad("it is not HTTP/1.1")
        elif self.received > MAX_HEAD_BYTES:
            self._bad("its header fields are too large")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open = False
        self._watch.stop()
        if not self.ready.called:
            _ = self.ready.addErrback(lambda _: None)  # nobody may be waiting
            self.ready.errback(reason)
        self._keeper.lost(self)
        if self._body is None:
            self._fail(self.lost())
        else:
            # also where no length was announced: nobody knows whether this was the end
            self._cut_short("the connection was closed too early")

    # -- the answer --------------------------------------------------------------------------------

    def _awaits_rest(self, order: Order) -> bool:
        """Whether the answer is better kept until it is whole: a few bytes of one who may ask
        again are no answer at all if they are cut."""
        parser = self._parser
        unfinished = not parser.ended and not parser.broken
        return unfinished and order.repeatable and (parser.length or WHOLE_BYTES) < WHOLE_BYTES

    def _begin(self, order: Order, pieces: list[bytes]) -> None:
        parser = self._parser
        if parser.status > 599:
            self._bad("its status has no meaning")
            return
        waiter, self._waiter = self._waiter, None
        assert waiter is not None
        if parser.ended:
            self._done()
            body = BytesBody(b"".join(pieces))
            waiter.callback(Response(parser.status, parser.headers, body))
            return
        stream = self._body = PushBody(parser.length, on_pause=self._pause)
        stream.on_resume = partial(self._resume, stream)
        stream.on_close = partial(self._leave, stream)
        self._watch.expect(RECEIVING, order.limits.idle_seconds)
        response = Response(parser.status, parser.headers, stream)
        self._push(stream, pieces)
        waiter.callback(response)

    def _push(self, body: PushBody, pieces: list[bytes]) -> None:
        body.window = self._keeper.window
        # below TLS only the socket reads
        socket: Any = getattr(self.transport, "transport", self.transport)
        socket.bufferSize = min(READ_BYTES, body.window)
        for piece in pieces:
            self._body_bytes += len(piece)
            body.push(piece)
        if self._body is not body:  # the reader left
            return
        if self._parser.broken:
            self.abort_now()
            self._cut_short("it is not HTTP/1.1")
        elif self._parser.ended:
            self._body = None
            self._done()
            body.finish()

    def _done(self) -> None:
        """All of the answer is there."""
        self._order = None
        if not self._parser.keep:
            self.abort_now()
        else:
            if self._paused:
                self._unpause()
            self._watch.begin(None)
            self._watch.expect(IDLE, self._keeper.keep_seconds)
        self._keeper.done(self)

    def _pause(self) -> None:
        self._paused = True
        self._watch.rest(RECEIVING)
        transport: Any = self.transport
        transport.pauseProducing()

    def _resume(self, body: PushBody) -> None:
        if body is self._body and self._order is not None:
            self._watch.expect(RECEIVING, self._order.limits.idle_seconds)
            self._unpause()

    def _unpause(self) -> None:
        self._paused = False
        transport: Any = self.transport
        transport.resumeProducing()

    # -- what goes wrong ---------------------------------------------------------------------------

    def _late(self, seconds: float) -> None:
        if self._order is None:
            self.abort_now()
        else:
            self.cut(TimedOut(peer=self.origin.peer, seconds=seconds, phase=self._watch.phase))

    def _leave(self, reader: object) -> None:
        """Whoever waited, or read, does so no more."""
        if reader is self._waiter or reader is self._body:
            self._waiter = self._body = None
            self.cut(self.lost())

    def _bad(self, reason: str) -> None:
        self.cut(BadAnswer(peer=self.origin.peer, reason=reason))

    def _cut_short(self, reason: str) -> None:
        self._fail(BodyAborted(received=self._body_bytes, reason=reason))

    def _fail(self, error: PigpenError) -> None:
        if self._order is None:
            return
        self._order = None
        waiter, self._waiter = self._waiter, None
        body, self._body = self._body, None
        self._keeper.done(self)
        if waiter is not None:
            waiter.errback(error)
        if body is not None:
            body.fail(error)


_is_handshake_listener: type[protocol.Protocol] = CallProtocol
