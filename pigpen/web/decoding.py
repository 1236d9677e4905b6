"""Where a request's body ends: by a length, or by chunks (RFC 9112 6, 7.1). Pure."""

from __future__ import annotations

import re
from typing import Protocol

from pigpen.errors import BadRequest, HeadersTooLarge

#: a chunk's size line with its extensions; nobody sends longer ones honestly
MAX_SIZE_LINE = 256

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*"
    rb'(?:%b|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*' % (_TOKEN, _TOKEN)
)
_TRAILER = re.compile(rb"(%b):[\t -~\x80-\xff]*" % _TOKEN)
# fields that decide framing or routing have no place behind the body (RFC 9110 6.5.1)
_NO_TRAILERS = frozenset({b"content-length", b"transfer-encoding", b"host", b"trailer"})


class Decoder(Protocol):
    """Takes a request's body out of a connection's bytes."""

    def feed(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """:return: body bytes, what lies behind the body, and whether the body is complete.
        :raises PigpenError: the framing is broken."""


class LengthDecoder:
    """A body of a known length."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def feed(self, data: bytes) -> tuple[bytes, bytes, bool]:
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return data, b"", False
        self._left = 0
        if len(data) == left:
            return data, b"", True
        return data[:left], data[left:], True


class ChunkDecoder:
    """A chunked body. Extensions are ignored, trailers checked and dropped."""

    __slots__ = ("_after_data", "_left", "_limit", "_line", "_trailer_bytes")

    def __init__(self, trailer_limit: int) -> None:
        self._limit = trailer_limit
        #: bytes of the current chunk yet to come
        self._left = 0
        #: whether the CRLF behind a chunk's data comes next
        self._after_data = False
        #: a line that has not ended yet
        self._line = b""
        #: bytes of trailers so far; None before the last chunk
        self._trailer_bytes: int | None = None

    def feed(self, data: bytes) -> tuple[bytes, bytes, bool]:
        pieces: list[bytes] = []
        position = 0
        while position < len(data):
            if self._left:
                piece = data[position : position + self._left]
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                self._after_data = self._left == 0
                continue
            line, position = self._take_line(data, position)
            if line is not None and self._read_line(line):
                return b"".join(pieces), data[position:], True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), b"", False

    def _take_line(self, data: bytes, position: int) -> tuple[bytes | None, int]:
        """The next line without its CRLF, or None if it has not ended."""
        end = data.find(b"\n", position) + 1
        line = self._line + data[position : end or len(data)]
        if len(line) > self._longest_line():
            raise HeadersTooLarge(limit=self._longest_line())
        if not end:
            self._line = line
            return None, len(data)
        self._line = b""
        if not line.endswith(b"\r\n"):
            raise BadRequest(reason="a chunk's line does not end in CRLF")
        return line[:-2], end

    def _longest_line(self) -> int:
        return MAX_SIZE_LINE if self._trailer_bytes is None else self._limit

    def _read_line(self, line: bytes) -> bool:
        """:return: whether it ends the body."""
        if self._after_data:
            if line:
                raise BadRequest(reason="a chunk is longer than its size")
            self._after_data = False
            return False
        if self._trailer_bytes is not None:
            return self._read_trailer(line)
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise BadRequest(reason="a chunk's size cannot be read")
        self._left = int(match.group(1), 16)
        if self._left == 0:
            self._trailer_bytes = 0
        return False

    def _read_trailer(self, line: bytes) -> bool:
        if not line:
            return True
        self._trailer_bytes = (self._trailer_bytes or 0) + len(line)
        if self._trailer_bytes > self._limit:
            raise HeadersTooLarge(limit=self._limit)
        match = _TRAILER.fullmatch(line)
        if match is None or match.group(1).lower() in _NO_TRAILERS:
            raise BadRequest(reason="a trailer field is not allowed or cannot be read")
        return False


_is_decoder: tuple[type[Decoder], ...] = (LengthDecoder, ChunkDecoder)
