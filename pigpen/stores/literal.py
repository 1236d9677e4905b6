"""Stores without a memory: one value, nothing, an error (CMB-53)."""

from __future__ import annotations

from pigpen.errors import MethodNotAllowed, NotFound
from pigpen.http.answers import NDJSON, check_method, json_answer
from pigpen.http.message import Capability, Headers, Request, Response, Store
from pigpen.http.wire import Problem
from pigpen.stores.answering import answering
from pigpen.stores.listing import asks_for_list, list_answer
from pigpen.stores.value import Value

MAX_LITERAL_BYTES = 1024 * 1024


class LiteralStore:
    """Gives the same value under every key; a listing shows it once, as ``value``."""

    capabilities = frozenset(
        {Capability.GET, Capability.LIST, Capability.RANGE, Capability.CONDITIONAL_GET}
    )

    def __init__(
        self, body: bytes, *, status: int = 200, content_type: str = "text/plain", modified: int = 0
    ) -> None:
        """:param status: another than 200 is answered whatever the range and the conditions.
        :param modified: seconds since 1970. :raises ValueError: over 1 MiB."""
        if len(body) > MAX_LITERAL_BYTES:
            raise ValueError(f"a literal has at most {MAX_LITERAL_BYTES} bytes")
        self._status = status
        self._value = Value.of(body, modified, (("Content-Type", content_type),))

    @answering
    async def handle(self, request: Request) -> Response:
        check_method(request, "GET", "HEAD")
        # mounted under one path, the value's own key is the root
        if asks_for_list(request) and NDJSON in request.headers.get("Accept", ""):
            return list_answer(request, [self._value.line("value")])
        if self._status == 200:
            return self._value.answer(request)
        plain = request.replace(headers=Headers())
        answer = self._value.answer(plain)
        answer.status = self._status
        return answer


class NullStore:
    """Takes everything and has nothing."""

    capabilities = frozenset({Capability.GET, Capability.PUT, Capability.DELETE, Capability.LIST})

    @answering
    async def handle(self, request: Request) -> Response:
        check_method(request, "GET", "HEAD", "PUT", "DELETE")
        if request.method == "PUT":
            if request.key.collection:
                raise MethodNotAllowed(method="PUT", allow="GET, HEAD")
            try:
                async for _ in request.body:
                    pass
            finally:
                await request.body.aclose()
            return Response(204)
        if asks_for_list(request):
            return list_answer(request, [])
        raise NotFound


class ErrorStore:
    """Answers everything with one status and reads no body."""

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, status: int, *, retry_after: int | None = None) -> None:
        """:param retry_after: seconds."""
        self._status = status
        self._retry_after = retry_after

    async def handle(self, request: Request) -> Response:
        headers = Headers()
        if self._retry_after is not None:
            headers["Retry-After"] = str(self._retry_after)
        problem = Problem("configured", "This path is configured to answer so.")
        return json_answer(self._status, problem, headers)


_are_stores: tuple[type[Store], ...] = (LiteralStore, NullStore, ErrorStore)
