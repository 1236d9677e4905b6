"""HandlerResource: any handler in an ordinary twisted.web tree.

    root.putChild(b"remote", HandlerResource(handler, env))

For sites that have a twisted.web server already. That server has received the whole request body,
to a file if it is large, before we are asked; `web.server` has no such limit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from pigpen.env import Env
from pigpen.errors import BadKey, KeyTooLong, NotFound, PigpenError
from pigpen.http.answers import error_answer
from pigpen.http.body import CHUNK_BYTES, BaseBody, Body
from pigpen.http.key import Key
from pigpen.http.message import Caller, Handler, Headers, Request, Response

#: what belongs to the connection, which is the site's
_HOP_BY_HOP = frozenset(["connection", "keep-alive", "te", "trailer", "transfer-encoding",
                         "upgrade", "proxy-connection"])  # fmt: skip


@implementer(IResource)
class HandlerResource:
    """A leaf that hands all paths below its own to a handler."""

    isLeaf = True

    def __init__(self, handler: Handler, env: Env) -> None:
        self._handler = handler
        self._env = env

    def getChildWithDefault(self, name: bytes, request: IRequest) -> IResource:
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        raise TypeError("mount it in a ResourceTree instead")

    def render(self, request: Any) -> int:
        _Rendering(self._handler, request, len(request.prepath)).start()
        return NOT_DONE_YET


#: places of one resource in trees that get a handler each; more than anybody mounts
MAX_PLACES = 100


class PlacedResource(HandlerResource):
    """A leaf whose handler must know where it is: it is given whole paths."""

    def __init__(self, make: Callable[[Key], Handler], env: Env) -> None:
        """:param make: called with the path of the resource, once for each place it is at."""
        self._made = lru_cache(MAX_PLACES)(make)
        super().__init__(_Nowhere(), env)

    def render(self, request: Any) -> int:
        handler: Handler = _Nowhere()
        with contextlib.suppress(BadKey, KeyTooLong):  # as with the whole path: 400
            handler = self._made(_place(request))
        _Rendering(handler, request, 0).start()
        return NOT_DONE_YET


class _Nowhere:
    """Where nothing can be."""

    async def handle(self, request: Request) -> Response:
        raise NotFound


class _SpooledBody(BaseBody):
    """What twisted.web has collected: memory, or a file of its own."""

    __slots__ = ("_content", "length")

    def __init__(self, content: Any) -> None:
        self._content = content
        content.seek(0, 2)
        self.length = content.tell()
        content.seek(0)

    async def __anext__(self) -> bytes:
        chunk: bytes = self._content.read(CHUNK_BYTES)
        if not chunk:
            raise StopAsyncIteration
        return chunk


class _Rendering:
    """One request; the push producer of its response."""

    log = Logger()

    def __init__(self, handler: Handler, request: Any, above: int) -> None:
        """:param above: how many names of the path the handler does not see."""
        self._handler = handler
        self._request = request
        self._above = above
        self._gone = False
        self._room: Deferred[None] | None = None
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        _ = self._request.notifyFinish().addErrback(self._client_left)
        self._running = Deferred.fromCoroutine(self._run())
        _ = self._running.addErrback(self._failed)

    async def _run(self) -> None:
        try:
            response = await self._handler.handle(_translated(self._request, self._above))
        except PigpenError as error:
            response = error_answer(error)
        try:
            self._write_head(response)
            if self._request.method != b"HEAD":
                await self._write_body(response.body)
        finally:
            await response.body.aclose()
        if not self._gone:
            self._request.finish()

    def _write_head(self, response: Response) -> None:
        request = self._request
        request.setResponseCode(response.status)
        for name in dict.fromkeys(response.headers):
            if name.lower() not in _HOP_BY_HOP:
                values = [value.encode("latin-1") for value in response.headers.getall(name)]
                request.responseHeaders.setRawHeaders(name.encode("latin-1"), values)
        if response.status in {204, 304} or request.method == b"HEAD":
            return
        if response.body.length is not None:
            request.setHeader(b"content-length", b"%d" % response.body.length)

    async def _write_body(self, body: Body) -> None:
        self._request.registerProducer(self, True)
        try:
            async for chunk in body:
                if self._gone:
                    return
                self._request.write(chunk)
                if self._room is not None:
                    await self._room
        finally:
            if not self._gone:
                self._request.unregisterProducer()

    # -- IPushProducer ----------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        if self._room is None:
            self._room = Deferred()

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost: `notifyFinish` says so too."""

    # -- ends -------------------------------------------------------------------------------------

    def _client_left(self, _: Failure) -> None:
        self._gone = True
        if self._running is not None:
            self._running.cancel()

    def _failed(self, failure: Failure) -> None:
        if self._gone and isinstance(failure.value, (CancelledError, PigpenError)):
            return
        if not isinstance(failure.value, PigpenError):
            self.log.failure("a handler failed", failure=failure)
        self._cut()

    def _cut(self) -> None:
        """Without an answer, 500; after the first byte only an abort says that it is not whole."""
        if self._gone:
            return
        if self._request.startedWriting:
            self._request.transport.abortConnection()
            return
        answer = error_answer(PigpenError())
        for name, _ in list(self._request.responseHeaders.getAllRawHeaders()):
            self._request.responseHeaders.removeHeader(name)
        self._write_head(answer)
        self._request.write(answer.body.data)  # type: ignore[attr-defined]
        self._request.finish()


def _place(request: Any) -> Key:
    """The path of the resource that answers a request. :raises BadKey: it is no key."""
    names = request.path.split(b"/")[1 : 1 + len(request.prepath)]
    return Key(Key.from_path("/" + b"/".join(names).decode("latin-1")).names, True)


def _translated(request: Any, above: int) -> Request:
    """:raises BadKey: the path below the mount is no key."""
    # twisted.web's own pieces of the path are decoded, so that they cannot be told apart
    names = request.path.split(b"/")[1 + above :]
    path = b"/" + b"/".join(names)
    headers = Headers()
    for name, values in request.requestHeaders.getAllRawHeaders():
        for value in values:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
    return Request(
        request.method.decode("latin-1"),
        Key.from_path(path.decode("latin-1"), encoded_slash=True),
        query_string=request.uri.partition(b"?")[2].decode("latin-1"),
        headers=headers,
        body=_SpooledBody(request.content),
        caller=Caller(address=getattr(request.getClientAddress(), "host", "") or ""),
        secure=request.isSecure(),
        http11=request.clientproto == b"HTTP/1.1",
    )
