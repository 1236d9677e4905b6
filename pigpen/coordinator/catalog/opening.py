"""Opening a coordinator's catalog: in its folder, in another file, or at a PostgreSQL server."""

from __future__ import annotations

from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.catalog.sqlite import SqliteCatalog
from pigpen.database.postgresql.address import is_address, without_password
from pigpen.env import Env
from pigpen.errors import ConfigError


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
