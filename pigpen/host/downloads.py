"""Download: a GET or HEAD of a blob that was announced (CLD-24, CLD-43)."""

from __future__ import annotations

from pigpen.errors import BadBlob, NotExpected, PreconditionFailed, RangeNotSatisfiable
from pigpen.host.blob_head import BlobHead
from pigpen.host.expectations import Expectations
from pigpen.host.files import OpenBlob, OpenFiles
from pigpen.host.live import Live
from pigpen.http.body import FileBody
from pigpen.http.message import Request, Response
from pigpen.http.representation import Selection, select


class Downloads:
    """Answers from open files; the server sends them, by sendfile where it can."""

    def __init__(self, files: OpenFiles, table: Expectations) -> None:
        self._files = files
        self._table = table
        #: bytes sent so far
        self.sent = 0

    async def answer(self, live: Live, request: Request) -> Response:
        """:raises NotExpected: one too many, or more than is allowed. :raises BadBlob: the blob is
        missing or damaged. Refusals do not count as requests."""
        if request.method == "HEAD":
            return await self._head(live, request)
        self._table.begin_get(live)
        opened: OpenBlob | None = None
        try:
            blob = live.expectation.blob
            opened = self._files.at_hand(blob) or await self._files.use(blob)
            return self._get(live, opened, request)
        except BaseException:
            if opened is not None:
                self._files.release(opened)
            self._table.give_back(live)
            raise

    async def _head(self, live: Live, request: Request) -> Response:
        opened = await self._files.use(live.expectation.blob)
        self._files.release(opened)
        self._check_size(live, opened)
        head = _head_of(opened, live)
        return head.answer(select(request, head.validators, opened.size), None)

    def _get(self, live: Live, opened: OpenBlob, request: Request) -> Response:
        self._check_size(live, opened)
        head = _head_of(opened, live)
        selection = select(request, head.validators, opened.size)
        if live.expectation.range is not None and selection.status != 304:
            selection = _confined(live.expectation.range, selection, request)
        if not selection.length:  # 304, or a blob of no bytes
            self._files.release(opened)
            self._table.end_get(live, 0, 0)
            return head.answer(selection, None)
        self._table.take_bytes(live, selection.length)
        return head.answer(selection, self._body(live, opened, selection))

    def _check_size(self, live: Live, opened: OpenBlob) -> None:
        if live.expectation.length not in {None, opened.size}:
            self._files.report(opened.blob)
            raise BadBlob

    def _body(self, live: Live, opened: OpenBlob, selection: Selection) -> FileBody:
        def release() -> None:
            self.sent += body.sent
            self._files.release(opened)
            if body.damaged:
                self._files.report(opened.blob)
            self._table.end_get(live, selection.length, body.sent)

        offset, length = selection.offset, selection.length
        idle = live.expectation.idle
        body = FileBody(opened.file, offset, length, release, live.ends, idle)
        return body


def _head_of(opened: OpenBlob, live: Live) -> BlobHead:
    head = opened.head
    if head is None or not head.fits(live.expectation):
        head = opened.head = BlobHead(live.expectation, opened.size)
    return head


def _confined(allowed: tuple[int, int], selection: Selection, request: Request) -> Selection:
    """:raises NotExpected: more than the allowed range is asked for."""
    first, last = allowed[0], min(allowed[1], selection.total - 1)
    if first > last:
        raise RangeNotSatisfiable(length=selection.total)
    if selection.status == 200:
        if "If-Range" in request.headers:  # the whole of another version: never a part of this
            raise PreconditionFailed
        return Selection(206, first, last - first + 1, selection.total)
    if selection.offset < first or selection.offset + selection.length - 1 > last:
        raise NotExpected
    return selection
