"""The catalog at a PostgreSQL server is a namespace like every other (DAV-8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pigpen.http.key import Key
from pigpen.http.message import Headers, Request
from pigpen.http.namespace import Namespace
from pigpen.testing.namespace_contract import namespace_contract
from tests.cloud_kit import Cloud
from tests.functional.postgresql import programs, shared_server

if TYPE_CHECKING:
    from pigpen.testing.namespace_contract import NamespaceContract


def make(case: NamespaceContract) -> Namespace:
    cloud = Cloud(catalog=shared_server().make_database())
    case.at_end(cloud.close)
    case.world, case.env = cloud.world, cloud.user
    cloud.start_host("h1")
    headers = Headers({"Authorization": f"Bearer {cloud.key}"})
    request = Request("PROPFIND", Key((), True), headers=headers)
    return cloud.run(cloud.coordinator.admission.admit(request)).namespace


class PostgresqlNamespaceTests(namespace_contract(make)):
    """One user's view of the catalog."""

    if programs() is None:
        skip = "PostgreSQL is not installed"
