"""CatalogAdmission: an access key, by Basic or Bearer, opens its account's namespace (CLD-3)."""

from __future__ import annotations

from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog_namespace.namespace import CatalogNamespace
from pigpen.coordinator.catalog_namespace.tools import NamespaceTools
from pigpen.coordinator.credentials import parse_authorization
from pigpen.database.transaction import Transaction
from pigpen.errors import Unauthorized
from pigpen.http.answers import BASIC
from pigpen.http.message import Request
from pigpen.http.namespace import Admission, Visit

#: so long a key that was right opens the door without a look at the catalog. What is done behind
#: it is let in again by the transaction that does it, so a revoked key opens nothing.
KNOWN_SECONDS = 10.0
MAX_KNOWN = 1000


class CatalogAdmission:
    """Lets in whoever has a valid access key; the user whose tokens count is the account."""

    def __init__(self, tools: NamespaceTools) -> None:
        self._tools = tools
        #: by key id, hash of its secret and login as sent: the account's login, and until when
        self._known: dict[tuple[str, bytes, str | None], tuple[str, float]] = {}

    async def admit(self, request: Request) -> Visit:
        """:raises Unauthorized: no valid key. :raises TooManyRequests: too many wrong ones came.
        :raises Forbidden: a page of another server asks."""
        login = self._known_login(request)
        if login is None:
            login = await self._ask(request)
            self._remember(request, login)
        return Visit(CatalogNamespace(self._tools, request, login), login)

    async def _ask(self, request: Request) -> str:
        try:
            return await self._tools.entrance.read(request, None, _login)
        except Unauthorized:
            # a Bearer is taken too, but no WebDAV client knows what to do when asked for one
            raise Unauthorized(challenges=(BASIC,)) from None

    def _known_login(self, request: Request) -> str | None:
        try:
            login, until = self._known.get(_name(request), ("", 0.0))
        except Unauthorized:
            return None  # the entrance says so, and counts it
        return login if until > self._tools.env.clock.seconds() else None

    def _remember(self, request: Request, login: str) -> None:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        until = self._tools.env.clock.seconds() + KNOWN_SECONDS
        self._known[_name(request)] = login, until


def _name(request: Request) -> tuple[str, bytes, str | None]:
    """:raises Unauthorized: these are no credentials."""
    credentials = parse_authorization(request.headers)
    return credentials.key.id, credentials.key.secret_sha256, credentials.login


def _login(_: Transaction, principal: Principal) -> str:
    return principal.login


_is_admission: type[Admission] = CatalogAdmission
