"""The catalog at a PostgreSQL server; importing it needs psycopg."""

from __future__ import annotations

from pigpen.coordinator.catalog.database import Catalog
from pigpen.database.postgresql.database import PostgresqlDatabase


class PostgresqlCatalog(Catalog, PostgresqlDatabase):
    """A `Catalog` made by `PostgresqlDatabase.open`."""
