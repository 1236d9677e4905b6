"""The catalog is a namespace like every other (DAV-5, 8), before a host in a simulated world."""

from __future__ import annotations

from pigpen.testing.namespace_contract import namespace_contract
from tests.cloud_kit import Cloud, namespace_of


class CatalogNamespaceTests(namespace_contract(lambda case: namespace_of(case, Cloud()))):
    """One user's view of the catalog."""
