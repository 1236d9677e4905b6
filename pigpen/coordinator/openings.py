"""Openings: a PUT is judged, its host chosen, and the host tells that it expects the bytes.

catalog: may it be written? -> pending write, length reserved
hosts in a weighted random order -> PUT expectation -> acknowledged
nobody acknowledges: the pending write is withdrawn; 503, or 507 if all are full
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pigpen.coordinator.announcer import Announcer, Confirmed, Outcome
from pigpen.coordinator.catalog import writes
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.catalog.writes import OpenWrite, WriteWish
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.hosts import Host, Hosts
from pigpen.coordinator.placement import order_hosts
from pigpen.coordinator.settings import TOO_MANY_STREAMS, transfer_seconds
from pigpen.database.transaction import Transaction
from pigpen.env import Env, random_id
from pigpen.errors import NoHost, NoRoom, PigpenError, TooManyRequests, Unavailable
from pigpen.http import wire
from pigpen.http.message import Request

#: hosts that are asked for one write: a resumed one is looked for at these
MAX_ASKED = 4
#: until the first request comes (CLD-21)
START_SECONDS = 60.0
#: what a host sets aside at first where the length is unknown (CLD-38)
UNKNOWN_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Order:
    """A PUT that was read, but for its body."""

    request: Request
    login: str
    wish: WriteWish
    secure: bool


@dataclass(frozen=True, slots=True)
class Opening:
    """A write that hosts wait for, the best first; none if it has its answer already."""

    write: OpenWrite
    principal: Principal
    confirmed: tuple[Confirmed, ...]

    @property
    def first(self) -> Confirmed:
        return self.confirmed[0]


class Openings:
    """Opens writes."""

    log = Logger()

    def __init__(
        self,
        env: Env,
        catalog: Catalog,
        entrance: Entrance,
        hosts: Hosts,
        announcer: Announcer,
    ) -> None:
        self._env = env
        self._catalog = catalog
        self._entrance = entrance
        self._hosts = hosts
        self._announcer = announcer

    async def open(
        self, order: Order, suits: Callable[[Host], bool], *, at_once: int = 1
    ) -> Opening:
        """Open a new write, or go on with one whose id the client chose.

        :param suits: whether this client can be sent to a host.
        :raises NoHost: no host acknowledges. :raises NoRoom: none has room.
        :raises PigpenError: the write is refused as its commit would be.
        """
        wish = order.wish
        placed = order_hosts(
            self._hosts.candidates(self._env.wall()), wish.length, self._env.random
        )
        hosts = [host for host in self._hosts.in_order(placed) if suits(host)][:MAX_ASKED]
        if not hosts:
            # who has no right to write need not know how we are
            await self._entrance.read(order.request, order.login, _judge, wish)
            raise NoRoom if self.any_host(suits) else NoHost
        principal, write = await self._entrance.write(
            order.request,
            order.login,
            _open,
            msgspec.structs.replace(wish, hosts=tuple(host.host_id for host in hosts)),
        )
        if write.answer is not None:
            return Opening(write, principal, ())
        if write.resumed:
            # they may have a part; if they are gone it begins anew elsewhere
            known = [host for host in self._hosts.in_order(write.hosts) if suits(host)]
            hosts = known + [host for host in hosts if host not in known]
        return await self._confirm(write, principal, hosts, at_once)

    async def open_stream(self, order: Order) -> Opening:
        """Open a write whose bytes pass through here.

        :raises Unavailable: as many pass as may. :raises PigpenError: as `open`.
        """
        if self.any_host(_any) and not self.any_host(_takes_stream):
            raise Unavailable(reason=TOO_MANY_STREAMS)
        return await self.open(order, _takes_stream)

    async def renew(self, order: Order, suits: Callable[[Host], bool]) -> Opening:
        """Go on with an open write: at a host that has a part of it, if there is one.

        :raises NotFound: there is no such write. :raises NoHost: its hosts do not answer.
        """
        principal, write = await self._entrance.write(
            order.request, order.login, _renew, order.wish
        )
        if write.answer is not None:
            return Opening(write, principal, ())
        hosts = [host for host in self._hosts.in_order(write.hosts) if suits(host)]
        return await self._confirm(write, principal, hosts, at_once=MAX_ASKED)

    async def _confirm(
        self,
        write: OpenWrite,
        principal: Principal,
        hosts: Sequence[Host],
        at_once: int,
    ) -> Opening:
        def make(_: Host) -> wire.Expectation:
            return self._expectation(write, principal)

        confirmed: tuple[Confirmed, ...] = ()
        try:
            at_once = max(1, min(at_once, len(hosts)))
            outcome = await self._announcer.confirm(hosts, make, at_once=at_once)
            confirmed = outcome.confirmed
        finally:
            if not confirmed and not write.resumed:
                self._withdraw(write)
        if not confirmed:
            raise _refusal(outcome, len(hosts))
        for one in confirmed:
            unknown = min(UNKNOWN_BYTES, one.host.room // 4)
            one.host.promised += unknown if write.length is None else write.length
        # a host that has a part already goes first
        best = sorted(confirmed, key=lambda one: -one.offset)
        return Opening(write, principal, tuple(best))

    def _expectation(self, write: OpenWrite, principal: Principal) -> wire.Expectation:
        return wire.Expectation(
            uuid=random_id(self._env),
            method="PUT",
            blob=write.blob,
            write=write.write,
            length=write.length,
            max_bytes=write.max_bytes if write.length is None else None,
            digest=None if write.digest is None else write.digest.hex(),
            start=START_SECONDS,
            end=transfer_seconds(write.max_bytes, START_SECONDS),
            account=str(principal.account_id),
        )

    def any_host(self, suits: Callable[[Host], bool]) -> bool:
        """Whether there is a host at all that a client can be sent to, with room or without."""
        candidates = self._hosts.candidates(self._env.wall())
        hosts = [self._hosts.get(one.host_id) for one in candidates]
        return any(host is not None and suits(host) for host in hosts)

    def available(self, left: int | None) -> int | None:
        """Bytes that can be stored now (DAV-51); None: not limited, as far as is known.

        :param left: what the quota leaves; None: there is none.
        """
        candidates = self._hosts.candidates(self._env.wall())
        room = sum(one.room for one in candidates) if candidates else None
        limits = [limit for limit in (left, room) if limit is not None]
        return min(limits, default=None)

    def _withdraw(self, write: OpenWrite) -> None:
        """In the background: the client need not wait, and may be gone."""
        _ = maybeDeferred(self._catalog.write, writes.withdraw, write).addErrback(
            self._not_withdrawn
        )

    def _not_withdrawn(self, failure: Failure) -> None:
        # it ends by itself in a day
        self.log.info("a write stays open: {reason}", reason=failure.getErrorMessage())


def _any(_: Host) -> bool:
    return True


def _takes_stream(host: Host) -> bool:
    return host.takes_streams


def _refusal(outcome: Outcome, asked: int) -> PigpenError:
    if outcome.all_refused(507) and len(outcome.refusals) == asked:
        return NoRoom()
    if outcome.all_refused(429):
        return TooManyRequests(reason="over 1,000 transfers of this account wait to begin")
    return NoHost()


def _open(
    transaction: Transaction, principal: Principal, wish: WriteWish
) -> tuple[Principal, OpenWrite]:
    return principal, writes.open_write(transaction, principal, wish)


def _renew(
    transaction: Transaction, principal: Principal, wish: WriteWish
) -> tuple[Principal, OpenWrite]:
    return principal, writes.renew(transaction, principal, wish)


def _judge(transaction: Transaction, principal: Principal, wish: WriteWish) -> None:
    writes.judge(transaction, principal, wish)
