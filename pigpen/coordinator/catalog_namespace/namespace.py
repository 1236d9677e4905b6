"""CatalogNamespace: tree, properties, locks, quota, each call one transaction of the catalog."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from pigpen.coordinator.catalog import locking, locks, namespace
from pigpen.coordinator.catalog_namespace import rules
from pigpen.coordinator.catalog_namespace.reading import CatalogReading
from pigpen.coordinator.catalog_namespace.tools import NamespaceTools
from pigpen.coordinator.catalog_namespace.writing import CatalogWriter
from pigpen.errors import NotFound
from pigpen.http.body import Body
from pigpen.http.key import Key
from pigpen.http.message import Request
from pigpen.http.namespace import (
    NOTHING,
    Ability,
    Changes,
    Lock,
    LockWish,
    Namespace,
    Node,
    Quota,
    Want,
    When,
    WriteMeta,
    Written,
)

_ABILITIES: Final = frozenset(Ability) - {Ability.LOCATE}


class CatalogNamespace:
    """The account of one request; each call lets its access key in again."""

    def __init__(self, tools: NamespaceTools, request: Request, login: str) -> None:
        """:param request: it has the access key, and says who asks."""
        self._tools = tools
        self._entrance = tools.entrance
        self._request = request
        self._login = login

    @property
    def abilities(self) -> frozenset[Ability]:
        return frozenset(Ability) if self._tools.settings.dav_redirects else _ABILITIES

    async def stat(self, key: Key, want: Want = NOTHING) -> Node:
        return await self._entrance.read(self._request, self._login, rules.stat, key, want)

    async def list(
        self, key: Key, *, deep: bool = False, want: Want = NOTHING, after: str = ""
    ) -> AsyncGenerator[Node, None]:
        principal, top, page = await self._entrance.read(
            self._request, self._login, rules.first_page, key, deep, want, after
        )
        while True:
            for node in page.nodes:
                yield node
            if page.next is None:
                return
            try:
                page = await self._tools.catalog.read(
                    rules.next_page, principal, top, deep, want, page.next
                )
            except NotFound:  # it went meanwhile, with what was left to list
                return

    async def open(self, key: Key) -> CatalogReading:
        principal, node = await self._entrance.read(
            self._request, self._login, rules.find_object, key
        )
        account = str(principal.account_id)
        locations: tuple[str, ...] = ()
        if self._tools.settings.dav_redirects:
            locations = await self._tools.downloads.locations(
                self._request, node, account, secure=self._secure
            )
        return CatalogReading(self._tools.downloads, node, account, locations)

    async def check(self, key: Key, when: When) -> None:
        await self._entrance.read(self._request, self._login, locks.check_if, when, key)

    async def write(self, key: Key, body: Body, meta: WriteMeta, when: When) -> Written:
        writer = CatalogWriter(self._tools, self._request, self._login)
        return await writer.write(key, body, meta, when)

    async def make_collection(self, key: Key, changes: Changes, when: When) -> None:
        await self._entrance.write(
            self._request, self._login, namespace.make_collection, key, when, changes
        )

    async def change_properties(
        self, key: Key, changes: Changes, when: When, modified: int | None = None
    ) -> None:
        await self._entrance.write(
            self._request, self._login, namespace.change_properties, key, changes, when, modified
        )

    async def delete(self, key: Key, when: When) -> None:
        await self._entrance.write(self._request, self._login, namespace.delete, key, when)

    async def copy(
        self, source: Key, destination: Key, *, deep: bool, overwrite: bool, when: When
    ) -> bool:
        return await self._entrance.write(
            self._request,
            self._login,
            namespace.copy,
            source,
            destination,
            deep=deep,
            overwrite=overwrite,
            when=when,
        )

    async def move(self, source: Key, destination: Key, *, overwrite: bool, when: When) -> bool:
        return await self._entrance.write(
            self._request,
            self._login,
            namespace.move,
            source,
            destination,
            overwrite=overwrite,
            when=when,
        )

    async def lock(self, key: Key, wish: LockWish, when: When) -> tuple[Lock, bool]:
        return await self._entrance.write(self._request, self._login, rules.lock, key, wish, when)

    async def refresh(self, key: Key, seconds: int, when: When) -> Lock:
        return await self._entrance.write(
            self._request, self._login, rules.refresh, key, seconds, when
        )

    async def unlock(self, key: Key, token: str, when: When) -> None:
        # undone by a power cut it would end all the same, at its time
        await self._entrance.write_soon(
            self._request, self._login, locking.unlock, key, token, when
        )

    async def quota(self, key: Key) -> Quota:
        """Of the account, and what the hosts that are online have room for."""
        used, left = await self._entrance.read(self._request, self._login, rules.quota, key)
        return Quota(used, self._tools.openings.available(left))

    @property
    def _secure(self) -> bool:
        return self._request.secure or self._tools.settings.always_secure


_is_namespace: type[Namespace] = CatalogNamespace
