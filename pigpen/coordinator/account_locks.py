"""AccountLocks: all locks of an account, for who owns it (DAV-46).

GET    ?locks           lines of LockInfo by token, then ListEnd; of an owner, its beginning
DELETE ?locks=TOKEN     204: it is broken, whoever took it
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from pigpen.coordinator.catalog import locking
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.catalog.details import lock_info, lock_of
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.request_terms import Query
from pigpen.database.transaction import Transaction
from pigpen.errors import BadRequest
from pigpen.http import wire
from pigpen.http.answers import NDJSON, check_method
from pigpen.http.body import StreamBody
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response


class AccountLocks:
    """Answers what is asked of an account's root with ``?locks``."""

    def __init__(self, entrance: Entrance, catalog: Catalog) -> None:
        self._entrance = entrance
        self._catalog = catalog

    async def answer(self, request: Request, login: str, key: Key, query: Query) -> Response:
        """:raises NotFound: there is no such lock. :raises BadRequest: it is not the root."""
        check_method(request, "GET", "DELETE")
        if not key.is_root:
            raise BadRequest(reason="locks are of a whole account: ask for /api/LOGIN/?locks")
        if request.method == "DELETE":
            await self._entrance.write(request, login, locking.break_lock, query.get("locks") or "")
            return Response(204)
        principal, page = await self._entrance.read(request, login, _first)
        headers = Headers({"Content-Type": NDJSON, "Cache-Control": "no-store"})
        return Response(200, headers, StreamBody(self._lines(principal, page)))

    async def _lines(
        self, principal: Principal, page: list[wire.LockInfo]
    ) -> AsyncGenerator[bytes, None]:
        while page:
            yield b"".join(wire.encode(line) + b"\n" for line in page)
            page = await self._catalog.read(_page, principal, page[-1].token)
        yield wire.encode(wire.ListEnd(end=True, next=None)) + b"\n"


def _first(tx: Transaction, principal: Principal) -> tuple[Principal, list[wire.LockInfo]]:
    return principal, _page(tx, principal, "")


def _page(tx: Transaction, principal: Principal, after: str) -> list[wire.LockInfo]:
    found = locking.all_locks(tx, principal, after)
    return [lock_info(principal.login, lock_of(root, lock)) for root, lock in found]
