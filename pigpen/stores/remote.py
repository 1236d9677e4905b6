"""RemoteStore: a store on another machine that speaks plain HTTP."""

from __future__ import annotations

from pigpen.errors import BadAnswer, RangeNotSatisfiable
from pigpen.http.answers import check_method
from pigpen.http.message import Capability, Headers, Request, Response, Store
from pigpen.http.ranges import ContentRange, parse_content_range, parse_range
from pigpen.stores.answering import answering
from pigpen.web.client import ClientLimits, HttpClient

ALL = frozenset(Capability) - {Capability.DURABLE}

#: what of a request concerns the store; never Authorization, cookies, or the caller's address
_SENT = (
    "Accept", "Cache-Control", "Content-Disposition", "Content-Digest", "Content-Encoding",
    "Content-Language", "Content-Range", "Content-Type", "If-Match", "If-Modified-Since",
    "If-None-Match", "If-Range", "If-Unmodified-Since", "Priority", "Range", "Repr-Digest",
)  # fmt: skip
#: what of an answer concerns only the connection to it, or its own clients
_DROPPED = ("Alt-Svc", "Set-Cookie", "Strict-Transport-Security", "Server")


class RemoteStore:
    """Passes requests on to a server, and its answers back: ranges, conditions and listings too.

    Callers' credentials are not passed on; the server sees only those given here. Redirects are
    not followed: they are answers.
    """

    def __init__(
        self,
        client: HttpClient,
        url: str,
        *,
        headers: Headers | None = None,
        pin: str | None = None,
        limits: ClientLimits | None = None,
        capabilities: frozenset[Capability] = ALL,
    ) -> None:
        """:param url: of the root; keys are appended to its path.
        :param headers: sent with every request, such as Authorization.
        :param pin: see `HttpClient.request`. :param capabilities: what the server is known to do.
        """
        self.capabilities = capabilities
        self._client = client
        self._url = url.rstrip("/")
        self._headers = Headers() if headers is None else headers
        self._pin = pin
        self._limits = limits

    @answering
    async def handle(self, request: Request) -> Response:
        """:raises NoAnswer: the server gave none, or one that does not fit the request."""
        check_method(request, "GET", "HEAD", "PUT", "DELETE")
        query = "?" + request.query_string if request.query_string else ""
        response = await self._client.request(
            request.method,
            self._url + request.key.to_path() + query,
            headers=self._outgoing(request),
            body=request.body if request.method == "PUT" else None,
            pin=self._pin,
            limits=self._limits,
            deadline=request.deadline,
        )
        for name in _DROPPED:
            response.headers.popall(name, None)
        reason = _mismatch(request, response)
        if reason is not None:
            await response.body.aclose()
            raise BadAnswer(peer=self._url, reason=reason)
        return response

    def _outgoing(self, request: Request) -> Headers:
        headers = self._headers.copy()
        for name in _SENT:
            for value in request.headers.getall(name, ()):
                headers.add(name, value)
        return headers


def _mismatch(request: Request, response: Response) -> str | None:
    """Why the bytes are not those that were asked for; None if they are (CMB-5)."""
    field = response.headers.get("Content-Range")
    if response.status == 200 and field is not None:
        return "a whole value has no Content-Range"
    if response.status != 206:
        return None
    part = parse_content_range(field)
    if part is None or part.range is None:
        return "its Content-Range is missing or malformed"
    if request.method != "GET" or not _asked_for(request.headers.get("Range"), part):
        return "it is not the range that was asked for"
    if response.body.length not in {None, part.range.length}:
        return "its length is not that of its range"
    return None


def _asked_for(field: str | None, part: ContentRange) -> bool:
    assert part.range is not None
    # where the total is not told, only a range with both ends can be compared
    total = part.range.last + 1 if part.total is None else part.total
    try:
        return parse_range(field, total) == part.range
    except RangeNotSatisfiable:
        return False


_is_store: type[Store] = RemoteStore
