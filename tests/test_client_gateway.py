"""The gateway: the cloud for programs that know nothing of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.gateway import Gateway
from pigpen.client.session import Session
from pigpen.errors import Forbidden, Misdirected, NotBuilt, RangeNotSatisfiable, Refused
from pigpen.http.body import BytesBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.testing.env import SimEnv
from tests.fake_cloud import COORDINATOR, KEY, FakeCloud, problem

BIG = bytes(range(256)) * 100


class GatewayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = FakeCloud()
        self.cloud.put("small", b"hello")
        self.etag = self.cloud.put("big", BIG)
        self.env = SimEnv()
        self.gateway = Gateway(Session(self.env, self.cloud, COORDINATOR, KEY))

    def ask(
        self, method: str, path: str, data: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[Response, bytes]:
        fields = Headers({"Host": "localhost:2574"} | (headers or {}))
        request = Request(method, Key.from_path(path), headers=fields, body=BytesBody(data))

        async def run() -> tuple[Response, bytes]:
            answer = await self.gateway.handle(request)
            return answer, await read_all(answer.body, 2**20)

        return self.env.run(run())

    def test_get(self) -> None:
        answer, data = self.ask("GET", "/big")
        self.assertEqual((answer.status, data), (200, BIG))
        self.assertEqual(answer.headers["ETag"], self.etag)
        self.assertEqual(answer.headers["Content-Length"], str(len(BIG)))
        self.assertIn("sandbox", answer.headers["Content-Security-Policy"])
        self.assertEqual(self.ask("GET", "/small")[1], b"hello")

    def test_range(self) -> None:
        answer, data = self.ask("GET", "/big", headers={"Range": "bytes=5-9"})
        self.assertEqual((answer.status, data), (206, BIG[5:10]))
        self.assertEqual(answer.headers["Content-Range"], f"bytes 5-9/{len(BIG)}")
        far = {"Range": "bytes=99999999-"}
        self.assertRaises(RangeNotSatisfiable, self.ask, "GET", "/big", headers=far)

    def test_behind_a_site(self) -> None:
        """A site that mounts it has names of its own; pages of other sites stay out."""
        self.gateway = Gateway(Session(self.env, self.cloud, COORDINATOR, KEY), anywhere=True)
        answer, _ = self.ask("GET", "/big", headers={"Host": "site.example"})
        self.assertEqual(answer.status, 200)
        page = {"Host": "site.example", "Origin": "https://evil.example"}
        self.assertRaises(Forbidden, self.ask, "GET", "/big", headers=page)

    def test_not_modified(self) -> None:
        answer, data = self.ask("GET", "/big", headers={"If-None-Match": self.etag})
        self.assertEqual((answer.status, data), (304, b""))
        self.assertFalse([line for line in self.cloud.log if line.startswith("h")])

    def test_put(self) -> None:
        """201 for a new file, 204 for a new version."""
        self.assertEqual(self.ask("PUT", "/new", b"x" * 9000)[0].status, 201)
        self.assertEqual(self.cloud.objects["new"].data, b"x" * 9000)
        self.assertEqual(self.ask("PUT", "/new", b"y" * 9000)[0].status, 204)
        self.assertEqual(
            self.ask("PUT", "/part", b"y", {"Content-Range": "bytes 0-0/2"})[0].status, 400
        )

    def test_head_and_delete(self) -> None:
        answer, _ = self.ask("HEAD", "/small")
        self.assertEqual(answer.headers["Content-Length"], "5")
        self.assertEqual(self.ask("DELETE", "/small")[0].status, 204)
        self.assertEqual(self.ask("DELETE", "/small")[0].status, 404)
        self.assertEqual(self.ask("GET", "/small")[0].status, 404)

    def test_listing(self) -> None:
        answer, data = self.ask("GET", "/")
        self.assertEqual(answer.headers["Content-Type"], "application/x-ndjson")
        self.assertIn(b'"name":"big"', data)
        self.assertTrue(data.endswith(b'{"end":true,"next":null}\n'))

    def test_refusals(self) -> None:
        """What the coordinator refuses is refused, with its status; our own key is no one's."""
        busy = problem(507, "quota")
        self.cloud.coordinator_says = [busy]
        self.assertEqual(self.ask("PUT", "/x", b"x")[0].status, 507)
        self.cloud.coordinator_says = [problem(401, "unauthorized")]
        self.assertEqual(self.ask("GET", "/small")[0].status, 502)

    def test_wrong_key(self) -> None:
        """A wrong access key is found at the start, not at the first request."""
        gateway = Gateway(Session(self.env, self.cloud, COORDINATOR, "pp_wrong"))
        self.assertRaises(Refused, self.env.run, gateway.start())

    def test_web_pages(self) -> None:
        """A page in a browser on this machine cannot reach the cloud (DNS rebinding, forms)."""
        evil = {"Host": "evil.example:2574"}
        self.assertRaises(Misdirected, self.ask, "GET", "/small", headers=evil)
        page = {"Origin": "http://evil.example"}
        self.assertRaises(Forbidden, self.ask, "PUT", "/small", b"x", headers=page)
        self.assertRaises(Forbidden, self.ask, "PUT", "/small", b"x", headers={"Origin": "null"})
        own = {"Origin": "http://localhost:2574"}
        self.assertEqual(self.ask("GET", "/small", headers=own)[0].status, 200)
        for name in ("127.0.0.1:2574", "[::1]:2574", "localhost"):
            self.assertEqual(self.ask("GET", "/small", headers={"Host": name})[0].status, 200)

    def test_other_methods(self) -> None:
        for method in ("PROPFIND", "MKCOL", "POST", "LOCK"):
            self.assertRaises(NotBuilt, self.ask, method, "/small")
