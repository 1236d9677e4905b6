"""ExpectHandler: POST /expect, a batch of expectations from the coordinator (CLD-20)."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass

from pigpen.env import Env
from pigpen.errors import BadBlob, BadRequest, InsufficientStorage, TooLarge, Unauthorized
from pigpen.host import durable
from pigpen.host.expectations import Expectations
from pigpen.host.files import OpenFiles
from pigpen.host.folder import Folder
from pigpen.host.live import Live
from pigpen.host.parts import Parts
from pigpen.host.space import STEP_BYTES, Room
from pigpen.host.tasks import Tasks
from pigpen.http.answers import check_method, json_answer, read_json
from pigpen.http.message import Handler, Request, Response
from pigpen.http.wire import MAX_BATCH, MAX_BATCH_BYTES, Expectation, ExpectationAnswer

#: what the disk says of a blob: its bytes, None if it is not there, or what is wrong
Found = int | Exception | None


@dataclass(slots=True)
class ExpectTools:
    """``control``: the secret that the coordinator shows; None: it has not accepted us yet."""

    env: Env
    tasks: Tasks
    folder: Folder
    files: OpenFiles
    parts: Parts
    room: Room
    table: Expectations
    #: blobs of which an upload is under way
    running: Container[str]
    #: `UploadTools.displace`
    displace: Callable[[str], Awaitable[None]]
    control: Callable[[], str | None]
    takes_writes: Callable[[], bool]
    stopping: Callable[[], bool]
    #: told whenever the coordinator shows that it is there
    heard: Callable[[], None]


class ExpectHandler:
    """Answers in order; each expectation is judged by itself."""

    def __init__(self, tools: ExpectTools) -> None:
        self._tools = tools

    async def handle(self, request: Request) -> Response:
        """:raises Unauthorized: it is not the coordinator, or one of an older epoch."""
        check_method(request, "POST")
        self._check_control(request)
        self._tools.heard()
        batch = await read_json(request, list[Expectation], MAX_BATCH_BYTES)
        if len(batch) > MAX_BATCH:
            raise TooLarge(limit=MAX_BATCH_BYTES)
        for one in batch:
            if one.blob in self._tools.running and self._displaces(one):
                await self._tools.displace(one.blob)
        found = await self._look(batch)
        # no await from here on: the whole batch is judged in one turn
        answers = [self._judge(one, found.get(one.blob)) for one in batch]
        self._tools.table.rest()
        return json_answer(200, answers)

    def _displaces(self, one: Expectation) -> bool:
        """A sender that comes back has a new expectation; a repetition says nothing of it."""
        return one.method == "PUT" and self._tools.table.known(one) is None

    def _check_control(self, request: Request) -> None:
        fields = request.headers.getall("Authorization", [])
        if len(fields) > 1:
            raise BadRequest(reason="there are two Authorization fields")
        scheme, _, token = (fields[0] if fields else "").partition(" ")
        control = self._tools.control()
        given = token.strip().encode("utf-8", "surrogateescape")
        right = hmac.compare_digest(given, (control or "").encode())
        if scheme.lower() != "bearer" or control is None or not right:
            raise Unauthorized

    async def _look(self, batch: list[Expectation]) -> dict[str, Found]:
        """Ask the disk for the blobs that are not open already. Those that will be read are opened
        right away, as many as the files kept open allow."""
        tools = self._tools
        writes = {one.blob for one in batch if one.method == "PUT"}
        # of those that are open now too: they may be closed while we look at the others
        found: dict[str, Found] = {one.blob: tools.files.size(one.blob) for one in batch}
        reads = {blob for blob, size in found.items() if size is None} - writes
        if reads and len(reads) <= tools.files.limit // 2:
            found.update(await tools.files.warm(sorted(reads)))
        else:
            writes |= reads
        if writes:
            looking = tools.env.in_thread(_sizes, tools.folder, sorted(writes))
            sizes = await tools.tasks.own(looking)
            found.update(sizes)
        return found

    def _judge(self, one: Expectation, found: Found) -> ExpectationAnswer:
        known = self._tools.table.known(one)
        status = self._accept(one, found) if known is None else known
        return ExpectationAnswer(one.uuid, status, self._offset(one) if status == 204 else 0)

    def _accept(self, one: Expectation, found: Found) -> int:
        if self._tools.stopping():
            return 503
        if self._tools.table.full(one):
            return 429
        if one.method == "PUT":
            return self._accept_put(one, found)
        if one.blob not in self._tools.files:
            if isinstance(found, BadBlob) or found is None:
                self._tools.files.report(one.blob)
                return 404
            if isinstance(found, Exception):
                return 503
        return 400 if self._add(one) is None else 204

    def _accept_put(self, one: Expectation, found: Found) -> int:
        if not self._tools.takes_writes() or isinstance(found, Exception):
            return 503
        if one.length is None and one.max_bytes is None:
            return 400
        live = self._add(one)
        if live is None:
            return 400
        if found is not None and one.length in {None, found}:
            live.complete = found  # an earlier answer was lost: only the receipt is missing
            return 204
        return self._reserve(one, live)

    def _add(self, one: Expectation) -> Live | None:
        try:
            return self._tools.table.add(one)
        except ValueError:  # `from` is no network
            return None

    def _reserve(self, one: Expectation, live: Live) -> int:
        room = self._tools.room
        try:
            if one.length is not None:
                have = self._tools.parts.offset(one.blob)
                live.reservation = room.reserve(max(0, one.length - have))
            else:  # the upload reserves by steps; say now if even the first one cannot be
                room.reserve(min(STEP_BYTES, one.max_bytes or 0)).release()
        except InsufficientStorage:
            self._tools.table.forget(live)
            return 507
        return 204

    def _offset(self, one: Expectation) -> int:
        if one.method != "PUT":
            return 0
        live = self._tools.table.get(one.uuid)
        return (live.complete if live else None) or self._tools.parts.offset(one.blob)


def _sizes(folder: Folder, blobs: list[str]) -> dict[str, Found]:
    """Blocks."""
    found: dict[str, Found] = {}
    for blob in blobs:
        try:
            found[blob] = folder.size(blob)
        except BadBlob as error:
            found[blob] = error
        except OSError as error:
            found[blob] = durable.what_failed(error)
    return found


_is_handler: type[Handler] = ExpectHandler
