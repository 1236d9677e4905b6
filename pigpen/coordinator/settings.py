"""What an operator may set for a coordinator, and the times and limits all its parts share."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from pigpen.http import wire

#: how long a host may take to acknowledge an expectation before the next one is asked (CLD-30)
ACKNOWLEDGE_SECONDS = 0.3
#: how long a client waits in all before it hears 503; curl sends its body after 1 s (CLD-30)
REDIRECT_SECONDS = 0.7
assert 2 * ACKNOWLEDGE_SECONDS < REDIRECT_SECONDS < 1, "two hosts get their chance before curl"

#: a host is offline after this many missed heartbeats (CLD-73)
MISSED_HEARTBEATS = 3
#: a host's share of new writes is divided by NEW_HOST_DIVISOR for so long (CLD-61)
NEW_HOST_SECONDS = 86_400
NEW_HOST_DIVISOR = 4

#: bodies that pass through here to or from one host at once: the client has 64 connections to
#: each, and expectations must not wait behind slow readers
MAX_STREAMS = 32
TOO_MANY_STREAMS = "too many transfers pass through here; follow redirects, or wait"

#: further sources in a Link field, beside the redirect's target (CLD-40)
MAX_DUPLICATES = 4
#: other targets in the JSON form of a write (CLD-31)
MAX_ALTERNATIVES = 2
#: how long a redirect waits for the other replicas' word once one has confirmed
DUPLICATES_SECONDS = 0.02


class CoordinatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``folder``: where the catalog and the cluster secret lie; ``catalog``: where the catalog lies
    if not there, see `open_catalog`. ``public_url``: how people reach this coordinator, if a proxy
    stands before it: https there makes every client a TLS client. ``allow_private``: take hosts at
    private addresses (a LAN, one machine)."""

    folder: str
    catalog: str | None = None
    public_url: wire.Url | None = None
    allow_private: bool = False
    heartbeat_seconds: float = 10
    sweep_seconds: float = 60
    #: WebDAV clients that are known to follow are sent to hosts by 307 of a GET (DAV-80)
    dav_redirects: bool = False
    #: failures a minute of one access key or one address (CLD-3)
    max_failures: int = 10
    #: of one account: each is known in memory, offline or not
    max_hosts: int = 1000

    @property
    def public_name(self) -> str:
        """Name and port of ``public_url``, in lower case; "": there is none."""
        return urlsplit(self.public_url or "").netloc.lower()

    @property
    def always_secure(self) -> bool:
        """Whether every client comes by TLS, whatever we see."""
        return (self.public_url or "").startswith("https:")


def transfer_seconds(length: int, start: float = 60) -> float:
    """When a transfer of `length` bytes must be over: 64 KiB/s at least (CLD-21: ``end``)."""
    return min(start + 60 + length / 65_536, 86_400)
