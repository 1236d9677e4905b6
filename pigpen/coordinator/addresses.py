"""Which addresses a host may register: clients and we ourselves will connect to them.

A host must not make others talk to a loopback, link-local or internal service (REL-T4), so without
``allow_private`` only global addresses and full domain names are taken. A name may lead anywhere,
and elsewhere the next time, so the address of each connection is judged too. Pure.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from pigpen.errors import BadRequest

_NAT64 = IPv6Network("64:ff9b::/96")
_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9-]{1,63}\.?")
# names that are no one's on the Internet (RFC 6761, RFC 6762, RFC 8375, RFC 9476)
_PRIVATE_SUFFIXES = ("localhost", "local", "internal", "home.arpa", "lan", "home", "test", "alt",
                     "localdomain", "invalid", "onion")  # fmt: skip


def check_addresses(urls: list[str], *, allow_private: bool) -> list[str]:
    """The addresses in one spelling: scheme, host, port, no final slash.

    :raises BadRequest: one of them is no base URL of a host, or is private.
    """
    return [_checked(url, allow_private) for url in urls]


def is_public(address: str) -> bool:
    """Whether a numeric address, such as a name led to, is one of the Internet."""
    literal = _literal(address)
    return literal is not None and _global(literal)


def _checked(url: str, allow_private: bool) -> str:
    try:
        parts = urlsplit(url)
        name, port = parts.hostname, parts.port
    except ValueError:
        raise _bad(url, "it is no URL") from None
    if parts.scheme not in {"http", "https"} or not name or port == 0:
        raise _bad(url, "use http://NAME:PORT or https://NAME:PORT")
    if "@" in parts.netloc or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise _bad(url, "it must be a scheme, a name and a port, nothing else")
    literal = _literal(name)
    if literal is None and not _NAME.fullmatch(name):
        raise _bad(url, "its name is no host name")
    if not allow_private and not (_global_name(name) if literal is None else _global(literal)):
        raise private_address(url)
    return _base(parts, name)


def _base(parts: SplitResult, name: str) -> str:
    shown = f"[{name}]" if ":" in name else name
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{shown}{port}"


def _literal(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _global(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _global(inner)
    return address.is_global and not address.is_multicast


def _global_name(name: str) -> bool:
    labels = name.rstrip(".").split(".")
    # resolvers read 127.1, 0x7f.1 and 2130706433 as IPv4 addresses
    if len(labels) < 2 or labels[-1].isdigit() or labels[-1].startswith("0x"):
        return False
    return not any(("." + ".".join(labels)).endswith("." + end) for end in _PRIVATE_SUFFIXES)


def private_address(url: str) -> BadRequest:
    return _bad(url, "it is private; a coordinator with allow_private takes it")


def _bad(url: str, reason: str) -> BadRequest:
    return BadRequest(reason=f"the address {url[:200]!r} cannot be used: {reason}")
