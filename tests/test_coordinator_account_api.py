"""/account over HTTP, in a simulated world."""

from __future__ import annotations

import base64

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import MethodNotAllowed
from pigpen.http import wire
from pigpen.http.key import Key
from pigpen.http.message import Request, Response
from tests.cloud_kit import MIB, Cloud


class AccountTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)

    def account(self, key: str | None = None) -> wire.Account:
        return self.cloud.ask("GET", "/account", key=key).json(wire.Account)

    def test_account(self) -> None:
        """An account sees what it stores and may store."""
        self.cloud.ask("PUT", "/api/ann/x", b"12345")
        self.cloud.set_quota(100)
        account = self.account()
        self.assertEqual((account.login, account.used, account.objects), ("ann", 5, 1))
        self.assertEqual((account.quota, account.reserved), (100, 0))
        self.assertEqual([key.label for key in account.keys], ["first"])

    def test_available(self) -> None:
        """What can still be stored: of the quota, and of what hosts have room for."""
        self.assertIsNone(self.account().available)
        self.cloud.start_fake_host("h1", target_size=10 * MIB)
        self.assertEqual(self.account().available, 10 * MIB)
        self.cloud.set_quota(100)
        self.assertEqual(self.account().available, 100)

    def test_basic(self) -> None:
        """Login and key work as user name and password; another login does not."""
        for login, status in (("ann", 200), ("bob", 401)):
            token = base64.b64encode(f"{login}:{self.cloud.key}".encode()).decode()
            answer = self.cloud.ask("GET", "/account", key="", Authorization=f"Basic {token}")
            self.assertEqual(answer.status, status)

    def test_foreign_pages(self) -> None:
        """A page of another server, shown by a browser that remembers the key, makes no key and
        changes nothing (F3)."""
        token = base64.b64encode(f"ann:{self.cloud.key}".encode()).decode()
        fields = {"key": "", "Authorization": f"Basic {token}"}
        for origin in ("http://evil.example", "null", "http://coordinator:1"):
            for method, path in (("POST", "/account/keys"), ("PUT", "/api/ann/x")):
                answer = self.cloud.ask(method, path, b"", Origin=origin, **fields)
                self.assertEqual(answer.status, 403, (origin, method))
        own = self.cloud.ask("PUT", "/api/ann/x", b"", Origin="http://coordinator:2573", **fields)
        self.assertEqual(own.status, 201)
        read = self.cloud.ask("GET", "/api/ann/x", Origin="http://evil.example", **fields)
        self.assertEqual(read.status, 200)

    def test_keys(self) -> None:
        """A new key works at once; a deleted one fails at once."""
        made = self.cloud.ask("POST", "/account/keys", b'{"label": "laptop"}')
        self.assertEqual(made.status, 201)
        key = made.json(wire.MadeKey)
        self.assertEqual(len(self.account(key.key).keys), 2)
        self.assertEqual(self.cloud.ask("DELETE", f"/account/keys/{key.id}").status, 204)
        self.assertEqual(self.cloud.ask("GET", "/account", key=key.key).status, 401)
        self.assertEqual(self.cloud.ask("DELETE", f"/account/keys/{key.id}").status, 404)
        self.assertEqual(self.cloud.ask("DELETE", "/account/keys/nothing").status, 404)

    def test_others_keys(self) -> None:
        """Nobody deletes another account's key."""
        bob = self.cloud.run(self.cloud.coordinator.make_account("bob"))
        [key] = self.account().keys
        self.assertEqual(self.cloud.ask("DELETE", f"/account/keys/{key.id}", key=bob).status, 404)
        self.assertEqual(self.account().login, "ann")

    def test_bad_body(self) -> None:
        """A body that makes no sense is refused; strangers are before it is read."""
        self.assertEqual(self.cloud.ask("POST", "/account/keys", b"{").status, 400)
        self.assertEqual(self.cloud.ask("POST", "/account/keys", b"x" * 5000).status, 413)
        self.assertEqual(self.cloud.ask("POST", "/account/keys", b"{", key="no").status, 401)

    def test_methods(self) -> None:
        """Other methods and paths are refused."""
        self.assertEqual(self.cloud.ask("DELETE", "/account").headers["Allow"], "GET, HEAD")
        self.assertEqual(self.cloud.ask("GET", "/account/keys").status, 405)
        self.assertEqual(self.cloud.ask("GET", "/account/else").status, 404)

    def test_last_use(self) -> None:
        """An owner sees when a key was used last, this moment too, before it is written down."""
        first = self.account().keys[0].last_used
        assert first is not None
        self.cloud.world.settle(61)
        later = self.account().keys[0].last_used
        assert later is not None
        self.assertGreaterEqual(later, first + 60_000)

    def test_second_account(self) -> None:
        """An operator gives an account one more key."""
        key = self.cloud.run(self.cloud.coordinator.add_key("ann", "operator"))
        self.assertEqual(self.account(key).login, "ann")

    def test_status_and_metrics(self) -> None:
        """Anyone may ask whether it runs; no login or key shows."""
        self.assertEqual(self.cloud.ask("GET", "/status", key="").status, 200)
        with self.assertRaises(MethodNotAllowed):
            self.cloud.direct(Request("BREW", Key(("api", "ann", "x"))))
        metrics = self.cloud.ask("GET", "/metrics", key="").data.decode()
        self.assertIn('pigpen_requests_total{method="other",status="405"} 1.0', metrics)
        self.assertNotIn("ann", metrics.replace("channel", ""))
        self.assertNotIn(self.cloud.key, metrics)
        self.assertEqual(self.cloud.ask("POST", "/metrics").status, 405)

    def test_metrics_of_bugs(self) -> None:
        """A request that fails inside is counted too: that is what an operator watches for."""

        class Broken:
            async def handle(self, _: Request) -> Response:
                raise ZeroDivisionError

        self.cloud.coordinator._running.tree.mount("/broken", Broken())
        for method in ("PROPFIND", "PROPPATCH", "LOCK", "UNLOCK", "PATCH"):
            with self.assertRaises(ZeroDivisionError):
                self.cloud.direct(Request(method, Key(("broken",))))
            metrics = self.cloud.ask("GET", "/metrics", key="").data.decode()
            self.assertIn(f'pigpen_requests_total{{method="{method}",status="500"}} 1.0', metrics)
