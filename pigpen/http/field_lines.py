"""FieldLines: header fields as the text of a response's head."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pigpen.http.message import Headers

#: they concern one connection and go no further (RFC 9110 7.6.1)
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade", "proxy-authenticate", "proxy-authorization"}
)  # fmt: skip
# the server's own to say
_OURS = HOP_BY_HOP | {"content-length", "server"}
# one check for all lines, beside their number: no handler can split a response
_SAFE_LINES = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~\x80-\xff]*\r\n)*", re.ASCII)


class FieldLines:
    """Header fields whose lines are made and checked once, for as many responses as have them.

    ``text``: the lines, each with its CRLF, without those that are the server's to say. ``length``:
    what Content-Length says. ``dated``: whether there is a Date.
    """

    __slots__ = ("dated", "headers", "length", "text")

    def __init__(self, headers: Headers) -> None:
        """:param headers: must not change any more.
        :raises ValueError: a field's text cannot be sent."""
        lines: list[str] = []
        announced: str | None = None
        for name, value in headers.items():
            lower = name.lower()
            if lower not in _OURS:
                lines.append(f"{name}: {value}\r\n")
            elif lower == "content-length":
                announced = value
        text = "".join(lines)
        if _SAFE_LINES.fullmatch(text) is None or text.count("\n") != len(lines):
            raise ValueError("a handler's header field holds a character that is not allowed there")
        if announced is not None and re.fullmatch("[0-9]{1,18}", announced) is None:
            raise ValueError("a handler's Content-Length is no number")
        self.headers = headers
        self.text = text
        self.length = None if announced is None else int(announced)
        self.dated = "Date" in headers
