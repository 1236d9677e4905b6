"""The catalog in a file."""

from __future__ import annotations

from pigpen.coordinator.catalog.database import Catalog
from pigpen.database.sqlite.database import SqliteDatabase


class SqliteCatalog(Catalog, SqliteDatabase):
    """A `Catalog` made by `SqliteDatabase.open`."""
