"""Catalog: the coordinator's database, in its folder as `catalog.sqlite`."""

from __future__ import annotations

from typing import TypeAlias

from pigpen.database.database import Database
from pigpen.database.sqlite.database import SqliteDatabase
from pigpen.errors import CatalogFull

#: rules over the catalog, wherever it is; its `write` may raise CatalogFull
Catalog: TypeAlias = Database


class SqliteCatalog(SqliteDatabase):
    """The catalog in a file."""

    noun = "catalog"
    user = "coordinator"
    package = "pigpen.coordinator.catalog"
    full = CatalogFull
