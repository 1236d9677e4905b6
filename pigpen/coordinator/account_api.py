"""AccountApi: /account, what an account may know and do about itself (CLD-5)."""

from __future__ import annotations

from pigpen.coordinator.catalog import accounts
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.openings import Openings
from pigpen.database.transaction import Transaction
from pigpen.errors import NotFound
from pigpen.http import wire
from pigpen.http.answers import check_method, json_answer, read_json
from pigpen.http.message import Handler, Request, Response

MAX_BODY_BYTES = 4096


class AccountApi:
    """Keys are relative to /account."""

    def __init__(self, entrance: Entrance, openings: Openings) -> None:
        self._entrance = entrance
        self._openings = openings

    async def handle(self, request: Request) -> Response:
        match request.key.names:
            case ():
                return await self._account(request)
            case ("keys",):
                return await self._add_key(request)
            case ("keys", key_id):
                return await self._revoke_key(request, key_id)
            case _:
                raise NotFound

    async def _account(self, request: Request) -> Response:
        check_method(request, "GET", "HEAD")
        account = await self._entrance.read(request, None, _info)
        account.available = self._openings.available(accounts.left_of(account))
        for key in account.keys:
            key.last_used = self._entrance.last_used(key.id) or key.last_used
        return json_answer(200, account)

    async def _add_key(self, request: Request) -> Response:
        check_method(request, "POST")
        # strangers are refused before anyone reads what they send
        await self._entrance.read(request, None, _nothing)
        wish = wire.NewKey()
        if request.body.length != 0:
            wish = await read_json(request, wire.NewKey, MAX_BODY_BYTES)
        return json_answer(201, await self._entrance.write(request, None, _add_key, wish))

    async def _revoke_key(self, request: Request, key_id: str) -> Response:
        check_method(request, "DELETE")
        await self._entrance.write(request, None, _revoke_key, key_id)
        return Response(204)


def _nothing(_: Transaction, __: Principal) -> None:
    return None


def _info(transaction: Transaction, principal: Principal) -> wire.Account:
    return accounts.account_info(transaction, principal.account_id)


def _add_key(transaction: Transaction, principal: Principal, wish: wire.NewKey) -> wire.MadeKey:
    return accounts.add_key(transaction, principal.account_id, wish)


def _revoke_key(transaction: Transaction, principal: Principal, key_id: str) -> None:
    accounts.revoke_key(transaction, principal.account_id, key_id)


_is_handler: type[Handler] = AccountApi
