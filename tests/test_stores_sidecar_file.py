"""A sidecar in a file: the contract, restarts, and who may open it."""

# mypy: allow-untyped-calls
from __future__ import annotations

import os
import tempfile
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import ConfigError
from pigpen.http.body import BytesBody
from pigpen.http.key import Key
from pigpen.http.namespace import (
    ALWAYS,
    LockWish,
    Namespace,
    Property,
    Want,
    When,
    WriteMeta,
)
from pigpen.stores.memory import MemoryStore
from pigpen.stores.sidecar.database import open_records
from pigpen.stores.sidecar.namespace import SidecarNamespace
from pigpen.testing import SimEnv
from pigpen.testing.namespace_case import NamespaceCase
from pigpen.testing.namespace_contract import namespace_contract


def make_folder() -> tempfile.TemporaryDirectory[str]:
    """In memory where there is such a place: here the real disk's flushes only cost time."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="pigpen-test-", dir=fast)


async def make(case: NamespaceCase) -> Namespace:
    case.world.thread_seconds = (0.0, 0.01)
    folder = make_folder()
    records = await open_records(case.env, folder.name)
    namespace = SidecarNamespace(case.env, MemoryStore(case.env), records)
    await namespace.start()
    case.at_end(folder.cleanup)
    case.at_end(namespace.close)
    return namespace


class FileNamespaceTests(namespace_contract(make)):  # type: ignore[misc]
    """Rules run in threads now, whose answers come late."""


class RestartTests(SynchronousTestCase):
    """What the gateway knew it knows again."""

    def setUp(self) -> None:
        self.folder = make_folder()
        self.addCleanup(self.folder.cleanup)
        self.env = SimEnv()
        self.store = MemoryStore(self.env)

    def start(self) -> SidecarNamespace:
        async def started() -> SidecarNamespace:
            records = await open_records(self.env, self.folder.name)
            namespace = SidecarNamespace(self.env, self.store, records)
            await namespace.start()
            return namespace

        return self.env.run(started())

    def test_survives(self) -> None:
        """Locks, properties, empty collections and times outlive the process (DAV-45)."""

        async def use(namespace: SidecarNamespace) -> Any:
            await namespace.make_collection(Key(("d",)), (Property("n:", "k", "<k/>"),), ALWAYS)
            await namespace.write(Key(("a",)), BytesBody(b"1"), WriteMeta(modified=5000), ALWAYS)
            await namespace.lock(Key(("d",)), LockWish(owner="<o/>"), When(principal="ann"))
            return await look(namespace)

        async def look(namespace: SidecarNamespace) -> Any:
            want = Want(properties=True, locks=True)
            return [await namespace.stat(Key((name,)), want) for name in ("d", "a")]

        first = self.start()
        before = self.env.run(use(first))
        self.env.run(first.close())
        second = self.start()
        self.assertEqual(self.env.run(look(second)), before)
        self.env.run(second.close())
        # nothing of ours has a name in the store (DAV-64)
        self.assertEqual(self.store.size, 1)

    def test_one_gateway(self) -> None:
        """A second process on one sidecar is refused."""
        first = self.start()
        with self.assertRaises(ConfigError) as caught:
            self.start()
        self.assertIn("another gateway uses it", str(caught.exception))
        self.env.run(first.close())
        self.env.run(self.start().close())
