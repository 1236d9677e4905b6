"""The remote namespace does what every namespace does, over a whole simulated cloud (DAV-6,
DAV-8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pigpen.client.namespace import RemoteNamespace
from pigpen.client.session import Session
from pigpen.testing.namespace_contract import namespace_contract
from tests.cloud_kit import COORDINATOR, Cloud

if TYPE_CHECKING:
    from pigpen.testing.namespace_contract import NamespaceContract


def make(case: NamespaceContract) -> RemoteNamespace:
    cloud = Cloud()
    case.at_end(cloud.close)
    cloud.start_host("h1")
    case.world, case.env = cloud.world, cloud.user
    return RemoteNamespace(Session(cloud.user, cloud.client, COORDINATOR, cloud.key))


class RemoteNamespaceTests(namespace_contract(make)):  # type: ignore[misc]
    """One coordinator, one host."""
