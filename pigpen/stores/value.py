"""Value: a small version held in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pigpen.http import wire
from pigpen.http.body import CHUNK_BYTES, BaseBody, Body
from pigpen.http.conditions import Validators
from pigpen.http.fields import OCTET_STREAM, format_digest
from pigpen.http.message import Headers, Request, Response
from pigpen.http.representation import answer_get


class ValueBody(BaseBody):
    """A part of bytes that others may hold too, handed out in chunks."""

    __slots__ = ("_data", "_end", "_offset", "_position", "length")

    replayable = True

    def __init__(self, data: bytes, offset: int, length: int) -> None:
        self.length = length
        self._data = data
        self._offset = offset
        self._end = offset + length
        self._position = offset

    def replay(self) -> Body:
        return ValueBody(self._data, self._offset, self._end - self._offset)

    async def __anext__(self) -> bytes:
        chunk = self._data[self._position : min(self._position + CHUNK_BYTES, self._end)]
        if not chunk:
            raise StopAsyncIteration
        self._position += len(chunk)
        return chunk

    async def aclose(self) -> None:
        self._position = self._end


@dataclass(frozen=True, slots=True)
class Value:
    """Bytes, what identifies them, and the fields that describe them."""

    data: bytes
    sha256: bytes
    validators: Validators
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, data: bytes, modified: int, fields: tuple[tuple[str, str], ...]) -> Value:
        """:param modified: seconds since 1970. :param fields: Content-Type and the like."""
        sha256 = hashlib.sha256(data).digest()
        return cls(data, sha256, Validators(f'"{sha256.hex()[:32]}"', modified), fields)

    def answer(self, request: Request) -> Response:
        """Answer a GET or HEAD. :raises PigpenError: as `answer_get`."""
        headers = Headers(self.fields)
        headers["Repr-Digest"] = format_digest(self.sha256)
        return answer_get(request, self.validators, len(self.data), self._part, headers)

    def line(self, name: str) -> wire.ListLine:
        """How a listing shows it."""
        return wire.ListLine(
            name,
            "object",
            int(self.validators.modified * 1000),
            length=len(self.data),
            etag=self.validators.etag,
            digest=self.sha256.hex(),
            content_type=dict(self.fields).get("Content-Type", OCTET_STREAM),
        )

    def _part(self, offset: int, length: int) -> Body:
        return ValueBody(self.data, offset, length)


_is_body: type[Body] = ValueBody
