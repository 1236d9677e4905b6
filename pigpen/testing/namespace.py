"""A namespace in memory, for the tests of whatever needs one."""

from __future__ import annotations

from pigpen.env import Env
from pigpen.stores.memory import MemoryStore
from pigpen.stores.sidecar.namespace import SidecarNamespace
from pigpen.stores.sidecar.records import MemoryRecords


def make_namespace(env: Env) -> SidecarNamespace:
    """It needs no `start` and leaves nothing behind."""
    return SidecarNamespace(env, MemoryStore(env), MemoryRecords(env))
