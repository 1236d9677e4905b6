"""Catalog: the coordinator's database: `catalog.sqlite`."""

from __future__ import annotations

from pigpen.database.database import Database
from pigpen.errors import CatalogFull


class Catalog(Database):
    """Rules over the catalog. Made by `open`; one per process and file.

    :raises CatalogFull: by `write`: the coordinator's disk is full.
    """

    noun = "catalog"
    user = "coordinator"
    package = "pigpen.coordinator.catalog"
    full = CatalogFull
