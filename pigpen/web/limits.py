"""The server's bounds against slow, greedy and hostile peers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What one server allows; a second is the resolution of every time."""

    #: open at once; for one more the longest waiting without a request is closed, else it is itself
    connections: int = 1000
    #: of one IPv4 address or one IPv6 /64; loopback is exempt
    connections_per_address: int = 50
    #: from the first byte of a request to its blank line
    header_bytes: int = 16 * 1024
    header_fields: int = 100
    #: from accept, TLS handshake included, or from a later request's first byte
    header_seconds: float = 20
    #: without a request on a kept-alive connection
    idle_seconds: float = 60
    #: a request body's least rate, judged over `body_rate_seconds` in which we did not pause it
    body_rate: int = 1024
    body_rate_seconds: float = 30
    #: for a client to read 64 KiB of a response
    reader_seconds: float = 120
    #: after a refusal: what is still read, so that no reset eats the answer
    linger_bytes: int = 256 * 1024
    linger_seconds: float = 5
    #: of a body that its handler closed, before the client is paused
    dropped_bytes: int = 64 * 1024
    #: what a client may send behind a running request before it is paused
    pipelined_bytes: int = 16 * 1024
    #: of a request body, held while its handler does not ask
    body_window: int = 128 * 1024
