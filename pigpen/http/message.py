"""Request, Response, Handler, Store: the types all parts of pigpen speak. No I/O."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol, Self
from urllib.parse import parse_qsl

import msgspec
from multidict import CIMultiDict, MultiDict

from pigpen.errors import BadRequest
from pigpen.http.body import Body, BytesBody
from pigpen.http.field_lines import FieldLines
from pigpen.http.key import Key

#: header fields: names in any case, values as latin-1 text
Headers = CIMultiDict[str]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the peer's address ("" if there is none) and, once known, the account's login."""

    address: str = ""
    account: str | None = None


NOBODY = Caller()


class _Asked(msgspec.Struct):
    """What is given by position."""

    method: str
    key: Key


class Request(_Asked, kw_only=True, eq=False):
    """One HTTP request.

    ``deadline`` is absolute, on the clock of the service's Env; None: no limit. ``secure``: it
    came over TLS. ``http11``: the client spoke HTTP/1.1, so it understands 100 Continue and chunks.
    """

    query_string: str = ""
    headers: Headers = msgspec.field(default_factory=Headers)
    body: Body = msgspec.field(default_factory=BytesBody)
    deadline: float | None = None
    caller: Caller = NOBODY
    secure: bool = False
    http11: bool = True

    @property
    def query(self) -> MultiDict[str]:
        """The decoded query; a name without ``=`` has the value "".

        :raises BadRequest: it has over 100 fields.
        """
        if not self.query_string:
            return MultiDict()
        try:
            fields = parse_qsl(self.query_string, keep_blank_values=True, max_num_fields=100)
        except ValueError:
            raise BadRequest(reason="the query has more than 100 fields") from None
        return MultiDict(fields)

    def replace(self, **changes: object) -> Self:
        """A copy with some attributes changed; the body is shared, so use only one of the two."""
        return msgspec.structs.replace(self, **changes)

    def below(self, depth: int, more: int = 0) -> Self:
        """A copy whose key is relative to its first ``depth`` names: what a mount hands on.

        :param more: names that its handler takes off in its turn: they do not count.
        :raises KeyTooLong: over 4,096 bytes are left.
        """
        return self.replace(key=self.key.below(depth, more))

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.key}>"


class Outcome(enum.Enum):
    """What an answer means (CMB-1). No answer is an exception, so it is not here."""

    HIT = "hit"
    MISS = "miss"
    REFUSAL = "refusal"
    ERROR = "error"


_NO_LINES = FieldLines(Headers())


class Response:
    """One HTTP response, of any status.

    ``prepared``: its fields, if their lines were made before, for many responses.
    """

    __slots__ = ("_headers", "body", "prepared", "status")

    def __init__(
        self,
        status: int,
        headers: Headers | None = None,
        body: Body | None = None,
        *,
        prepared: FieldLines | None = None,
    ) -> None:
        self.status = status
        self._headers = headers
        self.body: Body = BytesBody() if body is None else body
        self.prepared = prepared

    @property
    def headers(self) -> Headers:
        """This response's own, to be changed at will: then nothing is prepared any more."""
        headers = self._headers
        if headers is None:
            prepared, self.prepared = self.prepared, None
            headers = Headers() if prepared is None else prepared.headers.copy()
            self._headers = headers
        return headers

    @headers.setter
    def headers(self, headers: Headers) -> None:
        self._headers = headers
        self.prepared = None

    @property
    def lines(self) -> FieldLines:
        """The fields as text. :raises ValueError: they cannot be sent."""
        return self.prepared or (FieldLines(self._headers) if self._headers else _NO_LINES)

    @property
    def outcome(self) -> Outcome:
        if self.status < 400:
            return Outcome.HIT
        if self.status in {404, 410}:
            return Outcome.MISS
        return Outcome.REFUSAL if self.status < 500 else Outcome.ERROR

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


class Handler(Protocol):
    """Anything that turns one request into one response."""

    async def handle(self, request: Request) -> Response:
        """Answer. The request's body is the handler's: it reads it to its end, or leaves it.

        :raises NoAnswer: a peer below gave no answer. :raises PigpenError: the face answers so.
        """


class Capability(enum.Enum):
    """What a store can do; asked for before a composition runs."""

    GET = "get"
    PUT = "put"
    DELETE = "delete"
    LIST = "list"
    RANGE = "range"
    CONDITIONAL_GET = "conditional-get"
    CONDITIONAL_PUT = "conditional-put"
    DURABLE = "durable"


class Store(Handler, Protocol):
    """A handler that keeps values under keys."""

    @property
    def capabilities(self) -> frozenset[Capability]: ...
