"""Services of one machine that start in any order, as systemd starts them."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.request import urlopen

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud
from tests.functional.gateways import gateway_to
from tests.functional.observing import until


class OrderTests(SynchronousTestCase):
    def test_coordinator_last(self) -> None:
        """A gateway and a host that start first wait for the coordinator: the gateway asks its
        clients to come again until it is there."""
        cloud = Cloud(self.mktemp())
        self.addCleanup(cloud.stop)
        cloud.configure()
        gateway = gateway_to(cloud.home)
        self.addCleanup(gateway.kill)
        gateway.start()
        cloud.host.launch()
        until(lambda: "not registered yet" in cloud.host.log())
        url = f"http://127.0.0.1:{gateway.port}/"
        refused = self.assertRaises(HTTPError, urlopen, url)
        self.addCleanup(refused.close)
        self.assertEqual(refused.code, 503)
        self.assertIn("Retry-After", refused.headers)
        cloud.coordinator.start()
        with urlopen(url) as page:
            self.assertEqual(page.status, 200)
        until(lambda: "has accepted this host" in cloud.host.log())
        until(lambda: "serving the cloud of me" in gateway.log())
        self.assertEqual((gateway.stop(), cloud.host.stop()), (0, 0))
