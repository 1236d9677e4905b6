"""The XML of WebDAV answers, from templates: one prefix, no blanks, always escaped (DAV-71)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from pigpen.http.body import Body, BytesBody
from pigpen.http.message import Headers, Response
from pigpen.http.namespace import Lock

XML: Final = 'application/xml; charset="utf-8"'
DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>\n'
MULTISTATUS: Final = DECLARATION + '<D:multistatus xmlns:D="DAV:">'
MULTISTATUS_END: Final = "</D:multistatus>"

_SPECIAL = re.compile("[&<>\r]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
# XML 1.0 has no way to write these, so they are left out
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What became of one member of a request. ``condition``: the RFC 4918 element, if one fits."""

    href: str
    status: int
    condition: str | None = None


def escape(text: str) -> str:
    """Text as the content of an element."""
    if _NO_XML.search(text) is not None:
        text = _NO_XML.sub("", text)
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda match: _ESCAPES[match.group()], text)


def status_element(status: int) -> str:
    return f"<D:status>HTTP/1.1 {status} {HTTPStatus(status).phrase}</D:status>"


def hrefs_text(hrefs: Iterable[str]) -> str:
    return "".join(f"<D:href>{escape(href)}</D:href>" for href in hrefs)


def _conditions(condition: str, hrefs: Iterable[str] = ()) -> str:
    inner = hrefs_text(hrefs)
    return f"<D:{condition}>{inner}</D:{condition}>" if inner else f"<D:{condition}/>"


def xml_answer(status: int, body: str | Body, headers: Headers | None = None) -> Response:
    """An answer with XML that no cache keeps. :param body: whole, or as it comes."""
    headers = Headers() if headers is None else headers
    headers["Content-Type"] = XML
    headers.setdefault("Cache-Control", "no-store")
    return Response(status, headers, BytesBody(body.encode()) if isinstance(body, str) else body)


def error_answer(
    status: int, condition: str, hrefs: Iterable[str] = (), headers: Headers | None = None
) -> Response:
    """A refusal that names the condition which failed (RFC 4918 16).

    :param hrefs: what it is about, such as the roots of locks in the way.
    """
    error = f'<D:error xmlns:D="DAV:">{_conditions(condition, hrefs)}</D:error>'
    return xml_answer(status, DECLARATION + error, headers)


def refusals_answer(refusals: Iterable[Refusal], headers: Headers | None = None) -> Response:
    """207: why members kept a request from being done (RFC 4918 9.6.1, 9.10.9)."""
    text = "".join(map(_refusal, refusals))
    return xml_answer(207, MULTISTATUS + text + MULTISTATUS_END, headers)


def _refusal(refusal: Refusal) -> str:
    condition = refusal.condition
    error = "" if condition is None else f"<D:error>{_conditions(condition)}</D:error>"
    return (
        f"<D:response><D:href>{escape(refusal.href)}</D:href>"
        f"{status_element(refusal.status)}{error}</D:response>"
    )


# -- properties -----------------------------------------------------------------------------------


def name_element(namespace: str, name: str) -> str:
    """A property without its value."""
    if namespace == "DAV:":
        return f"<D:{name}/>"
    if not namespace:
        return f"<{name}/>"
    return f'<x:{name} xmlns:x="{_attribute(namespace)}"/>'


def _attribute(text: str) -> str:
    quoted = escape(text).replace('"', "&quot;")
    return quoted.replace("\n", "&#10;").replace("\t", "&#9;")


def propstat(status: int, props: str, condition: str | None = None) -> str:
    """:param props: the elements of properties that share a status."""
    error = "" if condition is None else f"<D:error>{_conditions(condition)}</D:error>"
    return f"<D:propstat><D:prop>{props}</D:prop>{status_element(status)}{error}</D:propstat>"


# -- locks ----------------------------------------------------------------------------------------


def active_lock(lock: Lock, root: str, now: float) -> str:
    """:param root: the href of the lock's root. :param now: seconds since 1970 (`Env.wall`)."""
    seconds = max(0, round(lock.expires / 1000 - now))
    return (
        "<D:activelock><D:locktype><D:write/></D:locktype>"
        f"<D:lockscope><D:{'exclusive' if lock.exclusive else 'shared'}/></D:lockscope>"
        f"<D:depth>{'infinity' if lock.infinite else '0'}</D:depth>{lock.owner}"
        f"<D:timeout>Second-{seconds}</D:timeout>"
        f"<D:locktoken><D:href>{escape(lock.token)}</D:href></D:locktoken>"
        f"<D:lockroot><D:href>{escape(root)}</D:href></D:lockroot></D:activelock>"
    )


def lock_answer(
    status: int, lock: Lock, root: str, now: float, headers: Headers | None = None
) -> Response:
    """What LOCK answers, without its Lock-Token field (RFC 4918 9.10.1)."""
    active = active_lock(lock, root, now)
    prop = f'<D:prop xmlns:D="DAV:"><D:lockdiscovery>{active}</D:lockdiscovery></D:prop>'
    return xml_answer(status, DECLARATION + prop, headers)
