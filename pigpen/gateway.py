"""The gateway: WebDAV in front of the cloud (`pigpen runserver`; DAV-100 to DAV-103).

loopback            everyone, in the gateway's own account
a file of users     its users, in the gateway's own account
anywhere else       whoever shows a login and an access key, in that account; over TLS only
"""

from __future__ import annotations

import re
from typing import Final

from twisted.logger import Logger

from pigpen.client.namespace import RemoteNamespace
from pigpen.client.session import Session, may_pass
from pigpen.client.visitors import Visitors
from pigpen.config import (
    DEFAULT_COORDINATOR,
    GatewayConfig,
    exposure,
    is_loopback,
    load_private,
)
from pigpen.dav.admission import KeyAdmission, OpenAdmission, UserAdmission
from pigpen.dav.face import WebDav
from pigpen.dav.own_names import OwnNames, OwnNamesOnly
from pigpen.dav.settings import REDIRECTED_AGENTS, DavSettings
from pigpen.dav.users import MAX_FILE_BYTES, parse_users
from pigpen.env import Env, sleep
from pigpen.errors import BadKey, ConfigError, KeyTooLong, PigpenError
from pigpen.http.key import Key
from pigpen.http.message import Handler
from pigpen.http.namespace import Admission
from pigpen.services import Fatal, WebDAVService, check_listen, warn_if_exposed
from pigpen.web.client import ClientLimits, HttpClient

#: requests at once to one peer; each slow reader needs one. A server elsewhere takes 50 connections
#: of one address, and there may be as many idle ones of either kind, for calls and for bodies
CONNECTIONS: Final = 24
CONNECTIONS_HERE: Final = 256
#: between two looks for a coordinator that was away at the start
RETRY_SECONDS: Final = 5.0

#: as a Host field has it: a name or an address, with a port or without
_ALIAS = re.compile(
    r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+"
)
_OPEN_BEHIND_PROXY: Final = (
    "whoever reaches the proxy reads and changes this account without a login: give --users=FILE,"
    " or let the proxy ask for one"
)

_log = Logger()


class Gateway:
    """What runs while the gateway does."""

    log = Logger()

    def __init__(self, env: Env, handler: Handler, session: Session | None) -> None:
        """:param session: of its own account; None: everyone brings a key."""
        self._env = env
        self._handler = handler
        self._session = session
        self._online = session is None

    @property
    def handler(self) -> Handler:
        return self._handler

    async def start(self) -> None:
        """Ask the coordinator for the account; one that is away may come later: then everyone is
        told to try again (503).

        :raises PigpenError: as `when_online`.
        """
        try:
            await self._ask()
        except PigpenError as error:
            if not may_pass(error):
                raise
            self.log.warn(  # noqa: G010  # its only name in Twisted
                "{reason} Until it answers, clients get 503", reason=error.message
            )

    async def when_online(self) -> None:
        """Returns when the coordinator has accepted the access key.

        :raises PigpenError: it does not know the key, or something else answers there.
        """
        while not self._online:
            await sleep(self._env, RETRY_SECONDS)
            try:
                await self._ask()
            except PigpenError as error:
                if not may_pass(error):
                    raise

    async def _ask(self) -> None:
        if self._session is None:
            return
        account = await self._session.account()
        self._online = True
        self.log.info("serving the cloud of {login}", login=account.login)

    async def stop(self) -> None:
        return None


def make_gateway(env: Env, config: GatewayConfig, fatal: Fatal) -> WebDAVService:
    """:raises ConfigError: what was configured cannot be served, or not safely."""
    check_listen(config)
    coordinator = config.coordinator or DEFAULT_COORDINATOR
    here = exposure(coordinator) is None and coordinator.startswith("http:")
    client = HttpClient(env, ClientLimits(connections=CONNECTIONS_HERE if here else CONNECTIONS))
    if not config.trusted:
        warn_if_exposed(coordinator, config)
    session = _own_session(env, config, client, coordinator)
    admission = _admission(env, config, session, Visitors(env, client, coordinator))
    handler = OwnNamesOnly(WebDav(env, admission, _settings(config)), _own_names(config))
    return WebDAVService(env, Gateway(env, handler, session), client, config, fatal)


def _own_session(
    env: Env, config: GatewayConfig, client: HttpClient, coordinator: str
) -> Session | None:
    if config.users is None and not is_loopback(config.interface):
        if config.certificate is None:
            reason = (
                "over plain HTTP access keys could be read by others: give --certificate and"
                " --private-key, or --users=FILE, who log in by Digest"
            )
            raise ConfigError(path=f"interface {config.interface}", reason=reason)
        return None
    if config.access_key is None:
        reason = "an access key is needed: pass -k KEY, or write 'accesskey: KEY' to ~/.pigpen"
        raise ConfigError(path="the gateway", reason=reason)
    return Session(env, client, coordinator, config.access_key)


def _admission(
    env: Env, config: GatewayConfig, session: Session | None, visitors: Visitors
) -> Admission:
    if session is None:
        return KeyAdmission(env, visitors)
    namespace = RemoteNamespace(session)
    if config.users is None:
        if config.proxies:
            _log.warn("{risk}", risk=_OPEN_BEHIND_PROXY)
        return OpenAdmission(namespace)
    text = load_private(env.disk, config.users, MAX_FILE_BYTES)
    return UserAdmission(env, parse_users(text, config.users), namespace)


def _settings(config: GatewayConfig) -> DavSettings:
    """:raises ConfigError: the prefix is no path."""
    try:
        prefix = Key.from_path("/" + config.prefix.strip("/"))
    except (BadKey, KeyTooLong) as error:
        reason = error.message.rstrip(".")
        raise ConfigError(path=f"prefix {config.prefix}", reason=reason) from None
    aliases = _aliases(config)
    return DavSettings(
        prefix=Key(prefix.names, True),
        aliases=aliases | {f"{name}:{config.port}" for name in aliases},
        infinity=config.infinity,
        redirected_agents=REDIRECTED_AGENTS if config.redirect else (),
    )


def _own_names(config: GatewayConfig) -> OwnNames:
    """:raises ConfigError: an alias is no name."""
    return OwnNames(bound=config.interface, aliases=_aliases(config))


def _aliases(config: GatewayConfig) -> frozenset[str]:
    """:raises ConfigError: one is no name."""
    for name in config.aliases:
        if not _ALIAS.fullmatch(name):
            reason = "write a name, such as cloud.example or cloud.example:8443"
            raise ConfigError(path=f"alias {name}", reason=reason)
    return frozenset(name.lower() for name in config.aliases)


def handler_below(env: Env, session: Session, prefix: Key) -> Handler:
    """A WebDAV handler for somebody else's server, which decides who may come, by what name.

    :param prefix: where it is mounted: paths come whole.
    """
    face = WebDav(env, OpenAdmission(RemoteNamespace(session)), DavSettings(prefix=prefix))
    return OwnNamesOnly(face, OwnNames(anywhere=True))
