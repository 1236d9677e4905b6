"""Entrance: one catalog transaction lets a caller in and does what it asks for (CLD-3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from pigpen.coordinator.catalog.access_keys import Credentials
from pigpen.coordinator.catalog.accounts import Principal, authenticate, note_used
from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.credentials import parse_authorization
from pigpen.database.transaction import Transaction
from pigpen.env import Env
from pigpen.errors import Forbidden, NotFound, Unauthorized
from pigpen.http.message import Request
from pigpen.web.throttle import Throttle

P = ParamSpec("P")
T = TypeVar("T")


class Entrance:
    """Runs rules ``rule(transaction, principal, ...)`` for callers with a valid access key."""

    def __init__(
        self, env: Env, catalog: Catalog, throttle: Throttle, public_name: str = ""
    ) -> None:
        """:param public_name: how people call this server, where the Host field says something
        else: with the port, unless it is the usual one."""
        self._public_name = public_name
        self._env = env
        self._catalog = catalog
        self._throttle = throttle
        self._last_used: dict[str, int] = {}

    async def read(
        self,
        request: Request,
        login: str | None,
        rule: Callable[Concatenate[Transaction, Principal, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Let in and read, in one catalog read.

        :param login: whose path is asked for; None: the caller's own account is meant.
        :raises Unauthorized: no valid key. :raises NotFound: it is another account's path.
        :raises TooManyRequests: too many wrong keys came before. :raises Forbidden: a page of
            another server asks.
        """
        return await self._enter(self._catalog.read, request, login, _bound(rule, kwargs), args)

    async def write(
        self,
        request: Request,
        login: str | None,
        rule: Callable[Concatenate[Transaction, Principal, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As `read`, for a rule that changes things; done when that is durable."""
        return await self._enter(self._catalog.write, request, login, _bound(rule, kwargs), args)

    async def write_soon(
        self,
        request: Request,
        login: str | None,
        rule: Callable[Concatenate[Transaction, Principal, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As `write`, for what does no harm if a power cut undoes it (`Database.write_soon`)."""
        run = self._catalog.write_soon
        return await self._enter(run, request, login, _bound(rule, kwargs), args)

    async def _enter(
        self,
        run: Callable[..., Any],
        request: Request,
        login: str | None,
        rule: Callable[..., T],
        args: tuple[object, ...],
    ) -> T:
        address = request.caller.address
        try:
            credentials = parse_authorization(request.headers)
        except Unauthorized:
            # nothing was guessed where nothing was said: browsers ask first
            if "Authorization" in request.headers:
                self._throttle.check("", address)
                self._throttle.failed("", address)
            raise
        if credentials.login is not None:
            self._check_page(request)
        key_id = credentials.key.id
        self._throttle.check(key_id, address)
        try:
            result: T = await run(_let_in, credentials, login, rule, args)
        except Unauthorized:
            self._throttle.failed(key_id, address)
            raise
        self._throttle.succeeded(key_id, address)
        self._last_used[key_id] = int(self._env.wall() * 1000)
        return result

    def _check_page(self, request: Request) -> None:
        """Keep foreign pages out: a browser sends a remembered login along with what they ask.

        :raises Forbidden: a change, asked by a page of another server (F3).
        """
        origin = request.headers.get("Origin")
        if origin is None or request.method in {"GET", "HEAD"}:
            return
        name = origin.partition("://")[2].lower()
        # "null", which sandboxed pages and files send, has no name
        if not name or name not in {request.headers.get("Host", "").lower(), self._public_name}:
            raise Forbidden(reason="web pages of other servers may not change anything here")

    def last_used(self, key_id: str) -> int | None:
        """Ms since 1970; None: not since the catalog was told last, see `note_used`."""
        return self._last_used.get(key_id)

    async def note_used(self) -> None:
        """Write down when access keys were last used; about once a minute."""
        last_used, self._last_used = self._last_used, {}
        if last_used:
            await self._catalog.write(note_used, last_used)


def _bound(rule: Callable[..., T], kwargs: dict[str, object]) -> Callable[..., T]:
    return partial(rule, **kwargs) if kwargs else rule


def _let_in(
    transaction: Transaction,
    credentials: Credentials,
    login: str | None,
    rule: Callable[..., T],
    args: tuple[object, ...],
) -> T:
    principal = authenticate(transaction, credentials)
    if login is not None and principal.login != login:
        raise NotFound
    return rule(transaction, principal, *args)
