"""HttpFactory: the HTTP/1.1 face of any handler, on any stream transport.

It exists beside twisted.web because that spools whole bodies before anyone sees them, answers 100
Continue by itself and has no sendfile.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from itertools import islice
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from pigpen.env import Env
from pigpen.http.field_lines import FieldLines
from pigpen.http.fields import format_date
from pigpen.http.message import Handler
from pigpen.web.channel import HttpChannel
from pigpen.web.limits import ServerLimits
from pigpen.web.proxies import BehindProxies, Proxies, address_of
from pigpen.web.serving import Owner

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IDelayedCall

__all__ = ["HttpFactory", "ServerLimits"]

#: one timer for all limits of all connections
SWEEP_SECONDS = 1.0
#: how many waiting connections are looked at before one is ended, if they all have yet to read
MAX_LOOKS = 100


class HttpFactory(Factory):
    """Serves one handler to many connections."""

    log = Logger()
    noisy = False

    def __init__(
        self,
        env: Env,
        handler: Handler,
        limits: ServerLimits | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self.env = env
        self.handler = BehindProxies(handler, proxies) if proxies else handler
        self.limits = limits or ServerLimits()
        self._proxies = proxies or Proxies()
        #: the clock at the last sweep: exact enough for limits of seconds
        self.now = 0.0
        self.draining = False
        #: those that were used longest ago come first
        self._channels: dict[HttpChannel, None] = {}
        self._by_address: dict[str, int] = {}
        self._sweeper: IDelayedCall | None = None
        self._empty: Deferred[None] | None = None
        self._second = -1
        self._common = ""

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._channels)

    # -- connections ------------------------------------------------------------------------------

    def buildProtocol(self, addr: IAddress | None) -> HttpChannel | None:  # type: ignore[override]
        """:return: None closes the connection: there are too many."""
        if self.draining:
            return None
        group = self._group(str(getattr(addr, "host", "")))
        if group and self._by_address.get(group, 0) >= self.limits.connections_per_address:
            return None
        if len(self._channels) >= self.limits.connections and not self._make_room():
            return None
        return HttpChannel(self)

    def _make_room(self) -> bool:
        """End the connection that has waited longest for a request: a crowd that asks for nothing
        keeps nobody out who does. One that has yet to read its last answer comes last: ending it
        takes from it what the system has not sent.

        :return: False: all are at work.
        """
        waiting = list(islice((one for one in self._channels if one.waits), MAX_LOOKS))
        read = (channel for channel in waiting if not channel.outlet.unread)
        ended = next(read, None) or next(iter(waiting), None)
        if ended is not None:
            ended.abort()
        return ended is not None

    def opened(self, channel: HttpChannel) -> float:
        """:return: now."""
        self.now = self.env.clock.seconds()
        self._channels[channel] = None
        group = self._group(channel.address)
        if group:
            self._by_address[group] = self._by_address.get(group, 0) + 1
        if self._sweeper is None:
            self._sweeper = self.env.clock.callLater(SWEEP_SECONDS, self._sweep)
        return self.now

    def used(self, channel: HttpChannel) -> None:
        """It has answered a request."""
        del self._channels[channel]
        self._channels[channel] = None

    def lost(self, channel: HttpChannel) -> None:
        del self._channels[channel]
        group = self._group(channel.address)
        if group:
            self._by_address[group] -= 1
            if not self._by_address[group]:
                del self._by_address[group]
        if not self._channels:
            self._all_lost()

    def _group(self, address: str) -> str:
        """Whose connections are counted together: an IPv4 address, an IPv6 /64; "" for loopback,
        believed proxies and what is no address."""
        parsed = address_of(address)
        if parsed is None or parsed.is_loopback or self._proxies.believes(address):
            return ""
        if isinstance(parsed, IPv6Address):
            return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
        return str(parsed)

    def _all_lost(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        empty, self._empty = self._empty, None
        if empty is not None:
            empty.callback(None)

    def _sweep(self) -> None:
        self._sweeper = self.env.clock.callLater(SWEEP_SECONDS, self._sweep)
        self.now = self.env.clock.seconds()
        for channel in tuple(self._channels):
            channel.check(self.now)

    async def drain(self, seconds: float) -> None:
        """Stop cleanly: take no more requests, let what is under way end, cut it after a time.

        Returns when the last connection is closed.
        """
        self.draining = True
        for channel in tuple(self._channels):
            channel.drain()
        if not self._channels:
            return
        self._empty = Deferred()
        cut = self.env.clock.callLater(seconds, self._cut)
        try:
            await self._empty
        finally:
            if cut.active():
                cut.cancel()

    def _cut(self) -> None:
        for channel in tuple(self._channels):
            channel.abort()

    # -- what every response says -----------------------------------------------------------------

    def common_lines(self, fields: FieldLines) -> str:
        """The header lines that every response has; a relayed one keeps its origin's date."""
        if fields.dated:
            return "Server: pigpen\r\n"
        second = int(self.env.wall())
        if second != self._second:
            self._second = second
            self._common = f"Server: pigpen\r\nDate: {format_date(second)}\r\n"
        return self._common


_is_owner: type[Owner[HttpChannel]] = HttpFactory
