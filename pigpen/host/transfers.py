"""TransferHandler: what strangers may ask of a host: /x/UUID, and nothing else (CLD-24)."""

from __future__ import annotations

from pigpen.errors import Conflict
from pigpen.host.abandoning import abandon
from pigpen.host.downloads import Downloads
from pigpen.host.live import Live
from pigpen.host.small_uploads import small_upload
from pigpen.host.uploads import OFFSET, Upload, UploadTools, current_offset
from pigpen.http.answers import check_method, json_answer
from pigpen.http.message import Handler, Headers, Request, Response


class TransferHandler:
    """Finds the expectation and lets it happen."""

    def __init__(self, downloads: Downloads, uploads: UploadTools) -> None:
        self._downloads = downloads
        self._uploads = uploads
        self._table = uploads.table

    async def handle(self, request: Request) -> Response:
        """:raises NotExpected: unknown, over, or otherwise not announced: all look alike."""
        check_method(request, "GET", "HEAD", "PUT", "DELETE")
        names = request.key.names
        if len(names) != 1 or request.key.collection or request.query_string:
            raise self._table.violation("target")
        live = self._table.find(names[0], request.caller.address)
        if live.is_put:
            return await self._put(names[0], live, request)
        reads = {"HEAD"} if live.expectation.method == "HEAD" else {"GET", "HEAD"}
        if request.method not in reads:
            raise self._table.violation("method")
        return await self._downloads.answer(live, request)

    async def _put(self, uuid: str, live: Live, request: Request) -> Response:
        if request.method == "PUT":
            small = small_upload(self._uploads, uuid, live, request)
            if small is not None:
                return await small.begin()
            return await Upload(self._uploads, uuid, live, request).answer()
        if request.method == "DELETE":
            return await abandon(self._uploads, uuid, live)
        if request.method == "GET":
            return json_answer(200, live.state)
        return await self._offset(live)

    async def _offset(self, live: Live) -> Response:
        """How far an upload came (CLD-37)."""
        await self._uploads.displace(live.expectation.blob)
        if live.running:
            raise Conflict(reason="this upload is under way on another connection")
        done = live.state.state == "committed"
        have = 0 if live.state.state == "refused" else current_offset(self._uploads.parts, live)
        headers = Headers({"Cache-Control": "no-store"})
        headers[OFFSET] = str(have)
        headers["Upload-Complete"] = "?1" if done else "?0"
        return Response(204, headers)


_is_handler: type[Handler] = TransferHandler
