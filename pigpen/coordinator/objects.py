"""ObjectsApi: /api/LOGIN/KEY, everything that is done to objects and collections."""

from __future__ import annotations

from pigpen.coordinator.account_locks import AccountLocks
from pigpen.coordinator.catalog import namespace, writes
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.nodes import Node
from pigpen.coordinator.details import Details, read_changes
from pigpen.coordinator.downloads import Downloads
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.listings import Listings
from pigpen.coordinator.request_terms import Query, destination_of, when_of
from pigpen.coordinator.settings import CoordinatorSettings
from pigpen.coordinator.uploads import Uploads
from pigpen.database.transaction import Transaction
from pigpen.errors import BadField, MethodNotAllowed, NotBuilt, NotFound
from pigpen.http.answers import json_answer
from pigpen.http.key import Key
from pigpen.http.message import Handler, Headers, Request, Response
from pigpen.http.namespace import Changes
from pigpen.http.request_fields import deep_of, overwrite_of

METHODS = "GET, HEAD, PUT, DELETE, MKCOL, MOVE, COPY"


class ObjectsApi:
    """Keys are relative to /api/: the first name is the login."""

    def __init__(
        self,
        settings: CoordinatorSettings,
        entrance: Entrance,
        downloads: Downloads,
        uploads: Uploads,
        listings: Listings,
        locks: AccountLocks,
    ) -> None:
        self._public_url = settings.public_url
        self._always_secure = settings.always_secure
        self._entrance = entrance
        self._details = Details(entrance)
        self._downloads = downloads
        self._uploads = uploads
        self._listings = listings
        self._locks = locks

    async def handle(self, request: Request) -> Response:
        if not request.key.names:
            raise NotFound
        login = request.key.names[0]
        key = request.key.below(1)
        query = Query(request)
        if "complaint" in query:
            await self._entrance.read(request, login, _nothing)
            raise NotBuilt(reason="?complaint is not there yet")
        if "locks" in query:
            return await self._locks.answer(request, login, key, query)
        if "properties" in query or "lock" in query:
            return await self._details.answer(request, login, key, query)
        method = request.method
        if method in {"GET", "HEAD"}:
            return await self._get(request, login, key, query)
        if method == "PUT":
            secure = request.secure or self._always_secure
            return await self._uploads.put(request, login, key, query, secure=secure)
        if method == "DELETE":
            return await self._delete(request, login, key, query)
        if method == "MKCOL":
            return await self._make_collection(request, login, key, query)
        if method in {"MOVE", "COPY"}:
            return await self._transfer(request, login, key, query)
        raise MethodNotAllowed(method=method, allow=METHODS)

    # -- reads ------------------------------------------------------------------------------------

    async def _get(self, request: Request, login: str, key: Key, query: Query) -> Response:
        write = query.write_id()
        if write is not None:
            state = await self._entrance.read(request, login, writes.write_state, write)
            return json_answer(200, state)
        mode = query.redirect
        if query.get("depth") == "0":
            return await self._listings.itself(request, login, key, query)
        principal, node = await self._entrance.read(request, login, _look, key, query.loose)
        if node.is_collection:
            return await self._listings.answer(request, principal, node.key, query)
        secure = request.secure or self._always_secure
        account = str(principal.account_id)
        return await self._downloads.answer(request, node, account, mode, secure=secure)

    # -- changes, in the catalog ------------------------------------------------------------------

    async def _delete(self, request: Request, login: str, key: Key, query: Query) -> Response:
        write = query.write_id()
        if write is not None:
            await self._entrance.write(request, login, writes.abandon, write, key)
        else:
            when = when_of(request, query)
            await self._entrance.write(request, login, namespace.delete, key, when)
        return Response(204)

    async def _make_collection(
        self, request: Request, login: str, key: Key, query: Query
    ) -> Response:
        changes: Changes = ()
        if request.body.length != 0:
            await self._entrance.read(request, login, _nothing)
            changes = await read_changes(request)
        when = when_of(request, query)
        await self._entrance.write(request, login, namespace.make_collection, key, when, changes)
        return Response(201, Headers({"Cache-Control": "no-store"}))

    async def _transfer(self, request: Request, login: str, key: Key, query: Query) -> Response:
        destination = destination_of(request, login, self._public_url)
        overwrite, when = overwrite_of(request), when_of(request, query)
        if request.method == "COPY":
            new = await self._entrance.write(
                request,
                login,
                namespace.copy,
                key,
                destination,
                deep=deep_of(request),
                overwrite=overwrite,
                when=when,
            )
        else:
            if request.headers.get("Depth", "infinity").strip().lower() != "infinity":
                raise BadField(field="Depth", reason="a MOVE takes all that lies below")
            new = await self._entrance.write(
                request, login, namespace.move, key, destination, overwrite=overwrite, when=when
            )
        return Response(201 if new else 204, Headers({"Cache-Control": "no-store"}))


# -- rules, with who asks in front ----------------------------------------------------------------


def _nothing(_: Transaction, __: Principal) -> None:
    return None


def _look(
    transaction: Transaction, principal: Principal, key: Key, loose: bool
) -> tuple[Principal, Node]:
    return principal, namespace.resolve(transaction, principal, key, loose=loose)


_is_handler: type[Handler] = ObjectsApi
