"""The catalog at a PostgreSQL server is a namespace like every other (DAV-8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pigpen.http.namespace import Namespace
from pigpen.testing.namespace_contract import namespace_contract
from tests.cloud_kit import Cloud, namespace_of
from tests.functional.postgresql import programs, shared_server

if TYPE_CHECKING:
    from pigpen.testing.namespace_contract import NamespaceContract


def make(case: NamespaceContract) -> Namespace:
    return namespace_of(case, Cloud(catalog=shared_server().make_database()))


class PostgresqlNamespaceTests(namespace_contract(make)):
    """One user's view of the catalog."""

    if programs() is None:
        skip = "PostgreSQL is not installed"
