"""CatalogReading: one version, out of the catalog or through here from a host."""

from __future__ import annotations

from pigpen.coordinator.catalog.listing import as_shared
from pigpen.coordinator.catalog.nodes import Node
from pigpen.coordinator.downloads import Downloads
from pigpen.http.body import Body
from pigpen.http.namespace import Node as SharedNode
from pigpen.http.namespace import Reading


class CatalogReading:
    """Holds nothing open: a version's blob outlives those who read it."""

    def __init__(
        self, downloads: Downloads, node: Node, account: str, locations: tuple[str, ...]
    ) -> None:
        self._downloads = downloads
        self._node = node
        self._account = account
        self._locations = locations

    @property
    def node(self) -> SharedNode:
        return as_shared(self._node)

    @property
    def locations(self) -> tuple[str, ...]:
        return self._locations

    async def body(self, offset: int, length: int) -> Body:
        """:raises NoReplica: no host gives it now."""
        return await self._downloads.body(self._node, self._account, offset, length)

    async def close(self) -> None:
        return None


_is_reading: type[Reading] = CatalogReading
