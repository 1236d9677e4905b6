"""HttpClient: the one HTTP/1.1 client of all parts.

What streams up goes by an `Exchange`, over treq and Twisted's Agent; all else is a call (`Calls`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pigpen.env import Env
from pigpen.errors import BadField, ConnectFailed
from pigpen.http.body import Body, BytesBody
from pigpen.http.message import Headers, Response
from pigpen.web.connections import MayReach, Origin, Trust
from pigpen.web.exchange import ClientLimits, Exchange, Order, Shared

if TYPE_CHECKING:
    from pigpen.web.calls import Calls

__all__ = ["ClientLimits", "HttpClient"]

# RFC 9110 5.5: visible ASCII, spaces, tabs, and bytes above; never what could split a field
_VALUE = re.compile("[\t\x20-\x7e\x80-\xff]*")
_NAME = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL = re.compile("[!-~]+")
#: what the connection is about is ours to say
_OURS = frozenset(
    ["connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te",
     "trailer", "transfer-encoding", "upgrade"]
)  # fmt: skip

#: of a body that is sent in one piece with its head, if it is in memory
MAX_CALL_BYTES = 64 * 1024

_DEFAULT_LIMITS = ClientLimits()


class HttpClient:
    """Requests over connections that are kept, with a limit for every wait.

    It follows no redirect, keeps no cookie, unpacks nothing and adds no credentials: what is given
    is sent to the one URL that is given.
    """

    def __init__(
        self,
        env: Env,
        limits: ClientLimits = _DEFAULT_LIMITS,
        *,
        trust_root: Any = None,
        may_reach: MayReach | None = None,
    ) -> None:
        """:param trust_root: an authority's certificate, or any IOpenSSLTrustRoot, to believe
        instead of the system's authorities. :param may_reach: who lies at an address that it
        refuses is sent nothing, whatever name led there; None: it refuses none."""
        self._limits = limits
        self._shared = Shared(env, limits, Trust(trust_root, may_reach))
        self._calls: Calls | None = None
        self._running: dict[Exchange, None] = {}
        self._closed = False

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers | None = None,
        body: Body | None = None,
        pin: str | None = None,
        limits: ClientLimits | None = None,
        deadline: float | None = None,
        repeatable: bool = False,
    ) -> Response:
        """Send one request; returns when the head of the answer is there.

        Read the answer's body to its end, and the connection is kept, or close it, and the exchange
        ends at once. It raises `BodyAborted` if it was cut, `TimedOut` if the peer fell silent.
        The request's body is closed once it was asked for a byte; before that it is left alone, so
        that it may be sent elsewhere. What it raises ends the request and is raised here.

        :param url: absolute, http or https, percent-encoded.
        :param pin: base64 of the SHA-256 of the peer's public key, which an https peer must show
            instead of a certificate that an authority signed.
        :param limits: other times for this request; the client's own count of connections stays.
        :param deadline: on the clock of the Env, for all of it, the answer's body too.
        :param repeatable: sending the request twice does no harm. Then, as always with GET and
            HEAD, it is sent once more if a kept connection was closed before anything came back.
        :raises ConnectFailed: nothing was sent. :raises ConnectionLost: no answer came.
        :raises TimedOut: nor in time. :raises BadAnswer: it was no HTTP.
        """
        if self._closed:
            raise ConnectFailed(peer=_peer(url), reason="this client is closed")
        limits = self._limits if limits is None else limits
        origin, target = _taken_apart(url, pin)
        fields = _outgoing(headers)
        sent = None if body is None or body.length == 0 else body
        order = Order(method, url, origin, target, fields, sent, limits, deadline, repeatable)
        if sent is None:
            return await self._kept_calls().call(order, b"")
        if isinstance(sent, BytesBody) and len(sent.data) <= MAX_CALL_BYTES:
            return await self._kept_calls().call(order, sent.data)
        exchange = Exchange(self._shared, order, self._ended)
        self._running[exchange] = None
        return await exchange.run()

    @property
    def busy(self) -> int:
        """Requests that are under way; until the end of the answer's body."""
        return len(self._running) + (0 if self._calls is None else self._calls.busy)

    def _kept_calls(self) -> Calls:
        if self._calls is None:
            from pigpen.web.calls import Calls  # not before it is needed

            self._calls = Calls(self._shared, self._limits)
        return self._calls

    async def close(self) -> None:
        """Cut what is running, close all connections; returns when they are gone."""
        self._closed = True
        if self._calls is not None:
            await self._calls.close()
        for exchange in list(self._running):
            exchange.cut(exchange.lost())
        await self._shared.pool.close()

    def _ended(self, exchange: Exchange) -> None:
        del self._running[exchange]


def _taken_apart(url: str, pin: str | None) -> tuple[Origin, str]:
    """:return: where a request goes, and the path and query it asks for there."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConnectFailed(peer=_peer(url), reason="this is no URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _URL.fullmatch(url):
        raise ConnectFailed(peer=_peer(url), reason="this is no http or https URL")
    if parts.username is not None or parts.password is not None:
        raise ConnectFailed(peer=parts.hostname, reason="credentials do not belong into a URL")
    secure = parts.scheme == "https"
    if pin is not None and not secure:
        raise ConnectFailed(peer=parts.hostname, reason="only an https peer can show a key")
    if port is None:
        port = 443 if secure else 80
    target = url.partition("://")[2].partition("#")[0][len(parts.netloc) :]
    if not target.startswith("/"):
        target = "/" + target
    return Origin(secure, parts.hostname, port, pin), target


def _peer(url: str) -> str:
    """What of a URL an error may show: not a password, nor the path, which has transfers' ids."""
    authority = url.partition("://")[2].partition("/")[0]
    return authority.rpartition("@")[2] or "a server"


def _outgoing(headers: Headers | None) -> list[tuple[bytes, bytes]]:
    """:raises BadField: a field could be taken for more than one."""
    outgoing: list[tuple[bytes, bytes]] = []
    named = False
    for name, value in () if headers is None else headers.items():
        lower = name.lower()
        if lower in _OURS:
            continue
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadField(field=repr(name), reason="it holds a character that is not allowed")
        named = named or lower == "user-agent"
        outgoing.append((name.encode("ascii"), value.encode("latin-1")))
    if not named:
        outgoing.append((b"User-Agent", b"pigpen"))
    return outgoing
