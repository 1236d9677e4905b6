"""Catalog: the coordinator's database, in a file of its folder or at a PostgreSQL server."""

from __future__ import annotations

from typing import TypeAlias

from pigpen.database.database import Database
from pigpen.database.postgresql.address import is_address, without_password
from pigpen.database.sqlite.database import SqliteDatabase
from pigpen.env import Env
from pigpen.errors import CatalogFull, ConfigError

#: rules over the catalog, wherever it is; its `write` may raise CatalogFull
Catalog: TypeAlias = Database


class SqliteCatalog(SqliteDatabase):
    """The catalog in a file."""

    noun = "catalog"
    user = "coordinator"
    package = "pigpen.coordinator.catalog"
    full = CatalogFull


async def open_catalog(
    env: Env, folder: str, where: str | None, *, beside: bool = False
) -> Catalog:
    """Open the catalog of a coordinator, or make a new one.

    :param folder: the coordinator's. :param where: a file, or postgresql://user@host/name; None:
        ``catalog.sqlite`` in the folder.
    :param beside: for a moment, while a coordinator may be running on it.
    :raises ConfigError: another coordinator has it, or it cannot be used.
    """
    if where is None or "://" not in where:
        path = where or f"{folder}/catalog.sqlite"
        return await SqliteCatalog.open(env, path, beside=beside)
    if not is_address(where):
        reason = "a catalog is in a file, or at postgresql://user@host/name"
        raise ConfigError(path=without_password(where), reason=reason)
    try:
        from pigpen.coordinator.catalog.postgresql import PostgresqlCatalog
    except ImportError:
        reason = "install what it needs first: pip install 'pigpen[postgresql]'"
        raise ConfigError(path=without_password(where), reason=reason) from None
    return await PostgresqlCatalog.open(env, where, beside=beside)
