"""Gateway: the cloud as a plain HTTP server for programs on this machine.

GET, HEAD KEY    the bytes, ranges and conditions too     PUT KEY       store
GET KEY/         the listing, a line of JSON each          DELETE KEY
"""

from __future__ import annotations

from urllib.parse import urlsplit

from twisted.logger import Logger

from pigpen.client.download import Download, open_download
from pigpen.client.inputs import PipeInput
from pigpen.client.session import Session
from pigpen.client.upload import Upload
from pigpen.errors import Forbidden, Misdirected, NoAnswer, NotBuilt, Refused
from pigpen.http import wire
from pigpen.http.answers import NDJSON, json_answer
from pigpen.http.body import Body
from pigpen.http.conditions import Conditions, Validators
from pigpen.http.fields import format_digest
from pigpen.http.key import Key
from pigpen.http.message import Handler, Headers, Request, Response
from pigpen.http.ranges import ByteRange
from pigpen.http.representation import answer_get

#: names under which a program on this machine calls a server on it; others come from web pages
#: that resolve a name of their own to loopback
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_PASSED = ("Content-Type", "ETag", "Last-Modified", "Repr-Digest", "Content-Location")


class Gateway:
    """A handler over one account of the cloud; it asks for no login, so it is for loopback."""

    log = Logger()

    def __init__(self, session: Session, *, anywhere: bool = False) -> None:
        """:param anywhere: another server is in front, which decides who may come, by what name."""
        self._session = session
        self._anywhere = anywhere

    @property
    def handler(self) -> Handler:
        return self

    async def start(self) -> None:
        """:raises PigpenError: the coordinator does not know the access key, or is not there."""
        account = await self._session.account()
        self.log.info("serving the cloud of {login}", login=account.login)

    async def stop(self) -> None:
        return None

    async def handle(self, request: Request) -> Response:
        if not self._anywhere:
            _check_name(request)
        _check_origin(request)
        try:
            match request.method:
                case "GET":
                    return await self._get(request)
                case "HEAD":
                    return await self._head(request)
                case "PUT":
                    return await self._put(request)
                case "DELETE":
                    await self._session.delete(request.key)
                    return Response(204)
        except Refused as error:
            return _refused(error)
        raise NotBuilt(reason=f"{request.method} is not supported")

    async def _get(self, request: Request) -> Response:
        if request.key.collection:
            return await self._listing(request)
        try:
            download = await open_download(self._session, request.key)
        except Refused as error:
            if error.facts["code"] != "collection":
                raise
            return await self._listing(request)
        return _download_answer(request, download)

    async def _listing(self, request: Request) -> Response:
        query = {name: request.query[name] for name in ("depth", "after", "limit")
                 if name in request.query}  # fmt: skip
        key = Key(request.key.names, True)
        headers = Headers({"Accept": NDJSON})
        answer = await self._session.call("GET", key, query, headers=headers)
        return Response(answer.status, _passed(answer.headers), answer.body)

    async def _head(self, request: Request) -> Response:
        headers = Conditions.from_headers(request.headers).to_headers()
        query = {"redirect": "false"}
        answer = await self._session.call("HEAD", request.key, query, headers=headers)
        fields = _passed(answer.headers)
        if "Content-Length" in answer.headers:
            fields["Content-Length"] = answer.headers["Content-Length"]
        return Response(200, fields, answer.body)

    async def _put(self, request: Request) -> Response:
        headers = Conditions.from_headers(request.headers).to_headers()
        if "Content-Range" in request.headers:
            raise Refused(message="A part cannot be stored.", status=400, code="bad-request")
        if "Content-Type" in request.headers:
            headers["Content-Type"] = request.headers["Content-Type"]
        upload = Upload(self._session, request.key, PipeInput(request.body), headers)
        stored = await upload.run()
        return Response(204 if stored.replaced else 201, Headers({"ETag": stored.etag}))


def _check_name(request: Request) -> None:
    """Keep web pages out: a browser on this machine reaches loopback, whoever wrote the page.

    :raises Misdirected: the Host field is a name of somebody else (DNS rebinding).
    """
    name = urlsplit(f"//{request.headers.get('Host', 'localhost')}").hostname
    if name not in LOOPBACK_NAMES:
        raise Misdirected


def _check_origin(request: Request) -> None:
    """:raises Forbidden: the request comes from a page of another origin."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        raise Forbidden(reason="web pages of other servers may not use this one")


def _download_answer(request: Request, download: Download) -> Response:
    offer = download.offer
    headers = Headers(
        {
            "Content-Type": offer.content_type,
            "Repr-Digest": format_digest(bytes.fromhex(offer.digest)),
            "Cache-Control": "no-cache",
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox",
        }
    )

    def part(offset: int, length: int) -> Body:
        if length == offer.length:
            return download.body()
        return download.body(ByteRange(offset, offset + length - 1))

    validators = Validators(offer.etag, offer.modified // 1000)
    return answer_get(request, validators, offer.length, part, headers)


def _passed(headers: Headers) -> Headers:
    return Headers({name: headers[name] for name in _PASSED if name in headers})


def _refused(error: Refused) -> Response:
    status = int(str(error.facts["status"]))
    if status == 304:
        return Response(304)
    if not 400 <= status <= 599 or status == 401:
        # our own key was refused: that is between us and the coordinator
        status = NoAnswer.status
    headers = Headers()
    if error.facts.get("retry_after") is not None:
        headers["Retry-After"] = str(error.facts["retry_after"])
    return json_answer(status, wire.Problem(str(error.facts["code"]), error.message), headers)


_is_handler: type[Handler] = Gateway
