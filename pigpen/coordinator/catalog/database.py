"""Catalog: the coordinator's database, wherever it is."""

from __future__ import annotations

from pigpen.database.database import Database
from pigpen.errors import CatalogFull


class Catalog(Database):
    """Rules over the catalog; see `open_catalog`.

    :raises CatalogFull: by `write`: the disk it is on is full.
    """

    noun = "catalog"
    user = "coordinator"
    package = "pigpen.coordinator.catalog"
    full = CatalogFull
