"""The catalog at a PostgreSQL server, apart as it needs psycopg."""

from __future__ import annotations

from pigpen.coordinator.catalog.database import SqliteCatalog
from pigpen.database.postgresql.database import PostgresqlDatabase


class PostgresqlCatalog(PostgresqlDatabase):
    """The catalog in tables of a server."""

    noun = SqliteCatalog.noun
    user = SqliteCatalog.user
    package = SqliteCatalog.package
    full = SqliteCatalog.full
