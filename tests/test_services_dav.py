"""The coordinator's own WebDAV, below /dav/: mounted by services, in a simulated world."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from pigpen import services
from pigpen.config import CoordinatorConfig
from pigpen.errors import Untrusted
from pigpen.http import wire
from pigpen.http.body import read_all
from pigpen.web.client import HttpClient
from tests.cloud_kit import COORDINATOR, Answer, Cloud

BIG = b"0123456789" * 1000


class DavCase(SynchronousTestCase):
    settings: ClassVar[dict[str, Any]] = {}
    config: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.cloud = Cloud(**self.settings)
        self.addCleanup(self.cloud.close)
        self.cloud.start_host("h1")
        self.mount(**self.config)

    def mount(self, **config: Any) -> None:
        coordinator = self.cloud.coordinator
        face = services._dav(
            self.cloud.nodes["coordinator"].env, coordinator, CoordinatorConfig(**config)
        )
        self.cloud.run(coordinator.stop())
        coordinator.mount("/", face)
        self.cloud.run(coordinator.start())

    def ask(self, method: str, path: str, data: bytes | None = None, **fields: str) -> Answer:
        text = base64.b64encode(f"ann:{self.cloud.key}".encode()).decode()
        fields.setdefault("Authorization", f"Basic {text}")
        return self.cloud.ask(method, path, data, key="", **fields)

    def hrefs(self, path: str, depth: str = "1") -> list[str]:
        answer = self.ask("PROPFIND", path, Depth=depth)
        self.assertEqual(answer.status, 207, answer)
        found = etree.fromstring(answer.data).iterfind("{DAV:}response/{DAV:}href")
        return [element.text or "" for element in found]


class MountTests(DavCase):
    def test_windows(self) -> None:
        """The root of the server answers too: it holds the collection that is served (DAV-65)."""
        self.assertEqual(self.ask("OPTIONS", "/", Authorization="").headers["DAV"][:7], "1, 2, 3")
        self.assertEqual(self.hrefs("/"), ["/", "/dav/"])
        self.assertEqual(self.hrefs("/dav", "0"), ["/dav/"])
        self.assertEqual(self.ask("MKCOL", "/x").status, 405)

    def test_login(self) -> None:
        """Without a valid access key there is nothing to see."""
        for path in ("/", "/dav/", "/dav/x"):
            answer = self.ask("PROPFIND", path, Authorization="Basic eDp5")
            self.assertEqual(answer.status, 401)
            self.assertIn("WWW-Authenticate", answer.headers)

    def test_one_tree(self) -> None:
        """What is stored through the API and through WebDAV is one and the same."""
        self.assertEqual(self.ask("MKCOL", "/dav/d").status, 201)
        self.assertEqual(self.ask("PUT", "/dav/d/big", BIG, Content_Type="a/b").status, 201)
        self.assertEqual(self.cloud.put("d/small", b"1").status, 201)
        self.assertEqual(self.hrefs("/dav/d"), ["/dav/d/", "/dav/d/big", "/dav/d/small"])
        got = self.ask("GET", "/dav/d/big", Range="bytes=10-14")
        self.assertEqual((got.status, got.data), (206, b"01234"))
        self.assertEqual(got.headers["Content-Type"], "a/b")
        moved = self.ask("MOVE", "/dav/d", Destination=f"{COORDINATOR}/dav/e")
        self.assertEqual(moved.status, 201, moved)
        self.assertEqual(self.cloud.get("e/big").data, BIG)

    def test_locks(self) -> None:
        """A lock taken through WebDAV is the account's: the API knows its token, and breaks it."""
        lockinfo = (
            b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
            b"<locktype><write/></locktype></lockinfo>"
        )
        taken = self.ask("LOCK", "/dav/x", lockinfo)
        self.assertEqual(taken.status, 201)
        token = taken.headers["Lock-Token"]
        refused = self.cloud.ask("PUT", "/api/ann/x", b"1")
        self.assertEqual(refused.json(wire.Problem).roots, ["/x"])
        self.assertEqual(self.cloud.ask("PUT", "/api/ann/x", b"1", If=f"({token})").status, 204)
        self.cloud.ask("DELETE", f"/api/ann/?locks={token.strip('<>')}")
        self.assertEqual(self.ask("PUT", "/dav/x", b"2").status, 204)

    def test_foreign_pages(self) -> None:
        """A browser that remembers a login does nothing with it for a page of somebody else."""
        for origin in ("http://evil.example", "null", "http://coordinator"):
            self.assertEqual(self.ask("PUT", "/dav/x", b"1", Origin=origin).status, 403, origin)
            self.assertEqual(self.ask("PUT", "/api/ann/x", b"1", Origin=origin).status, 403)
        self.assertEqual(self.ask("PUT", "/dav/x", b"1", Origin=COORDINATOR).status, 201)

    def test_no_redirects(self) -> None:
        """Bytes pass through here, unless the operator wants it otherwise."""
        self.ask("PUT", "/dav/x", BIG)
        self.assertEqual(self.ask("GET", "/dav/x", User_Agent="rclone/1").status, 200)


class RedirectTests(DavCase):
    settings: ClassVar[dict[str, Any]] = {"dav_redirects": True}
    config: ClassVar[dict[str, Any]] = {"dav_redirect": True}

    def test_redirects(self) -> None:
        """Programs that are known to follow read from a host; all others from here (DAV-83)."""
        self.ask("PUT", "/dav/x", BIG)
        answer = self.ask("GET", "/dav/x", User_Agent="rclone/1")
        self.assertEqual(answer.status, 307)
        self.assertEqual(self.cloud.ask("GET", answer.headers["Location"]).data, BIG)
        self.assertEqual(self.ask("GET", "/dav/x", User_Agent="neon/1").data, BIG)


class PublicNameTests(DavCase):
    settings: ClassVar[dict[str, Any]] = {"public_url": "https://cloud.example"}
    config: ClassVar[dict[str, Any]] = {"public_url": "https://cloud.example"}

    def test_behind_a_proxy(self) -> None:
        """A proxy may call us otherwise: its name counts in Destination and Origin."""
        self.assertEqual(
            self.ask("PUT", "/dav/x", b"1", Origin="https://cloud.example").status, 201
        )
        moved = self.ask("MOVE", "/dav/x", Destination="https://cloud.example/dav/y")
        self.assertEqual(moved.status, 201)

    def test_rebinding(self) -> None:
        """A host's name that leads into a private network is none that a coordinator on the
        Internet talks to (T4); on a LAN it may."""
        for allow_private in (False, True):
            env = self.cloud.world.node(f"other{allow_private}")
            config = CoordinatorConfig(folder="c", allow_private=allow_private)
            made = services.make_coordinator(env, config, lambda error: None)
            asking = made._client.request("GET", "http://h1:2575/status")
            if allow_private:
                answer = self.cloud.run(asking)
                self.assertEqual(answer.status, 200)
                self.cloud.run(read_all(answer.body, 999))
            else:
                self.assertRaises(Untrusted, self.cloud.run, asking)
            self.cloud.run(made._client.close())

    def test_made(self) -> None:
        """`make_coordinator` mounts it."""
        env = self.cloud.world.node("other")
        made = services.make_coordinator(env, CoordinatorConfig(folder="c"), lambda error: None)
        self.assertIn("/", made.part._mounts)
        self.cloud.run(HttpClient(env).close())
        self.cloud.run(made._client.close())
