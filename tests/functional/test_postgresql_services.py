"""A coordinator whose catalog is at a PostgreSQL server, in processes of their own."""

from __future__ import annotations

import os
import signal

from tests.functional.cloud import Cloud
from tests.functional.observing import until
from tests.functional.postgresql import ServerCase, programs, shared_server
from tests.functional.test_operator import OperatorTests as SqliteOperatorTests


class OperatorTests(SqliteOperatorTests):
    """An operator's tasks beside a coordinator at work."""

    if programs() is None:
        skip = "PostgreSQL is not installed"

    def make_cloud(self) -> Cloud:
        return Cloud(self.mktemp(), catalog=shared_server().make_database())


del SqliteOperatorTests


class ServiceTests(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.cloud = Cloud(self.mktemp(), catalog=self.server.make_database())
        self.addCleanup(self.cloud.stop)
        self.cloud.start()

    def test_coordinator_killed(self) -> None:
        """kill -9 of the coordinator: it is back by itself, with small and large objects."""
        small, large = os.urandom(1000), os.urandom(1_000_000)
        self.assertEqual(self.cloud.put("small", small), 201)
        self.assertEqual(self.cloud.put("large", large), 201)
        self.cloud.coordinator.stop(signal.SIGKILL)
        self.cloud.coordinator.start()
        self.assertIn("waiting until the coordinator", self.cloud.coordinator.log(latest=True))
        self.assertEqual(self.cloud.get("small"), (200, small))
        until(lambda: self.cloud.get("large") == (200, large), "the host to be back")

    def test_server_restarted(self) -> None:
        """The database stops: 503 with a sentence, no traceback; it starts: all goes on."""
        data = os.urandom(1_000_000)
        self.assertEqual(self.cloud.put("before", data), 201)
        self.server.stop()
        status, said = self.cloud.get("before")
        self.assertEqual(status, 503)
        self.assertIn(b"the catalog cannot be reached", said)
        self.assertEqual(self.cloud.put("meanwhile", b"x"), 503)
        self.server.start()
        until(lambda: self.cloud.put("after", data) == 201, "the catalog to be back")
        self.assertEqual(self.cloud.get("before"), (200, data))
        self.assertEqual(self.cloud.get("meanwhile")[0], 404)
        self.assertNotIn("Traceback", self.cloud.coordinator.log())

    def test_password_on_the_command_line(self) -> None:
        """Others could read it there: refused, with what to do, and it is not repeated."""
        self.cloud.catalog_options = ["--catalog=postgresql://me:hush@db.example/pigpen"]
        done = self.cloud.operate("--add-key=me")
        self.assertEqual(done.returncode, 2)
        self.assertIn(b".pgpass", done.stderr)
        self.assertNotIn(b"hush", done.stderr)
