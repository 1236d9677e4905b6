"""HostApi: /hosts, what hosts say to us (CLD-70 to CLD-73, CLD-33).

POST /hosts                 by an access key: a new host, its key shown once
POST /hosts/ID/session      by the host key: it has started; the next epoch
POST /hosts/ID/heartbeat    how it is
POST /hosts/ID/receipts     what it has made durable
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.logger import Logger

from pigpen.coordinator.addresses import check_addresses, private_address
from pigpen.coordinator.catalog import host_rows, writes
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.catalog.host_rows import HostRow, NewHost
from pigpen.coordinator.clock_readings import Readings
from pigpen.coordinator.credentials import bearer_token
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.hosts import Host, Hosts
from pigpen.coordinator.metrics import Metrics
from pigpen.coordinator.secrets import ClusterSecret
from pigpen.coordinator.settings import CoordinatorSettings
from pigpen.database.transaction import Transaction
from pigpen.env import Env
from pigpen.errors import (
    CatalogFull,
    Conflict,
    NotBuilt,
    NotFound,
    PigpenError,
    TooLarge,
    Unauthorized,
)
from pigpen.http import wire
from pigpen.http.answers import check_method, decode_json, json_answer, read_json
from pigpen.http.body import read_all
from pigpen.http.message import Handler, Request, Response
from pigpen.web.connections import ElsewhereAddress
from pigpen.web.sender import Sender
from pigpen.web.throttle import Throttle, network_of

_HOST_ID = re.compile(r"[0-9]{1,10}", re.ASCII)
#: how long we look for another process that has the same identity, and where a name leads
PROBE_SECONDS = 1.0
#: what is [2] or [3] in the specification
_LATER = frozenset({"inventory", "drain", "reverse"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTools:
    """What it takes to deal with hosts."""

    env: Env
    settings: CoordinatorSettings
    client: Sender
    catalog: Catalog
    entrance: Entrance
    throttle: Throttle
    hosts: Hosts
    secret: ClusterSecret
    metrics: Metrics


class HostApi:
    """Keys are relative to /hosts."""

    log = Logger()

    def __init__(self, tools: HostTools) -> None:
        self._env = tools.env
        self._settings = tools.settings
        self._client = tools.client
        self._catalog = tools.catalog
        self._entrance = tools.entrance
        self._throttle = tools.throttle
        self._hosts = tools.hosts
        self._secret = tools.secret
        self._metrics = tools.metrics
        self._readings = Readings(tools.env)

    async def handle(self, request: Request) -> Response:
        response = await self._answer(request)
        response.headers[wire.CLOCK] = self._readings.take()
        return response

    async def _answer(self, request: Request) -> Response:
        match request.key.names:
            case ():
                check_method(request, "POST")
                return await self._register(request)
            case (number, action) if _HOST_ID.fullmatch(number):
                return await self._act(request, int(number), action)
            case _:
                raise NotFound

    async def _act(self, request: Request, host_id: int, action: str) -> Response:
        if action in _LATER:
            raise NotBuilt(reason=f"{action} is not there yet")
        if action not in {"session", "heartbeat", "receipts"}:
            raise NotFound
        check_method(request, "POST")
        row = await self._let_in(request, host_id)
        if action == "session":
            return await self._session(request, row)
        if action == "heartbeat":
            return await self._heartbeat(request, row)
        return await self._receipts(request, row)

    async def _let_in(self, request: Request, host_id: int) -> HostRow:
        """:raises Unauthorized: not this host's key. :raises TooManyRequests: too many tries."""
        name, address = f"host {host_id}", request.caller.address
        self._throttle.check(name, address)
        try:
            token = bearer_token(request.headers)
            row = await self._catalog.read(host_rows.authenticate_host, host_id, token)
        except Unauthorized:
            self._throttle.failed(name, address)
            raise
        self._throttle.succeeded(name, address)
        return row

    # -- registration -----------------------------------------------------------------------------

    async def _register(self, request: Request) -> Response:
        await self._entrance.read(request, None, _nothing)
        registration = await self._registration(request)
        network = network_of(request.caller.address)
        made = await self._entrance.write(
            request, None, _register, registration, network, self._settings.max_hosts
        )
        self.log.info("host {id} was registered", id=made.row.id)
        return json_answer(201, self._registered(made.row, made.host_key))

    async def _session(self, request: Request, row: HostRow) -> Response:
        registration = await self._registration(request)
        rival = await self._catalog.read(host_rows.rival_of, row.id, registration)
        if rival is not None and await self._is_alive(rival):
            raise Conflict(
                reason=f"host {row.id} runs already at {', '.join(rival.addresses)}; this one, at"
                f" {', '.join(registration.addresses)}, is a copy: give it a folder of its own"
            )
        network = network_of(request.caller.address)
        opened = await self._catalog.write(host_rows.open_session, row.id, registration, network)
        self.log.info("host {id} began epoch {epoch}", id=opened.id, epoch=opened.epoch)
        return json_answer(200, self._registered(opened, None))

    async def _registration(self, request: Request) -> wire.Registration:
        registration = await read_json(request, wire.Registration)
        addresses = self._addresses(registration.addresses)
        if not self._settings.allow_private:
            await self._refuse_elsewhere(addresses)
        return msgspec.structs.replace(registration, addresses=addresses)

    def _addresses(self, addresses: list[str]) -> list[str]:
        return check_addresses(addresses, allow_private=self._settings.allow_private)

    async def _refuse_elsewhere(self, addresses: list[str]) -> None:
        """:raises BadRequest: a name leads into a private network, so our client would tell nobody
        there anything. One that leads nowhere now is no matter: each connection is judged again."""
        for url in addresses:
            asking = Deferred.fromCoroutine(self._client.request("GET", f"{url}/status"))
            try:
                response = await asking.addTimeout(PROBE_SECONDS, self._env.clock)
            except ElsewhereAddress:
                raise private_address(url) from None
            except (PigpenError, TimeoutError):
                continue
            await response.body.aclose()

    def _registered(self, row: HostRow, host_key: str | None) -> wire.Registered:
        now = self._env.clock.seconds()
        self._hosts.add(make_host(row, heard=now))
        return wire.Registered(
            id=row.id,
            epoch=row.epoch,
            control=self._secret.control_secret(row.id, row.epoch),
            heartbeat_seconds=self._settings.heartbeat_seconds,
            host_key=host_key,
        )

    async def _is_alive(self, rival: HostRow) -> bool:
        """Whether the process that had this identity still answers at one of its addresses."""
        for url in rival.addresses:
            shown = Deferred.fromCoroutine(self._shows(url, rival))
            try:
                if await shown.addTimeout(PROBE_SECONDS, self._env.clock):
                    return True
            except (PigpenError, TimeoutError):
                continue  # nobody there, or somebody else
        return False

    async def _shows(self, url: str, rival: HostRow) -> bool:
        pin = rival.pin if url.startswith("https:") else None
        response = await self._client.request("GET", f"{url}/status", pin=pin)
        status = decode_json(await read_all(response.body, 64 * 1024), wire.HostStatus)
        return status.id == rival.id and status.instance == rival.instance

    # -- heartbeats -------------------------------------------------------------------------------

    async def _heartbeat(self, request: Request, row: HostRow) -> Response:
        beat = await read_json(request, wire.Heartbeat)
        beat = msgspec.structs.replace(beat, addresses=self._addresses(beat.addresses))
        try:
            stored = await self._catalog.write(host_rows.store_heartbeat, row.id, beat)
        except CatalogFull:
            # it says all of that again; but what it keeps can be read meanwhile
            if row.epoch == beat.epoch:
                self._heard(row, beat)
            raise
        self._heard(stored, beat)
        return Response(204)

    def _heard(self, row: HostRow, beat: wire.Heartbeat) -> None:
        host = self._hosts.get(row.id)
        if host is None or host.epoch != row.epoch:
            host = make_host(row, heard=self._env.clock.seconds())
            self._hosts.add(host)
        self._hosts.beat(host, beat)

    # -- receipts ---------------------------------------------------------------------------------

    async def _receipts(self, request: Request, row: HostRow) -> Response:
        receipts = await read_json(request, list[wire.Receipt])
        if len(receipts) > wire.MAX_BATCH:
            raise TooLarge(limit=wire.MAX_BATCH_BYTES)
        begun = self._env.clock.seconds()
        # all in one commit of the catalog, each judged alone
        commits = [
            maybeDeferred(
                self._catalog.write, writes.commit_receipt, row.id, receipt, self._readings.is_late
            )
            for receipt in receipts
        ]
        try:
            answers = [await commit for commit in commits]
        finally:
            for commit in commits:
                # if one failed, or the host left, the others go on
                _ = commit.addErrback(lambda _: None)
        self._metrics.commit_seconds.observe(self._env.clock.seconds() - begun)
        for answer in answers:
            self._metrics.committed(answer.error or "committed")
        return json_answer(200, answers)


def make_host(row: HostRow, *, heard: float) -> Host:
    """A host in memory, as the catalog knows it. :param heard: on the monotonic clock."""
    report = wire.Heartbeat(
        epoch=row.epoch,
        target_size=row.target_size,
        used=row.used,
        reserved=row.reserved,
        floor=row.free_floor,
        disk_free=row.disk_free,
        state=row.state,
        addresses=list(row.addresses),
    )
    return Host(
        row.id,
        epoch=row.epoch,
        instance=row.instance,
        report=report,
        created=row.created / 1000,
        heard=heard,
        pin=row.pin,
    )


def _nothing(_: Transaction, __: Principal) -> None:
    return None


def _register(
    transaction: Transaction,
    principal: Principal,
    registration: wire.Registration,
    network: str,
    max_hosts: int,
) -> NewHost:
    owner = principal.account_id
    return host_rows.register_host(transaction, owner, registration, network, max_hosts)


_is_handler: type[Handler] = HostApi
