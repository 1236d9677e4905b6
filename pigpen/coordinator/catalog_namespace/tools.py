"""NamespaceTools: the parts of a coordinator that its namespaces share."""

from __future__ import annotations

from dataclasses import dataclass

from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.downloads import Downloads
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.metrics import Metrics
from pigpen.coordinator.openings import Openings
from pigpen.coordinator.passthrough import Passthrough
from pigpen.coordinator.settings import CoordinatorSettings
from pigpen.env import Env


@dataclass(frozen=True, slots=True)
class NamespaceTools:
    env: Env
    settings: CoordinatorSettings
    catalog: Catalog
    entrance: Entrance
    downloads: Downloads
    openings: Openings
    passthrough: Passthrough
    metrics: Metrics
