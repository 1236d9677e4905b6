"""Proxies: servers in front of ours, whose X-Forwarded fields are believed.

Clients can send these fields too, so only what a believed proxy wrote counts: the field's end. Each
proxy appends to X-Forwarded-For whom it heard; behind two of ours, from a client that lies:

    X-Forwarded-For: 203.0.113.1, 198.51.100.7, 192.0.2.8      peer: 192.0.2.9
                     its lie      the client    our first      our second
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from pigpen.http.message import Handler, Request, Response
from pigpen.http.request_fields import whole_field

#: of ours, one behind the other
MAX_HOPS: Final = 16

#: some proxies write the client's port, too
_ENTRY = re.compile(
    r"([0-9.]{7,15})(?::[0-9]{1,5})?|\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9A-Fa-f:.]{2,45})"
)

Address = IPv4Address | IPv6Address


class Proxies:
    """The addresses of believed proxies."""

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        """:raises ValueError: one is no address; says which."""
        self._addresses = frozenset(_plain(ip_address(address)) for address in addresses)

    def __bool__(self) -> bool:
        return bool(self._addresses)

    def believes(self, address: str) -> bool:
        parsed = address_of(address)
        return parsed is not None and parsed in self._addresses

    def seen_through(self, request: Request) -> Request:
        """The request as the outermost believed proxy got it; unchanged from anyone else."""
        peer = request.caller.address
        if not self.believes(peer):
            return request
        headers = request.headers.copy()
        host = _last(whole_field(request, "X-Forwarded-Host", ""))
        if host:
            headers["Host"] = host
        scheme = _last(whole_field(request, "X-Forwarded-Proto", "")).lower()
        address = self._client(peer, whole_field(request, "X-Forwarded-For", ""))
        return request.replace(
            headers=headers,
            caller=replace(request.caller, address=address),
            secure=request.secure or scheme == "https",
        )

    def _client(self, peer: str, field: str) -> str:
        """The last address that is no believed proxy's; the first one, if all are.

        :return: the peer's, if what its field says there is no address, or is too far away.
        """
        # what stands before it may be as long and strange as its sender likes
        hops = field.rsplit(",", MAX_HOPS)
        address = peer
        while hops and self.believes(address):
            match = _ENTRY.fullmatch(hops.pop().strip(" \t"))
            found = match and address_of(match[1] or match[2] or match[3])
            if not found:
                return peer
            address = str(found)
        return address


class BehindProxies:
    """A handler that gets requests as believed proxies got them."""

    def __init__(self, inner: Handler, proxies: Proxies) -> None:
        self._inner = inner
        self._proxies = proxies

    async def handle(self, request: Request) -> Response:
        return await self._inner.handle(self._proxies.seen_through(request))


def address_of(text: str) -> Address | None:
    """An IPv4 address as itself where an IPv6 socket shows it; None: it is no address."""
    try:
        return _plain(ip_address(text))
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    return getattr(address, "ipv4_mapped", None) or address


def _last(field: str) -> str:
    return field.rpartition(",")[2].strip()


_is_handler: type[Handler] = BehindProxies
