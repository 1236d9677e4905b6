"""RemoteWriter: PUT: up to 4 KiB to the coordinator, more to a host (DAV-6).

judged -> body is asked for -> host -> receipt -> committed: only then it is written
cut, 5xx, 202: the coordinator is asked by the write's id, and the rest is sent again where it
stopped. Whatever fails gives part and room back, so that nothing is stored.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pigpen.client.calls import Calls, query_of, seconds_text
from pigpen.client.download import pieces
from pigpen.client.inputs import Pipes
from pigpen.client.upload import Upload
from pigpen.errors import OutcomeUnknown
from pigpen.http import wire
from pigpen.http.body import Body, StreamBody
from pigpen.http.fields import format_digest
from pigpen.http.key import Key
from pigpen.http.message import Headers
from pigpen.http.namespace import Node, When, WriteMeta, Written


class RemoteWriter:
    """Writes through one account's session."""

    log = Logger()

    def __init__(self, calls: Calls, pipes: Pipes) -> None:
        self._calls = calls
        self._pipes = pipes

    async def write(self, key: Key, body: Body, meta: WriteMeta, when: When) -> Written:
        """See `Namespace.write`.

        :raises OutcomeUnknown: a host has it, but the coordinator could not be asked in time.
        """
        length = meta.length if body.length is None else body.length
        headers = await self._calls.fields(when)
        headers.extend(_fields(meta))
        query = query_of(when)
        if body.held_back and (length is None or length <= wire.INLINE_BYTES):
            await self._judge(key, headers, query, length)
        data = self._pipes.open(_sized(body, length))
        try:
            upload = Upload(self._calls.session, key, data, headers, query=query)
            stored = await self._run(upload)
            sha256 = await upload.sha256()
            modified = stored.modified or meta.modified or int(self._calls.session.env.wall() * 1e3)
            node = Node(
                Key(key.names),
                modified,
                None,
                upload.size,
                stored.etag,
                meta.content_type or "",
                sha256,
            )
        finally:
            self._pipes.close(data)
        return Written(node, not stored.replaced)

    async def _run(self, upload: Upload) -> wire.Stored:
        settled = False
        try:
            stored = await self._calls.run(upload.run())
            settled = True
            return stored
        except OutcomeUnknown:
            settled = True  # it may yet come into its place
            raise
        finally:
            if not settled and upload.begun:
                # not awaited: the client is refused, or gone
                _ = Deferred.fromCoroutine(upload.give_up()).addErrback(self._not_given_up)

    def _not_given_up(self, failure: Failure) -> None:
        self.log.info("a write ends by itself in a day: {reason}", reason=failure.getErrorMessage())

    async def _judge(
        self, key: Key, headers: Headers, query: dict[str, str], length: int | None
    ) -> None:
        """What decides without the body, before it is asked for (DAV-24)."""
        fields = headers.copy()
        if length is not None:
            fields["Upload-Length"] = str(length)
        asked = {**query, "redirect": "false", "check": ""}
        answer = await self._calls.ask("PUT", key, asked, headers=fields, brief=True)
        await answer.body.aclose()


def _sized(body: Body, length: int | None) -> Body:
    """A body of the length that its sender announced, however it comes."""
    return body if body.length == length else StreamBody(pieces(body), length)


def _fields(meta: WriteMeta) -> Headers:
    headers = Headers()
    if meta.content_type is not None:
        headers["Content-Type"] = meta.content_type
    if meta.sha256 is not None:
        headers["Repr-Digest"] = format_digest(meta.sha256)
    if meta.modified is not None:
        headers["X-OC-Mtime"] = seconds_text(meta.modified)
    return headers
