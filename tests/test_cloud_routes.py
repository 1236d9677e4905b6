"""Every method at every path of coordinator and host, in a simulated world."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.cloud_kit import COORDINATOR, Cloud

METHODS = (
    "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "MKCOL", "MOVE", "COPY", "PROPFIND",
    "PROPPATCH", "LOCK", "UNLOCK", "REPORT", "SEARCH", "ACL", "BIND", "PURGE", "SUBSCRIBE", "LINK",
    "TRACE", "BREW",
)  # fmt: skip
AT_COORDINATOR = (
    "/", "/api", "/api/", "/api/ann", "/api/ann/", "/api/ann/none", "/api/ann/none/", "/api/ann/x",
    "/api/ann/x/y", "/api/bob/x", "/account", "/account/", "/account/keys", "/account/keys/none",
    "/account/none", "/hosts", "/hosts/", "/hosts/1", "/hosts/1/heartbeat", "/hosts/1/session",
    "/hosts/1/receipts", "/hosts/1/inventory", "/hosts/none/session", "/status", "/metrics",
    "/none", "/api/ann/%2e%2e", "/api/ann//x",
)  # fmt: skip
AT_HOST = ("/", "/x", "/x/", "/x/" + "0" * 64, "/x/a/b", "/expect", "/status", "/metrics", "/none")


class RouteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = Cloud(max_failures=10**6)
        self.addCleanup(self.cloud.close)
        self.cloud.start_host("h1")

    def check(self, method: str, url: str, key: str | None) -> None:
        fields = {} if key is None else {"Authorization": f"Bearer {key}"}
        answer = self.cloud.ask(method, url, **fields)
        what = (method, url, key is None, answer)
        self.assertNotEqual(answer.status, 500, what)
        self.assertIn(answer.status // 100, {2, 3, 4, 5}, what)
        if answer.status == 405:
            allowed = answer.headers["Allow"].split(", ")
            self.assertNotIn(method, allowed, what)
        if method in {"TRACE", "BREW"}:
            self.assertIn(answer.status, {404, 405, 501}, what)
        if key is None and answer.status < 300:
            self.assertRegex(url, "/(status|metrics)$", what)

    def test_coordinator(self) -> None:
        """It works, is refused with what is possible there, or is not built; without a key nothing
        but the public pages is told (I2, A1)."""
        for path in AT_COORDINATOR:
            self.cloud.put("x", b"x" * 5000)
            for method in METHODS:
                for key in (None, self.cloud.key):
                    self.check(method, COORDINATOR + path, key)

    def test_host(self) -> None:
        """The same at a host, for whoever has no id of a transfer; an access key is worth nothing
        there."""
        for path in AT_HOST:
            for method in METHODS:
                self.check(method, "http://h1:2575" + path, None)
