"""OwnNames: by which names clients may call a server, and from whose pages (DAV-102, DAV-103).

A browser reaches loopback and private networks for any web page. So the Host field must be a name
of this server, which keeps out pages that resolve a name of their own to it (DNS rebinding), and a
change must not come from a page of another origin.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec

from pigpen.errors import Forbidden, Misdirected
from pigpen.http.message import Handler, Request, Response
from pigpen.http.request_fields import LOOPBACK_NAMES

#: these change nothing (RFC 9110 9.2.1)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})


class OwnNames(msgspec.Struct, frozen=True):
    """``bound``: the address that is listened on, or a name of it; "": all addresses.

    ``aliases``: other names, with a port or for any. ``anywhere``: another server in front decides.
    """

    bound: str = "127.0.0.1"
    aliases: frozenset[str] = frozenset()
    anywhere: bool = False

    def check_host(self, request: Request) -> None:
        """:raises Misdirected: the Host field names somebody else; none passes (HTTP/1.0)."""
        host = request.headers.get("Host")
        if self.anywhere or not host:
            return
        name = _name_of(host)
        if name in LOOPBACK_NAMES or name == self.bound.lower() or _any_case(host) in self.aliases:
            return
        if name in self.aliases or (self.bound in {"", "0.0.0.0", "::"} and _is_address(name)):  # noqa: S104
            return
        raise Misdirected

    def check_origin(self, request: Request) -> None:
        """:raises Forbidden: a page of another server asks for a change."""
        if request.method in _SAFE:
            return
        headers = request.headers
        origin = headers.get("Origin")
        foreign = headers.get("Sec-Fetch-Site", "").strip().lower() == "cross-site"
        if origin is not None:
            # "null", which sandboxed pages and files send, has no host
            host = origin.partition("://")[2].lower()
            foreign = foreign or not host or not self._is_own(host, headers.get("Host", ""))
        if foreign:
            raise Forbidden(reason="web pages of other servers may not change anything here")

    def _is_own(self, host: str, asked: str) -> bool:
        return host == asked.lower() or host in self.aliases or _name_of(host) in self.aliases


class OwnNamesOnly:
    """A handler that lets through what its names allow."""

    def __init__(self, inner: Handler, names: OwnNames) -> None:
        self._inner = inner
        self._names = names

    async def handle(self, request: Request) -> Response:
        self._names.check_host(request)
        self._names.check_origin(request)
        return await self._inner.handle(request)


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _any_case(host: str) -> str:
    return host.strip().lower()


def _is_address(name: str) -> bool:
    # nobody can resolve a number to us
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


_is_handler: type[Handler] = OwnNamesOnly
