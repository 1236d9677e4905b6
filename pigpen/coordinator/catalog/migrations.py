"""The schema of the catalog."""

from pigpen.database.migrations import migrate, read_schema

__all__ = ["migrate", "schema_files"]


def schema_files() -> dict[int, str]:
    """The SQL of each schema number that this program knows."""
    return read_schema("pigpen.coordinator.catalog")
