"""SidecarNamespace over a MemoryStore: the contract all namespaces share."""

from pigpen.testing.namespace import make_namespace
from pigpen.testing.namespace_contract import namespace_contract


class MemoryNamespaceTests(namespace_contract(lambda case: make_namespace(case.env))):  # type: ignore[misc]
    """The reference for all namespaces."""
