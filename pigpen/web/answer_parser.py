"""AnswerParser: what a server sends on one connection, answer by answer (RFC 9112), by llhttp."""

from __future__ import annotations

from typing import Any, Final

import httptools

from pigpen.http.message import Headers

#: fields of the connection, not of the answer (RFC 9110 7.6.1)
_OF_CONNECTION: Final = frozenset(
    [b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"trailers",
     b"transfer-encoding", b"upgrade"]
)  # fmt: skip
#: of a body in chunks, without a byte of it: extensions of a chunk, or fields behind the last one
MAX_TRAILER_BYTES: Final = 64 * 1024


class AnswerParser:
    """Parses one answer at a time: `begin`, then `feed` until it has `ended` or is `broken`.

    A body of known length is not parsed, but counted: its bytes are not copied.
    """

    __slots__ = ("_bodiless", "_fields", "_left", "_parser", "_pieces", "_void", "broken", "ended",
                 "headers", "keep", "length", "status")  # fmt: skip

    def __init__(self) -> None:
        self._parser: Any = None
        self.begin("")

    def begin(self, method: str) -> None:
        """The next answer is to a request of this method."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._bodiless = method == "HEAD"
        self._fields: list[tuple[str, str]] = []
        self._pieces: list[bytes] = []
        #: bytes of a counted body that are yet to come
        self._left = 0
        #: bytes since the last one of a body in chunks
        self._void = 0
        #: 0 until the head of the answer is there
        self.status = 0
        self.headers = Headers()
        #: of the body; None if only its end tells
        self.length: int | None = None
        self.ended = False
        #: this is no HTTP/1.1
        self.broken = False
        #: once ended: whether another request may follow
        self.keep = False

    def feed(self, data: bytes) -> list[bytes]:
        """:return: the bytes of the body among them."""
        if self._left:
            return self._count(data)
        pieces = self._pieces = []
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.keep = False
            self.broken = not self.ended
            return pieces
        finally:
            self._pieces = []  # they are the caller's now
        if pieces or self.ended or not self.status:
            self._void = 0
        else:
            self._void += len(data)
            if self._void > MAX_TRAILER_BYTES:
                self.keep = False
                self.broken = True
        if self.length is not None and not self.ended:
            self._left = self.length - sum(map(len, pieces))
            self._parser = None  # it would wait for the body
        return pieces

    def _count(self, data: bytes) -> list[bytes]:
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return [data]
        self._left = 0
        self.ended = True
        if len(data) == left:
            return [data]
        self.keep = False  # nobody asked for more
        return [data[:left]]

    # -- called by httptools -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.ended:  # nobody asked for a second one
            self.keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """:raises ValueError: a body in a coding that nobody asked for."""
        if self.status:  # behind the body
            return
        lower = name.lower()
        if lower not in _OF_CONNECTION:
            self._fields.append((name.decode("latin-1"), value.decode("latin-1")))
        elif lower == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise ValueError(value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        if status < 200:  # the answer is still to come
            return
        if self.ended:
            return
        self.status = status
        self.headers = Headers(fields)
        self.keep = self._parser.should_keep_alive()
        if self._bodiless:
            self.ended = True
            self._parser = None  # it would wait for a body
            return
        length = self.headers.get("Content-Length")
        if length is not None and status not in {204, 304}:
            self.length = int(length)

    def on_body(self, data: bytes) -> None:
        if self.ended:
            self.keep = False
        else:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if self.status:
            self.ended = True
