"""Throttle: more than 10 wrong logins a minute, of one login or one address, answer 429.

A pair of login and address that has worked before is judged by its own failures only: otherwise a
stranger who knows a login, or a neighbour behind the same NAT, could lock its owner out.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from ipaddress import IPv4Address, IPv6Network, ip_address

from twisted.internet.interfaces import IReactorTime

from pigpen.errors import TooManyRequests

WINDOW_SECONDS = 60
#: names remembered; the longest unused is forgotten first
MAX_NAMES = 10_000


class Throttle:
    """Counts failures of a sliding minute, by login and by address, in bounded memory.

    A login is a user's name, or the id of an access key.
    """

    def __init__(self, clock: IReactorTime, limit: int = 10) -> None:
        self._clock = clock
        self._limit = limit
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._trusted: OrderedDict[str, None] = OrderedDict()

    def check(self, login: str, address: str) -> None:
        """:raises TooManyRequests: no attempt is made for this login or address now."""
        if not self._failures:
            return
        network = network_of(address)
        pair = f"{login}@{network}"
        names = (pair,) if pair in self._trusted else (f"login {login}", f"from {network}")
        for name in names:
            if self._count(name) > self._limit:
                raise TooManyRequests(reason="wrong logins; wait a minute")

    def failed(self, login: str, address: str) -> None:
        """An attempt failed; `login` may be "" where none was readable."""
        network = network_of(address)
        names = [f"from {network}", f"{login}@{network}"]
        if login:
            names.append(f"login {login}")
        for name in names:
            self._remember(name)

    def succeeded(self, login: str, address: str) -> None:
        pair = f"{login}@{network_of(address)}"
        self._trusted[pair] = None
        self._trusted.move_to_end(pair)
        if len(self._trusted) > MAX_NAMES:
            self._trusted.popitem(last=False)

    def _remember(self, name: str) -> None:
        # one more than the limit is enough to know
        moments = self._failures.setdefault(name, deque(maxlen=self._limit + 1))
        moments.append(self._clock.seconds())
        self._failures.move_to_end(name)
        if len(self._failures) > MAX_NAMES:
            self._failures.popitem(last=False)

    def _count(self, name: str) -> int:
        moments = self._failures.get(name)
        if moments is None:
            return 0
        oldest = self._clock.seconds() - WINDOW_SECONDS
        while moments and moments[0] <= oldest:
            moments.popleft()
        if not moments:
            del self._failures[name]
        return len(moments)


def network_of(address: str) -> str:
    """What one customer has: an IPv4 address, an IPv6 /64."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, 64), strict=False))
