"""The strict half of reading a request's head: what llhttp lets pass and we do not.

RFC 9112 where it leaves a choice: the refusal. Two readers of one head must never disagree about
where a request ends, so every doubt is a 400 and the end of the connection.
"""

from __future__ import annotations

import re

import msgspec

from pigpen.errors import BadField, BadRequest, ExpectationFailed, MethodNotAllowed, NotBuilt
from pigpen.http.field_lines import HOP_BY_HOP
from pigpen.http.message import Headers

# method SP target SP version, exactly (llhttp allows more spaces, and other versions)
_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]*) ([!-~]+) HTTP/1\.([01])")
_PLAIN_LINE = re.compile(
    rb"(GET|HEAD|PUT|DELETE|POST|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK)"
    rb" (/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))? HTTP/1\.1"
)
_ABSOLUTE = re.compile(r"https?://([^/?#@]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(?::[0-9]{0,5})?")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)

# a Connection field cannot take these from us
_KEPT = frozenset({"host", "content-length", "authorization"})


class Head(msgspec.Struct):
    """A request's head, judged. ``length``: of the body, None for chunked, 0 for none.

    ``expects``: the client waits for 100 Continue before it sends the body.
    """

    method: str
    path: str
    query_string: str
    headers: Headers
    http11: bool
    keep_alive: bool = True
    length: int | None = 0
    expects: bool = False


def judge_head(line: bytes, fields: list[tuple[bytes, bytes]]) -> Head:
    """What a request line (without its CRLF) and the parsed fields say together.

    :raises PigpenError: 400, 405, 417, 501; the connection must not be used any more.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequest(reason="its first line is not 'METHOD TARGET HTTP/1.1'")
    method, target, minor = match.group(1).decode(), match.group(2).decode(), match.group(3)
    if method == "CONNECT":
        raise NotBuilt(reason="CONNECT is not offered")
    if method == "TRACE":  # it would show a page the fields that a browser adds
        raise MethodNotAllowed(method=method, allow="GET, HEAD")
    headers = Headers(
        [(name.decode("latin-1"), value.decode("latin-1").strip(" \t")) for name, value in fields]
    )
    path, query_string = _split_target(method, target, headers)
    head = Head(method, path, query_string, headers, minor == b"1")
    _check_host(head)
    names = {name.lower() for name, _ in fields}
    if not names.isdisjoint(_FRAMING_NAMES):
        _judge_framing(head)
    elif not head.http11:
        head.keep_alive = False
    return head


def is_plain(line: bytes) -> bool:
    """Whether a request line is one that `read_again` reads."""
    return _PLAIN_LINE.fullmatch(line) is not None


def read_again(line: bytes, headers: Headers, length: int) -> Head | None:
    """A plain request in HTTP/1.1 whose fields, judged before, are the same as of the last one on
    its connection. :return: None: it is not so plain; `judge_head` decides."""
    match = _PLAIN_LINE.fullmatch(line)
    if match is None:
        return None
    path, query_string = match.group(2, 3)
    return Head(
        match.group(1).decode(),
        path.decode(),
        query_string.decode() if query_string else "",
        headers.copy(),
        True,
        length=length,
    )


_FRAMING_NAMES = frozenset({name.encode() for name in HOP_BY_HOP | {"content-length", "expect"}})


def _split_target(method: str, target: str, headers: Headers) -> tuple[str, str]:
    """Path and query of a request target (RFC 9112 3.2)."""
    if not target.startswith("/"):
        target = _origin_form(method, target, headers)
    if "#" in target:
        raise BadRequest(reason="its target has a fragment")
    path, _, query_string = target.partition("?")
    return path, query_string


def _origin_form(method: str, target: str, headers: Headers) -> str:
    if target == "*" and method == "OPTIONS":
        return "/"
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest(reason="its target is no path and no http URL")
    if len(headers.getall("Host", ())) == 1:
        headers["Host"] = match.group(1)  # RFC 9112 3.2.2: the target's counts
    rest = match.group(2) or "/"
    return rest if rest.startswith("/") else "/" + rest


def _check_host(head: Head) -> None:
    hosts = head.headers.getall("Host", ())
    if not hosts and not head.http11:
        return
    if len(hosts) != 1 or _HOST.fullmatch(hosts[0]) is None:
        raise BadField(field="Host", reason="send exactly one, NAME or NAME:PORT")


def _judge_framing(head: Head) -> None:
    headers = head.headers
    options = {
        option.strip(" \t").lower()
        for value in headers.getall("Connection", ())
        for option in value.split(",")
    }
    head.keep_alive = head.http11 and "close" not in options
    if not head.http11:
        head.keep_alive = "keep-alive" in options and "close" not in options
    head.length = _body_length(headers, head.http11)
    _judge_expect(head)
    for name in (HOP_BY_HOP | options) - _KEPT:
        headers.popall(name, None)


def _body_length(headers: Headers, http11: bool) -> int | None:
    lengths = headers.getall("Content-Length", ())
    codings = headers.getall("Transfer-Encoding", ())
    if codings:
        if lengths or len(codings) != 1 or not http11 or codings[0].lower() != "chunked":
            raise BadField(field="Transfer-Encoding", reason="only 'chunked', alone, in HTTP/1.1")
        return None
    if not lengths:
        return 0
    if len(lengths) != 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise BadField(field="Content-Length", reason="send one number of up to 18 digits")
    return int(lengths[0])


def _judge_expect(head: Head) -> None:
    expects = head.headers.getall("Expect", ())
    if not expects or not head.http11:  # RFC 9110 10.1.1: ignored in HTTP/1.0
        return
    if len(expects) != 1 or expects[0].lower() != "100-continue":
        raise ExpectationFailed
    head.expects = head.length != 0
