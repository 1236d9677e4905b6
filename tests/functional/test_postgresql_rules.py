"""Every test of the catalog's rules once more, over a PostgreSQL server."""

from __future__ import annotations

import inspect
import random
from importlib import import_module
from typing import Any

from pigpen.coordinator.catalog.postgresql import PostgresqlCatalog
from pigpen.database.postgresql.database import WRITE
from pigpen.database.postgresql.link import Link, PostgresqlTransaction
from pigpen.database.postgresql.setup import Setup
from pigpen.database.schema import read_schema
from pigpen.database.transaction import Transaction
from tests.catalog_kit import START_MS, RulesCase
from tests.functional.postgresql import programs, shared_server

MODULES = (
    "test_coordinator_accounts",
    "test_coordinator_details",
    "test_coordinator_host_rows",
    "test_coordinator_listing",
    "test_coordinator_locks",
    "test_coordinator_namespace",
    "test_coordinator_properties",
    "test_coordinator_retention",
    "test_coordinator_writes",
)

_links: list[Link] = []


def _link() -> Link:
    """One for all: each test is one transaction, which is rolled back."""
    if not _links:
        link = Link(shared_server().make_database(), WRITE)
        link.begin()
        schema = read_schema(PostgresqlCatalog.package)
        Setup("test", schema, "coordinator", PostgresqlCatalog.log).prepare(
            PostgresqlTransaction(link, random.Random(1), START_MS)
        )
        link.commit()
        _links.append(link)
    return _links[0]


class PostgresqlRules(RulesCase):
    """A `RulesCase` at a server."""

    def make_transaction(self) -> Transaction:
        link = _link()
        link.rollback()
        link.begin()
        self.addCleanup(link.rollback)
        return PostgresqlTransaction(link, random.Random(7), START_MS)

    def plan(self, sql: str, *values: Any) -> str:
        self.tx.run("SET LOCAL enable_seqscan = off")  # a small table is read whole otherwise
        return str(self.tx.all(f"EXPLAIN {sql}", *values))


def _at_server(kind: type[RulesCase]) -> type[RulesCase]:
    facts: dict[str, Any] = {"__module__": __name__, "__doc__": kind.__doc__}
    if programs() is None:
        facts["skip"] = "PostgreSQL is not installed"
    return type(f"Postgresql{kind.__name__}", (kind, PostgresqlRules), facts)


def _make_all() -> None:
    for name in MODULES:
        module = import_module(f"tests.{name}")
        for kind in vars(module).values():
            if inspect.isclass(kind) and issubclass(kind, RulesCase) and kind is not RulesCase:
                if kind.__module__ == module.__name__:
                    made = _at_server(kind)
                    globals()[made.__name__] = made


_make_all()
