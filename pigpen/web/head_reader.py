"""HeadReader: request heads out of a stream of bytes, by llhttp and our own stricter rules."""

from __future__ import annotations

import httptools

from pigpen.errors import BadRequest, HeadersTooLarge, NotBuilt
from pigpen.http.message import Headers
from pigpen.web.framing import Head, is_plain, judge_head, read_again
from pigpen.web.limits import ServerLimits

#: what a connection remembers of its last head
MAX_REPEATED_BYTES = 1024

_END = b"\r\n\r\n"


class HeadReader:
    """Feeds llhttp one head at a time and nothing of what follows.

    llhttp parses on while a response is due, cannot say where it stopped, and drops the body of an
    Upgrade; so it never sees a body: `web.decoding` reads those.
    """

    __slots__ = ("_complete", "_fields", "_headers", "_length", "_limits", "_parser", "_raw",
                 "_repeated")  # fmt: skip

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._raw = b""
        self._complete = False
        #: the last head from the end of its first line on, and what its fields meant
        self._repeated = b""
        self._headers = Headers()
        self._length = 0

    # -- called by httptools ----------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._complete = True

    # -- called by the channel --------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Whether part of a head has come."""
        return bool(self._raw)

    def feed(self, data: bytes) -> tuple[Head | None, bytes]:
        """:return: the head, once its blank line has come, and what follows it.
        :raises PigpenError: it is none; the connection must not be used any more."""
        old = self._raw
        if not old and self._repeated:
            end = data.find(b"\r\n")
            if data.startswith(self._repeated, end):
                head = read_again(data[:end], self._headers, self._length)
                if head is not None:
                    return head, data[end + len(self._repeated) :]
        limit = self._limits.header_bytes
        # the blank line may have begun in what came before
        start = max(0, len(old) - 3)
        raw = old + data if old else data
        while True:
            found = raw.find(_END, start, limit)
            end = found + 4 if found >= 0 else min(len(raw), limit)
            self._parse(raw[len(old) : end] if old or end < len(raw) else data)
            if self._complete:
                return self._judged(raw[:end]), raw[end:]
            if found < 0:
                break
            old, start = raw[:end], end  # blank lines before the request line
        if len(raw) >= limit or len(self._fields) > self._limits.header_fields:
            raise HeadersTooLarge(limit=limit)
        self._raw = raw
        return None, b""

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # ignored (RFC 9110 7.8): the request is served as it stands
            self._parser = httptools.HttpRequestParser(self)
        except httptools.HttpParserInvalidMethodError:
            raise NotBuilt(reason="its first word is no method that is known") from None
        except httptools.HttpParserInvalidURLError:
            raise BadRequest(reason="its target must be ASCII: write all else as %XX") from None
        except httptools.HttpParserError:
            raise BadRequest(reason="it is not well-formed HTTP/1.1") from None

    def _judged(self, raw: bytes) -> Head:
        fields = self._fields
        if len(fields) > self._limits.header_fields:
            raise HeadersTooLarge(limit=self._limits.header_bytes)
        raw = raw.lstrip(b"\r\n")
        end = raw.index(b"\r\n")
        head = judge_head(raw[:end], fields)
        self._raw = b""
        self._fields = []
        self._complete = False
        if head.length != 0 or not head.keep_alive:
            self._parser = httptools.HttpRequestParser(self)  # the old one waits for the body
        self._remember(head, raw[:end], raw[end:])
        return head

    def _remember(self, head: Head, line: bytes, fields: bytes) -> None:
        """Programs send the same fields with each request of a connection: they are read once."""
        plain = head.keep_alive and not head.expects and is_plain(line)
        if plain and head.length is not None and len(fields) <= MAX_REPEATED_BYTES:
            self._repeated = fields
            self._length = head.length
            self._headers = head.headers.copy()
        else:
            self._repeated = b""
