"""HttpChannel: one client's connection. It reads requests, asks the handler, sends responses.

Two sides move independently, so a `Stage` names what the *input* may be; the response is under way
whenever a request is (BODY, ANSWER):

    HEAD --head--> BODY --body complete--> ANSWER --response out--> HEAD
      |              |                        |
      |              +---- response out ------+--(must close)--> LINGER --> CLOSED
      +-- bad head: refusal --> LINGER
"""

from __future__ import annotations

import enum
from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from pigpen.errors import BodyAborted, PigpenError, RequestTimeout
from pigpen.http.answers import error_answer
from pigpen.http.body import Body, BytesBody
from pigpen.http.key import Key
from pigpen.http.message import Caller, Request
from pigpen.web.answering import Answerer
from pigpen.web.decoding import ChunkDecoder, Decoder, LengthDecoder
from pigpen.web.framing import Head
from pigpen.web.head_reader import HeadReader
from pigpen.web.outlet import Outlet, SocketOutlet, make_outlet
from pigpen.web.request_body import RequestBody
from pigpen.web.responding import (
    CONTINUE,
    Exchange,
    body_now,
    plan_response,
)
from pigpen.web.serving import Owner

#: how much plain TCP reads at once while a body streams: fewer turns for the same bytes
BODY_READ_BYTES = 128 * 1024
#: hostile chunks of one byte take a microsecond each: a turn stays near 20 ms
CHUNKED_READ_BYTES = 64 * 1024
#: else a head's size: a smaller buffer is made faster
HEAD_READ_BYTES = 16 * 1024


class Stage(enum.Enum):
    """What the next bytes from the client are."""

    HEAD = "a request's head"
    BODY = "a request's body"
    ANSWER = "held until the response is out"
    LINGER = "dropped: the last response is out"
    CLOSED = "nobody's"


class HttpChannel(Protocol):
    """Bytes in, handler's responses out, one request at a time, in order."""

    log = Logger()
    factory: Owner[HttpChannel]

    def __init__(self, factory: Owner[HttpChannel]) -> None:
        self.factory = factory
        self._limits = factory.limits
        self._stage = Stage.HEAD
        self._reader = HeadReader(factory.limits)
        self._input = b""
        #: whether `_run` is on the stack: what it calls must not call it
        self._running = False
        self._reading = True
        self._answerer = Answerer(factory, self)
        self.exchange = Exchange("", True, True)
        self._body: RequestBody | None = None
        self._decoder: Decoder | None = None
        #: whether the handler has the current request
        self._asked = False
        #: absolute, of the current stage
        self._deadline = 0.0
        #: bytes read in LINGER, or of a body that its reader left
        self._dropped = 0
        #: since when, and at how many bytes, the body's rate is judged
        self._rate_mark = (0.0, 0)

    @property
    def closed(self) -> bool:
        """Whether nobody can be answered any more."""
        return self._stage is Stage.CLOSED

    @property
    def body_pending(self) -> bool:
        """Whether part of the request's body has not come."""
        return self._stage is Stage.BODY

    # -- the transport's calls --------------------------------------------------------------------

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.address = _address(transport.getPeer())
        self._caller = Caller(self.address)
        self._secure = ISSLTransport.providedBy(transport) or isinstance(
            transport, TLSMemoryBIOProtocol
        )
        self.outlet: Outlet = make_outlet(transport)
        if isinstance(self.outlet, SocketOutlet):
            self._set_read_size(HEAD_READ_BYTES)
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)  # a peer that vanished is noticed at last
        self._deadline = self.factory.opened(self) + self._limits.header_seconds

    def dataReceived(self, data: bytes) -> None:
        self._input = self._input + data if self._input else data
        if not self._running:
            self._run()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stage = Stage.CLOSED
        self._input = b""
        self.factory.lost(self)
        body = self._body
        told = body is not None and body.reader_waits and not self._answerer.begun
        if not told:  # a handler that waits for the body hears of it there, and may clean up
            self._answerer.cancel()
        if body is not None:
            body.fail(BodyAborted(received=body.received, reason="the client left"))
        if self._answerer.idle:
            del self._answerer  # it refers to us: a crowd's remains would wait for the collector

    # -- input ------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Take in what has come, until more is needed or a response must go out first."""
        self._running = True
        try:
            while self._input and self._step():
                pass
        except PigpenError as error:
            self._refuse(error)
        finally:
            self._running = False
        self._adjust_reading()

    def _step(self) -> bool:
        """:return: whether the rest of the input can be looked at now."""
        if self._stage is Stage.HEAD:
            return self._read_head()
        if self._stage is Stage.BODY:
            self._read_body()
            return True
        if self._stage is Stage.LINGER:
            self._dropped += len(self._input)
            self._input = b""
        elif self._stage is Stage.CLOSED:
            self._input = b""
        return False

    def _read_head(self) -> bool:
        head, self._input = self._reader.feed(self._input)
        if head is None:
            # the deadline for the first head runs from accept, and none is moved by more bytes
            self._deadline = min(self._deadline, self.factory.now + self._limits.header_seconds)
            return False
        self._begin(head)
        return True

    def _begin(self, head: Head) -> None:
        body: Body
        self.exchange = Exchange(head.method, head.http11, head.keep_alive)
        if head.length == 0:
            body = BytesBody()
            self._stage = Stage.ANSWER
        elif head.length is not None and head.length <= len(self._input) and not head.expects:
            body = BytesBody(self._input[: head.length])  # small, and all of it is here
            self._input = self._input[head.length :]
            self._stage = Stage.ANSWER
        else:
            body = self._open_body(head)
            if self._input:
                self._read_body()
        try:
            request = Request(
                head.method,
                Key.from_path(head.path),
                query_string=head.query_string,
                headers=head.headers,
                body=body,
                caller=self._caller,
                secure=self._secure,
                http11=head.http11,
            )
        except PigpenError as error:
            self._answerer.respond(error_answer(error))
            return
        self._asked = True
        self._answerer.ask(request)

    def _open_body(self, head: Head) -> RequestBody:
        body = RequestBody(head.length, window=self._limits.body_window, held_back=head.expects)
        body.on_ask = self._send_continue
        body.on_pause = body.on_close = lambda: None
        body.on_resume = self._adjust_reading
        self._body = body
        if head.length is None:
            self._decoder = ChunkDecoder(self._limits.header_bytes)
        else:
            self._decoder = LengthDecoder(head.length)
        self._stage = Stage.BODY
        self._dropped = 0
        self._rate_mark = (self.factory.now, 0)
        self._set_read_size(CHUNKED_READ_BYTES if head.length is None else BODY_READ_BYTES)
        return body

    def _read_body(self) -> None:
        body, decoder = self._body, self._decoder
        assert body is not None
        if decoder is None:  # broken off
            self._dropped += len(self._input)
            self._input = b""
            return
        try:
            data, self._input, complete = decoder.feed(self._input)
        except PigpenError as error:
            if not self._asked:
                raise
            self._break_off(body, error)
            return
        if complete:
            self._stage = Stage.ANSWER
            self._decoder = None
            self._set_read_size(HEAD_READ_BYTES)
        if body.ended:
            self._dropped += len(data)
        body.push(data)  # may run the handler to its end
        if complete:
            body.finish()

    def _break_off(self, body: RequestBody, error: PigpenError) -> None:
        """The rest of a body makes no sense or comes no more: its reader learns why."""
        self._decoder = None
        self._input = b""
        body.fail(error)

    def _send_continue(self) -> None:
        if self._stage is Stage.BODY and not self._answerer.begun:
            self._rate_mark = (self.factory.now, 0)
            self.outlet.write(CONTINUE)

    # -- the response -----------------------------------------------------------------------------

    def answered(self) -> None:
        """The response is out."""
        body, self._body = self._body, None
        self._asked = False
        if self.closed:
            return
        if self._stage is Stage.BODY or not self.exchange.keep_alive or self.factory.draining:
            self._end(body)
            return
        self._stage = Stage.HEAD
        self._deadline = self.factory.now + self._limits.idle_seconds
        self.factory.used(self)
        if self._input and not self._running:
            self._run()

    # -- ends -------------------------------------------------------------------------------------

    def _refuse(self, error: PigpenError) -> None:
        """Answer what is no request; nothing on this connection can be trusted any more."""
        self.exchange = Exchange("", True, False)
        response = error_answer(error)
        plan = plan_response(response, self.exchange, self.factory.common_lines)
        self.outlet.write(plan.head + (body_now(response.body) or b""))
        self._body = None
        self._linger()

    def _end(self, body: RequestBody | None) -> None:
        if self._stage is Stage.BODY or self._input:
            if body is not None:
                body.fail(BodyAborted(received=body.received, reason="the request was answered"))
            self._linger()
        else:
            self._close()

    def _linger(self) -> None:
        """Read on for a while: closing with unread bytes resets the connection, and a reset can
        take the answer from the client (RFC 9112 9.6)."""
        self._stage = Stage.LINGER
        self._decoder = None
        self._dropped = len(self._input)
        self._input = b""
        self._deadline = self.factory.now + self._limits.linger_seconds
        self.outlet.detach()
        if self.outlet.can_half_close:
            transport: Any = self.transport
            transport.loseWriteConnection()
        self._adjust_reading()

    def _close(self) -> None:
        """Close once all is sent."""
        self._stage = Stage.CLOSED
        self._deadline = self.factory.now + self._limits.reader_seconds
        self.outlet.detach()
        assert self.transport is not None
        self.transport.loseConnection()

    def abort(self) -> None:
        """Close at once, so that the peer sees that something is missing."""
        self._stage = Stage.CLOSED
        transport: Any = self.transport
        transport.abortConnection()

    def drain(self) -> None:
        """Close now if idle; else after the response under way."""
        if self._stage is Stage.HEAD:
            self._close()

    @property
    def waits(self) -> bool:
        """Whether no request is here, and the last answer is on its way."""
        return self._stage is Stage.HEAD and not self.outlet.blocked

    # -- pace and time ----------------------------------------------------------------------------

    def _adjust_reading(self) -> None:
        wanted = self._wants_input()
        if wanted is self._reading:
            return
        self._reading = wanted
        transport: Any = self.transport
        if wanted:
            self._rate_mark = (self.factory.now, self._body.received if self._body else 0)
            transport.resumeProducing()
        else:
            transport.pauseProducing()

    def _wants_input(self) -> bool:
        if self._stage is Stage.HEAD:
            return True
        if self._stage is Stage.BODY:
            body = self._body
            assert body is not None
            return not body.paused and self._dropped <= self._limits.dropped_bytes
        if self._stage is Stage.ANSWER:  # read on a little, so as to notice that the client left
            return len(self._input) <= self._limits.pipelined_bytes
        if self._stage is Stage.LINGER:
            return self._dropped <= self._limits.linger_bytes
        return False

    def _set_read_size(self, size: int) -> None:
        if isinstance(self.outlet, SocketOutlet):
            transport: Any = self.transport
            transport.bufferSize = size

    def check(self, now: float) -> None:
        """Enforce the time limits; the factory calls this every second."""
        cut_at = self._answerer.cut_at
        cut = cut_at is not None and now >= cut_at
        most = self._limits.reader_seconds
        if cut or self.outlet.stalled(now, min(most, self._answerer.reader_seconds or most)):
            self.abort()
        elif self._stage is Stage.BODY:
            self._check_rate(now)
        elif self._stage is not Stage.ANSWER and now >= self._deadline:
            self._time_out()

    def _time_out(self) -> None:
        if self._stage is Stage.CLOSED:
            self.abort()
        elif self._stage is Stage.HEAD and not self.outlet.blocked:
            if self._reader.begun:
                self._refuse(RequestTimeout())
            elif self._secure and not self.exchange.method:
                self.abort()  # perhaps a handshake that never ends
            else:
                self._close()
        elif self._stage is Stage.LINGER:
            self._close()

    def _check_rate(self, now: float) -> None:
        body = self._body
        assert body is not None
        since, count = self._rate_mark
        if not self._reading or body.held_back or self._decoder is None:
            self._rate_mark = (now, body.received)
        elif now - since >= self._limits.body_rate_seconds:
            if body.received - count < self._limits.body_rate * (now - since):
                self._break_off(body, RequestTimeout())
            else:
                self._rate_mark = (now, body.received)


def _address(peer: object) -> str:
    host = str(getattr(peer, "host", ""))
    return host.removeprefix("::ffff:") if "." in host else host
