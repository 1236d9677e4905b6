"""Connections of the HTTP client: how they are opened, secured, kept and given back."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions, TLSVersion, optionsForClientTLS
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol, ParseError, Request
from twisted.web.client import HTTPConnectionPool
from zope.interface import implementer

from pigpen.env import Env
from pigpen.errors import Untrusted

#: an answer's status line and fields, give or take what is read at once; ours are below 4 KiB
MAX_HEAD_BYTES = 64 * 1024
#: read from a socket at once; below a body's window, so that a quick reader never pauses it
READ_BYTES = 128 * 1024

#: judges the numeric address that a name has led to
MayReach = Callable[[str], bool]


class ElsewhereAddress(Untrusted):
    """{peer} was sent nothing: it lies at {address}, where nobody may be reached from here."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes. ``pin``: see `HttpClient.request`."""

    secure: bool
    host: str
    port: int
    pin: str | None = None

    @property
    def peer(self) -> str:
        """As messages name it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@implementer(IHandshakeListener)
class ClientProtocol(HTTP11ClientProtocol):
    """Twisted's HTTP/1.1 client, with what it lacks.

    A refusal or redirect that comes while the request is still being sent is delivered at once,
    and the sending stops; Twisted would first send on. So does an answer that makes no sense. The
    head of an answer is bounded. It says when TLS is ready.
    """

    def __init__(self, quiescent: Callable[[HTTP11ClientProtocol], None], pool: Pool) -> None:
        super().__init__(quiescent)  # type: ignore[no-untyped-call]
        self.requests = 0
        self.ready: Deferred[None] = Deferred()
        self._pool = pool
        self._head_bytes = 0
        self._early = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._pool.live[self] = None
        if ITCPTransport.providedBy(self.transport):
            # finds out about peers that vanished while the connection was idle
            self.transport.setTcpKeepAlive(True)
        # below TLS only the socket reads
        socket: Any = getattr(self.transport, "transport", self.transport)
        socket.bufferSize = READ_BYTES

    def handshakeCompleted(self) -> None:
        self.ready.callback(None)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._pool.lost(self)
        if not self.ready.called:
            _ = self.ready.addErrback(lambda _: None)  # nobody may be waiting
            self.ready.errback(reason)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    @property
    def answering(self) -> bool:
        """Whether something of the answer to the last request came."""
        return self._head_bytes > 0

    def request(self, request: Request) -> Deferred[Any]:
        self.requests += 1
        self._head_bytes = 0
        answer = super().request(request)
        if self._state == "TRANSMITTING" and self._responseDeferred is not None:
            _ = self._responseDeferred.addBoth(self._answered_early, answer, request)
        return answer

    def dataReceived(self, data: bytes) -> None:
        if self._parser is None:
            self.abort_now()  # nobody asked: not to be used again
            return
        self._head_bytes += len(data)
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        if self._head_bytes > MAX_HEAD_BYTES and self._parser is not None:
            if self._parser.state in {"STATUS", "HEADER"}:
                too_large = ParseError("the header fields are too large", b"")  # type: ignore[no-untyped-call]
                self._giveUp(Failure(too_large))  # type: ignore[no-untyped-call]

    def abort_now(self) -> None:
        """Cut the connection; what was not sent is dropped."""
        if self._currentRequest is not None:
            # the rest of an answer may be at hand already: it must not be kept for the next request
            self._currentRequest.persistent = False
        transport: Any = self.transport
        transport.abortConnection()

    def _answered_early(self, result: Any, answer: Deferred[Any], request: Request) -> Any:
        failed = isinstance(result, Failure)
        if self._state != "TRANSMITTING" or not (failed or result.code >= 300):
            return result
        # on as if all was sent; what is left of the answer ends the connection too
        self._early = True
        self._state = "WAITING"
        request.persistent = False
        request.stopWriting()
        if failed:
            answer.errback(result)
            return None
        answer.callback(result)
        return result

    def _giveUp(self, reason: Failure) -> None:
        if self._state == "TRANSMITTING_AFTER_RECEIVING_RESPONSE" and self._currentRequest:
            self._early = True
            self._currentRequest.stopWriting()
        if not self._early and isinstance(reason.value, ConnectionDone):
            super()._giveUp(reason)  # type: ignore[no-untyped-call]
            return
        # closing politely would first send what the peer will not read, or read its nonsense
        self.abort_now()
        self._disconnectParser(reason)  # type: ignore[no-untyped-call]


class _ProtocolFactory(Factory):
    noisy = False

    def __init__(self, quiescent: Callable[[HTTP11ClientProtocol], None], pool: Pool) -> None:
        self._quiescent = quiescent
        self._pool = pool

    def buildProtocol(self, addr: IAddress | None) -> ClientProtocol:
        return ClientProtocol(self._quiescent, self._pool)


class Pool(HTTPConnectionPool):
    """Keeps idle connections by origin, and knows all that are open."""

    retryAutomatically = False

    def __init__(self, clock: Any, max_idle: int, idle_seconds: float) -> None:
        super().__init__(clock, persistent=True)  # type: ignore[no-untyped-call]
        self.maxPersistentPerHost = max_idle
        self.cachedConnectionTimeout = idle_seconds  # type: ignore[assignment]
        #: open connections, in the order they were made
        self.live: dict[ClientProtocol, None] = {}
        self._empty: list[Deferred[None]] = []

    def _factory(self, quiescent: Any, _: str) -> _ProtocolFactory:  # type: ignore[override]
        return _ProtocolFactory(quiescent, self)

    def getConnection(self, key: Any, endpoint: Any) -> Deferred[Any]:
        """:param endpoint: a `Connector`."""
        key = (*key, endpoint.origin.pin)
        get = self._newConnection if endpoint.fresh else super().getConnection
        return get(key, endpoint).addCallback(endpoint.connected)

    def lost(self, protocol: ClientProtocol) -> None:
        self.live.pop(protocol, None)
        if not self.live:
            waiting, self._empty = self._empty, []
            for done in waiting:
                done.callback(None)

    def close(self) -> Deferred[None]:
        """Cut all connections; fires when they are gone."""
        done: Deferred[None] = Deferred()
        self._empty.append(done)
        for call in self._timeouts.values():
            call.cancel()
        self._timeouts.clear()
        self._connections.clear()
        for protocol in list(self.live):
            protocol.abort_now()
        if not self.live and not done.called:
            self._empty.remove(done)
            done.callback(None)
        return done


class Slots:
    """How many connections are in use to each origin; who finds none free waits in line."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: dict[Origin, DeferredSemaphore] = {}

    def acquire(self, origin: Origin) -> Deferred[Any]:
        """Fires when one is free; cancelling it leaves the line."""
        line = self._lines.get(origin)
        if line is None:
            line = self._lines[origin] = DeferredSemaphore(self._limit)
        return line.acquire()

    def release(self, origin: Origin) -> None:
        line = self._lines[origin]
        line.release()
        if line.tokens == self._limit:
            del self._lines[origin]


@implementer(IStreamClientEndpoint)
class Connector:
    """Opens a connection to an origin; it is ready when TLS is, and the pinned key was shown."""

    def __init__(
        self, env: Env, origin: Origin, trust: Trust, on_connected: Callable[[ClientProtocol], None]
    ) -> None:
        self.origin = origin
        #: whether no connection that was kept will do
        self.fresh = False
        self._env = env
        self._trust = trust
        self._on_connected = on_connected

    def connected(self, protocol: ClientProtocol) -> ClientProtocol:
        """The pool has found or made a connection."""
        self._on_connected(protocol)
        return protocol

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: IProtocolFactory) -> ClientProtocol:
        endpoint = self._env.client_endpoint(self.origin.host, self.origin.port)
        if self.origin.secure:
            creator = self._trust.creator(self.origin)
            endpoint = wrapClientTLS(creator, endpoint, clock=self._env.clock)
        protocol = cast(ClientProtocol, await endpoint.connect(factory))
        ready = False
        try:
            self._check_address(protocol)
            if self.origin.secure:
                await protocol.ready
                self._check_pin(protocol)
            ready = True
        finally:
            if not ready:
                protocol.abort_now()
        return protocol

    def _check_address(self, protocol: ClientProtocol) -> None:
        # of the connection, not of the name: that may lead elsewhere the next time
        if self._trust.may_reach is not None:
            transport: Any = protocol.transport
            address: str = transport.getPeer().host
            if not self._trust.may_reach(address):
                raise ElsewhereAddress(peer=self.origin.peer, address=address)

    def _check_pin(self, protocol: ClientProtocol) -> None:
        transport: Any = protocol.transport
        if self.origin.pin is not None and key_pin(transport) != self.origin.pin:
            raise Untrusted(
                peer=self.origin.peer, reason="it shows another key than the one announced"
            )


def key_pin(transport: Any) -> str:
    """The pin of a TLS peer: base64 of the SHA-256 of its public key (SubjectPublicKeyInfo)."""
    key = transport.getPeerCertificate().to_cryptography().public_key()
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(encoded).digest()).decode("ascii")


class Trust:
    """Whom a client believes: authorities, or for a pinned origin only its key. TLS >= 1.2."""

    def __init__(self, root: Any = None, may_reach: MayReach | None = None) -> None:
        """:param root: an IOpenSSLTrustRoot or a certificate; None: the system's authorities.
        :param may_reach: None: any address."""
        self.may_reach = may_reach
        self._root = root
        # making a context reads the authorities from disk; a host's is used again
        self.creator = lru_cache(maxsize=64)(self._creator)

    def _creator(self, origin: Origin) -> IOpenSSLClientConnectionCreator:
        if origin.pin is not None:
            return _PinnedTLS(origin.host)
        extra = {"insecurelyLowerMinimumTo": TLSVersion.TLSv1_2}
        options: IOpenSSLClientConnectionCreator = optionsForClientTLS(
            origin.host, self._root, extraCertificateOptions=extra
        )
        return options


@implementer(IOpenSSLClientConnectionCreator)
class _PinnedTLS:
    """TLS whose certificate nobody signed for us: `Connector` compares its key."""

    def __init__(self, host: str) -> None:
        named = not isIPAddress(host) and not isIPv6Address(host)  # RFC 6066 3
        self._name = host.encode("idna") if named else None
        options = CertificateOptions(insecurelyLowerMinimumTo=TLSVersion.TLSv1_2)
        self._context: SSL.Context = options.getContext()

    def clientConnectionForTLS(self, _: object) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if self._name is not None:
            connection.set_tlsext_host_name(self._name)
        return connection
