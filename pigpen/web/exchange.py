"""One request of the HTTP client and its answer: waiting, connecting, sending, receiving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from OpenSSL.SSL import Error as TLSError
from service_identity import CertificateError, VerificationError
from treq.client import HTTPClient as TreqClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.components import proxyForInterface
from twisted.web._newclient import (
    RequestGenerationFailed,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers as TwistedHeaders
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from pigpen.env import Env
from pigpen.errors import (
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    PigpenError,
    TimedOut,
    Untrusted,
)
from pigpen.http.body import Body, BytesBody
from pigpen.http.message import Headers, Response
from pigpen.web.connections import ClientProtocol, Connector, Origin, Pool, Slots, Trust
from pigpen.web.producer import BodyProducer
from pigpen.web.receiver import Receiver
from pigpen.web.watch import Watch

QUEUED = "waiting for a free connection"
CONNECTING = "connecting"
SENDING = "taking the request"
WAITING = "preparing the answer"

#: what a connection, or an attempt to make one, fails with
FAILED = (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    RequestNotSent,
    CancelledError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
    TLSError,
    CertificateError,
    VerificationError,
    OSError,
    ValueError,  # a name that cannot be a host's
)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How long a peer may be silent in each phase, in seconds, and how many connections we make.

    Time in which we are the slow one, giving or taking a body, does not count.
    """

    connect_seconds: float = 5
    #: from the last byte of the request to the last header of the answer
    first_byte_seconds: float = 30
    idle_seconds: float = 30
    #: at once, to one origin; further requests wait
    connections: int = 64
    #: how long an idle connection is kept: less than servers do, who close at 60
    keep_seconds: float = 50


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent. ``target``: path and query. ``repeatable``: see `HttpClient.request`."""

    method: str
    url: str
    origin: Origin
    target: str
    fields: list[tuple[bytes, bytes]]
    body: Body | None
    limits: ClientLimits
    deadline: float | None
    repeatable: bool


class Shared:
    """What all exchanges of a client have in common."""

    def __init__(self, env: Env, limits: ClientLimits, trust: Trust) -> None:
        self.env = env
        self.trust = trust
        self.pool = Pool(env.clock, limits.connections, limits.keep_seconds)
        self.slots = Slots(limits.connections)
        self.cookies = IndexableCookieJar()


class _Bare(proxyForInterface(IResponse)):  # type: ignore[misc]
    """An answer whose fields treq does not see.

    treq would unpack gzip, so that neither length, range nor digest were right, and keep cookies.
    """

    @property
    def headers(self) -> TwistedHeaders:
        return TwistedHeaders()


@implementer(IAgent, IAgentEndpointFactory)
class Exchange:
    """Carries out an Order. It is the agent that treq drives."""

    def __init__(self, shared: Shared, order: Order, on_end: Callable[[Exchange], None]) -> None:
        """:param on_end: called once, when the connection is given back or cut."""
        self._shared = shared
        self._order = order
        self._fields = TwistedHeaders()
        for name, value in order.fields:
            self._fields.addRawHeader(name, value)
        self._on_end: Callable[[Exchange], None] | None = on_end
        self._watch = Watch(shared.env.clock, order.deadline, self._late)
        self._connector = Connector(shared.env, order.origin, shared.trust, self._connected)
        self._producer: BodyProducer | None = None
        self._protocol: ClientProtocol | None = None
        self._receiver: Receiver | None = None
        self._pending: Deferred[Any] | None = None
        self._answer: Any = None
        self._error: PigpenError | None = None
        self._has_slot = False

    async def run(self) -> Response:
        """:raises NoAnswer: see `HttpClient.request`."""
        answered = False
        try:
            await self._take_slot()
            try:
                response = await self._once(self._order.body)
            except ConnectionLost:
                if not self._may_repeat():
                    raise
                self._connector.fresh = True
                response = await self._once(self._fresh_body())
            answered = True
            return response
        finally:
            if not answered:
                self._end()

    def cut(self, error: PigpenError) -> None:
        """End it now: the request, or the body that is being read, fails with `error`."""
        self._error = error
        if self._receiver is not None:
            self._receiver.cut(error)
        elif self._pending is not None:
            self._pending.cancel()

    def lost(self) -> ConnectionLost:
        return ConnectionLost(peer=self._order.origin.peer, phase=self._watch.phase)

    # -- the request ------------------------------------------------------------------------------

    async def _take_slot(self) -> None:
        self._watch.rest(QUEUED)
        self._pending = self._shared.slots.acquire(self._order.origin)
        try:
            await self._pending
        except CancelledError:
            if self._error is not None:
                raise self._error from None
            raise
        self._has_slot = True

    async def _once(self, body: Body | None) -> Response:
        order = self._order
        self._watch.expect(CONNECTING, order.limits.connect_seconds)
        self._producer = None if body is None else BodyProducer(body, self)
        self._pending = TreqClient(self, self._shared.cookies).request(
            order.method,
            # treq cannot read an IPv6 address; the agent below takes the URL from the order
            "http://ipv6.invalid/" if ":" in order.origin.host else order.url,
            headers=self._fields,
            data=self._producer,
            allow_redirects=False,
            unbuffered=True,
            reactor=cast(Any, self._shared.env.clock),
        )
        try:
            await self._pending
        except FAILED as error:
            raise self._translated(error) from None
        finally:
            self._pending = None
        return self._respond()

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: TwistedHeaders | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """What treq calls, as an IAgent: URL and header fields are sent as they were ordered."""
        clock, pool = self._shared.env.clock, self._shared.pool
        agent: IAgent = Agent.usingEndpointFactory(clock, self, pool)  # type: ignore[no-untyped-call]
        answer: Deferred[IResponse] = agent.request(
            method, _kept_whole(self._order.url), self._fields, bodyProducer
        )
        return answer.addCallback(self._keep)

    def endpointForURI(self, _: URI) -> IStreamClientEndpoint:
        return self._connector

    def _keep(self, answer: IResponse) -> IResponse:
        self._answer = answer
        return _Bare(answer)

    def _connected(self, protocol: ClientProtocol) -> None:
        self._protocol = protocol
        if self._producer is None:
            self.all_sent()
        else:
            self.peer_takes()

    def _may_repeat(self) -> bool:
        """Whether an idle connection had gone stale and nothing can have happened (N5)."""
        protocol, order = self._protocol, self._order
        if protocol is None or protocol.requests < 2 or protocol.answering:
            return False
        if order.body is None:
            return order.method in {"GET", "HEAD"} or order.repeatable
        untouched = self._producer is not None and not self._producer.touched
        return untouched or (order.repeatable and order.body.replayable)

    def _fresh_body(self) -> Body | None:
        body = self._order.body
        if body is None or self._producer is None or not self._producer.touched:
            return body
        return body.replay()

    # -- Sender -----------------------------------------------------------------------------------

    def peer_is_slow(self) -> None:
        self._watch.expect(SENDING, self._order.limits.idle_seconds)

    def peer_takes(self) -> None:
        self._watch.rest(SENDING)

    def all_sent(self) -> None:
        self._watch.expect(WAITING, self._order.limits.first_byte_seconds)

    # -- the answer -------------------------------------------------------------------------------

    def _respond(self) -> Response:
        answer = self._answer
        if not 200 <= answer.code <= 599:
            self._abort()
            raise BadAnswer(peer=self._order.origin.peer, reason="its status has no meaning")
        headers = _headers(answer, self._order.method)
        if answer.length == 0:
            self._end()
            return Response(answer.code, headers, BytesBody())
        length = None if answer.length is UNKNOWN_LENGTH else answer.length
        idle = self._order.limits.idle_seconds
        self._receiver = Receiver(length, self._watch, idle, self._abort, self._end)
        self._receiver.start(answer)
        return Response(answer.code, headers, self._receiver.body)

    def _abort(self) -> None:
        if self._protocol is not None:
            self._protocol.abort_now()

    def _end(self) -> None:
        self._watch.stop()
        if self._has_slot:
            self._has_slot = False
            self._shared.slots.release(self._order.origin)
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)

    # -- what goes wrong --------------------------------------------------------------------------

    def _late(self, seconds: float) -> None:
        peer = self._order.origin.peer
        self.cut(TimedOut(peer=peer, seconds=seconds, phase=self._watch.phase))

    def _translated(self, error: Exception) -> Exception:
        if self._error is not None:
            return self._error
        reasons = [failure.value for failure in getattr(error, "reasons", ())] or [error]
        if any(
            isinstance(reason, (CancelledError, ConnectingCancelledError)) for reason in reasons
        ):
            return CancelledError()
        if isinstance(error, RequestGenerationFailed):
            cause: Exception = reasons[0]  # what the request's body raised
            return cause
        if self._watch.phase == CONNECTING:
            return not_connected(self._order.origin.peer, reasons[0])
        if not any(isinstance(reason, (ConnectionClosed, RequestNotSent)) for reason in reasons):
            return BadAnswer(peer=self._order.origin.peer, reason="it is not HTTP/1.1")
        return self.lost()


def _kept_whole(url: str) -> bytes:
    """Twisted leaves out a semicolon at the end of a path, and so names something else: a DELETE of
    ``a/;`` would be one of ``a/``."""
    path, mark, query = url.partition("?")
    if path.endswith(";"):
        path = f"{path[:-1]}%3B"
    return f"{path}{mark}{query}".encode("ascii")


def _headers(answer: Any, method: str) -> Headers:
    headers = Headers()
    for name, values in answer.headers.getAllRawHeaders():
        for value in values:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
    # Twisted keeps the fields of the connection to itself; those of HEAD it passes on
    if method != "HEAD" and answer.length is not UNKNOWN_LENGTH and answer.code not in {204, 304}:
        headers["Content-Length"] = str(answer.length)
    return headers


def not_connected(peer: str, error: Exception) -> PigpenError:
    """What a failed attempt to connect is to users. :param error: one of FAILED."""
    if isinstance(error, Untrusted):
        return error
    if isinstance(error, (CertificateError, VerificationError)):
        return Untrusted(peer=peer, reason="its certificate is not valid for this name")
    if isinstance(error, TLSError) and "certificate verify failed" in str(error):
        reason = "its certificate is not valid: it expired, or no authority known here signed it"
        return Untrusted(peer=peer, reason=reason)
    return ConnectFailed(peer=peer, reason=_why(error))


def _why(error: Exception) -> str:
    """One line of what a lower layer says."""
    if isinstance(error, DNSLookupError):
        return "its name has no address"
    if isinstance(error, TLSError):
        return "it speaks no TLS that is known here"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    text = " ".join(str(error).split()).rstrip(".")
    return text[:200] or type(error).__name__
