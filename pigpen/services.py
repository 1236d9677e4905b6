"""Services: the parts of pigpen as Twisted service trees.

    HostService, RedirectService (the coordinator), WebDAVService: one part behind one port
    pigpen.solo.SoloService: all three in one process

Starting listens first, so that a host is reachable when it registers, then starts the part.
Stopping takes the same steps back: no new connections, requests under way end or are cut after a
time, the part stops, its client closes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import quoteStringArgument
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from pigpen.config import (
    DEFAULT_COORDINATOR,
    CoordinatorConfig,
    HostConfig,
    Listen,
    exposure,
    is_loopback,
)
from pigpen.env import Env
from pigpen.errors import ConfigError, PigpenError
from pigpen.http.key import Key
from pigpen.http.message import Handler
from pigpen.web.client import HttpClient
from pigpen.web.proxies import Proxies
from pigpen.web.server import HttpFactory, ServerLimits
from pigpen.web.tls import self_signed_pin, tls_factory

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort
    from twisted.python.failure import Failure

    from pigpen.coordinator.coordinator import Coordinator
    from pigpen.gateway import Gateway
    from pigpen.host.host import Host

#: how long requests under way may go on when a service stops
DRAIN_SECONDS = 10.0
#: the path of the coordinator's WebDAV
DAV: Final = "dav"

#: connections that may wait to be accepted. With Twisted's 50 a crowd that comes at once is told
#: nothing, and its systems try again after 1, 3, 7, 15 s; the system's own limit holds as well
BACKLOG = 1024


class Part(Protocol):
    """A coordinator, a host, a gateway."""

    @property
    def handler(self) -> Handler: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


#: told the error that ends the process
Fatal = Callable[[PigpenError], None]

log = Logger()


class PartService(MultiService):
    """One part behind one port; `ready` fires when it has started."""

    log = Logger()
    #: how its user chooses its port
    port_option = "--port"

    def __init__(
        self, env: Env, part: Part, client: HttpClient, listen: Listen, fatal: Fatal
    ) -> None:
        """:param client: closed when all else has stopped. :param fatal: told why the part cannot
        start; it ends the process."""
        super().__init__()
        self._env = env
        self._client = client
        self._listen = listen
        self._fatal = fatal
        limits = limits_for(env.descriptors())
        self._factory = HttpFactory(env, part.handler, limits, believed(listen))
        self._port: IListeningPort | None = None
        self._starting: Deferred[None] | None = None
        self.part = part
        self.ready: Deferred[None] = Deferred()

    def privilegedStartService(self) -> None:
        """:raises PigpenError: the port cannot be had, or the certificate not be used."""
        self._open_port()
        super().privilegedStartService()

    def startService(self) -> None:
        if self._port is None:
            self._open_port()
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start()).addErrback(end, self._fatal)

    async def _start(self) -> None:
        await self.part.start()
        self.log.info("listening on {url}", url=own_url(self._listen))
        self.ready.callback(None)

    def _open_port(self) -> None:
        listen = self._listen
        factory: Any = self._factory
        if listen.certificate is not None and listen.private_key is not None:
            factory = tls_factory(self._env, listen.certificate, listen.private_key, factory)
        interface = quoteStringArgument(listen.interface)
        endpoint = self._env.server_endpoint(
            f"tcp:{listen.port}:interface={interface}:backlog={BACKLOG}"
        )
        ports: list[IListeningPort] = []
        errors: list[Failure] = []
        _ = endpoint.listen(factory).addCallbacks(ports.append, errors.append)
        if errors:
            raise _not_listening(listen, errors[0].value, self.port_option)
        [self._port] = ports  # TCP listens at once

    def stopService(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        try:
            if self._starting is not None:
                self._starting.cancel()
            if self._port is not None:
                await maybeDeferred(self._port.stopListening)
            await self._wind_down()
        finally:
            await self._client.close()
            await super().stopService()

    async def _wind_down(self) -> None:
        try:
            await self._factory.drain(DRAIN_SECONDS)
        finally:
            await self.part.stop()


class HostService(PartService):
    """Lends a folder's space to the cloud."""

    part: Host

    async def _start(self) -> None:
        await super()._start()
        # a refusal to register ends the process; being unable to reach the coordinator does not
        await self.part.when_online()
        self.log.info("the coordinator has accepted this host")

    async def _wind_down(self) -> None:
        # the host ends its transfers itself, keeping what is cut; only then do connections end
        await gatherResults(
            [
                Deferred.fromCoroutine(self._factory.drain(DRAIN_SECONDS)),
                Deferred.fromCoroutine(self.part.stop()),
            ],
            consumeErrors=True,
        )


class RedirectService(PartService):
    """The coordinator: names, and redirects to the hosts that have the bytes."""

    part: Coordinator


class WebDAVService(PartService):
    """The cloud by WebDAV: `pigpen.gateway` makes it."""

    part: Gateway

    async def _start(self) -> None:
        await super()._start()
        await self.part.when_online()


def limits_for(descriptors: int) -> ServerLimits:
    """The server's, where the process may open this many files and sockets: a client can need a
    file and a connection elsewhere too, and solo has three servers."""
    usual = ServerLimits()
    return replace(usual, connections=max(1, min(usual.connections, descriptors // 4)))


def end(failure: Failure, fatal: Fatal) -> None:
    """Tell why a service cannot start, unless it was stopped meanwhile."""
    error = failure.value
    if isinstance(error, CancelledError):
        return
    if not isinstance(error, PigpenError):
        log.failure("cannot start", failure)
        error = PigpenError()
    fatal(error)


# -- making them: each imports its part only, as a process that needs one has no use for the others


def make_host(env: Env, config: HostConfig, fatal: Fatal) -> HostService:
    from pigpen.host.host import Host
    from pigpen.host.settings import HostSettings

    check_listen(config)
    client = HttpClient(env)
    coordinator = config.coordinator or DEFAULT_COORDINATOR
    warn_if_exposed(coordinator, config)
    settings = HostSettings(
        folder=os.path.abspath(config.folder),
        coordinator=coordinator,
        target_size=int(config.target_size),
        addresses=config.addresses or [own_url(config)],
        access_key=config.access_key,
        floor=None if config.floor is None else int(config.floor),
        zone=config.zone,
        pin=self_signed_pin(env, config.certificate) if config.certificate else None,
    )
    return HostService(env, Host(env, client, settings), client, config, fatal)


def make_coordinator(env: Env, config: CoordinatorConfig, fatal: Fatal) -> RedirectService:
    from pigpen.coordinator.addresses import is_public
    from pigpen.coordinator.coordinator import Coordinator
    from pigpen.coordinator.settings import CoordinatorSettings

    check_listen(config)
    client = HttpClient(env, may_reach=None if config.allow_private else is_public)
    settings = CoordinatorSettings(
        folder=os.path.abspath(config.folder),
        catalog=config.catalog,
        public_url=config.public_url,
        allow_private=config.allow_private,
        dav_redirects=config.dav_redirect,
    )
    coordinator = Coordinator(env, client, settings)
    coordinator.mount("/", _dav(env, coordinator, config))
    return RedirectService(env, coordinator, client, config, fatal)


def _dav(env: Env, coordinator: Coordinator, config: CoordinatorConfig) -> Handler:
    """WebDAV below /dav/, for whoever has an access key; above it only the way there (DAV-65)."""
    from pigpen.dav.face import WebDav
    from pigpen.dav.own_names import OwnNames, OwnNamesOnly
    from pigpen.dav.settings import REDIRECTED_AGENTS, DavSettings

    public = urlsplit(config.public_url or "").netloc.lower()
    aliases = frozenset({public} if public else ())
    settings = DavSettings(
        prefix=Key((DAV,), True),
        aliases=aliases,
        redirected_agents=REDIRECTED_AGENTS if config.dav_redirect else (),
    )
    face = WebDav(env, coordinator.admission, settings)
    # a page that resolves its name to us has no key, as browsers keep them by name
    return OwnNamesOnly(face, OwnNames(anywhere=True, aliases=aliases))


def check_listen(listen: Listen) -> None:
    """:raises ConfigError: TLS by halves, or none where others could listen in."""
    if (listen.certificate is None) != (listen.private_key is None):
        reason = "--certificate and --private-key belong together: give both"
        raise ConfigError(path="TLS", reason=reason)
    if listen.certificate is None and not listen.insecure and not is_loopback(listen.interface):
        reason = (
            "plain HTTP there could be read by others: give --certificate and --private-key, or"
            " --insecure if the network is yours alone"
        )
        raise ConfigError(path=f"interface {listen.interface}", reason=reason)


def believed(listen: Listen) -> Proxies:
    """The servers in front. :raises ConfigError: one has no address."""
    try:
        return Proxies(listen.proxies)
    except ValueError as error:
        reason = f"{error}; write what it connects from, such as 192.0.2.1"
        raise ConfigError(path="proxy", reason=reason) from None


def warn_if_exposed(coordinator: str, listen: Listen) -> None:
    """Say so if the access key can be read on its way."""
    warning = exposure(coordinator)
    if warning is not None and not listen.insecure:
        log.warn("{risk}", risk=warning)  # noqa: G010  # its only name in Twisted


def own_url(listen: Listen) -> str:
    """The URL of a service, as seen from its own machine."""
    scheme = "http" if listen.certificate is None else "https"
    name = f"[{listen.interface}]" if ":" in listen.interface else listen.interface
    return f"{scheme}://{name}:{listen.port}"


def _not_listening(listen: Listen, error: BaseException | None, option: str) -> ConfigError:
    reason = str(error)
    if isinstance(error, CannotListenError):
        reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
    where = f"{listen.interface} port {listen.port}"
    reason = f"{reason}; choose another {option}"
    return ConfigError(path=f"cannot listen on {where}", reason=reason)
