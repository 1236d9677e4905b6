"""Operator: what is done to accounts at the coordinator itself (CLD-1), while it runs or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pigpen.coordinator.catalog import accounts
from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.catalog.opening import open_catalog
from pigpen.database.transaction import Transaction
from pigpen.env import Env
from pigpen.errors import ConfigError
from pigpen.http import wire

T = TypeVar("T")


class Operator:
    """Short tasks over the catalog in a folder."""

    def __init__(self, env: Env, folder: str, where: str | None = None) -> None:
        """:param folder: the coordinator's; made if it is not there yet.
        :param where: as in `open_catalog`."""
        self._env = env
        self._folder = folder
        self._where = where

    async def make_account(self, login: str, quota: int | None) -> str:
        """:return: its first access key. :raises BadRequest, Conflict: the login."""
        return await self._run(lambda catalog: catalog.write(make_account, login, quota))

    async def add_key(self, login: str, label: str) -> str:
        """:return: one more access key. :raises NoAccount: there is none."""
        return await self._run(lambda catalog: catalog.write(add_key, login, label))

    async def set_quota(self, login: str, quota: int | None) -> None:
        """:param quota: bytes; None: no limit. :raises NoAccount: there is none."""
        await self._run(lambda catalog: catalog.write(set_quota, login, quota))

    async def set_state(self, login: str, *, active: bool) -> None:
        """Let an account in or not; what it stores stays. :raises NoAccount: there is none."""
        await self._run(lambda catalog: catalog.write(set_state, login, active))

    async def _run(self, task: Callable[[Catalog], Awaitable[T]]) -> T:
        await self._env.in_thread(self._make_folder)
        catalog = await open_catalog(self._env, self._folder, self._where, beside=True)
        try:
            return await task(catalog)
        finally:
            await catalog.close()

    def _make_folder(self) -> None:
        try:
            self._env.disk.make_folder(self._folder)
        except OSError as error:
            reason = f"this folder cannot be made: {error.strerror}"
            raise ConfigError(path=self._folder, reason=reason) from None


# -- rules ----------------------------------------------------------------------------------------


def make_account(transaction: Transaction, login: str, quota: int | None) -> str:
    account_id = accounts.make_account(transaction, login, quota)
    return accounts.add_key(transaction, account_id, wire.NewKey(label="first")).key


def add_key(transaction: Transaction, login: str, label: str) -> str:
    account_id = accounts.find_account(transaction, login)
    return accounts.add_key(transaction, account_id, wire.NewKey(label=label)).key


def set_quota(transaction: Transaction, login: str, quota: int | None) -> None:
    accounts.set_quota(transaction, accounts.find_account(transaction, login), quota)


def set_state(transaction: Transaction, login: str, active: bool) -> None:
    state = accounts.ACTIVE if active else accounts.SUSPENDED
    accounts.set_state(transaction, accounts.find_account(transaction, login), state)
