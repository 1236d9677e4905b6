"""WebDav: which methods there are, who is let in, how refusals look, what lies above a prefix."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from pigpen.dav.face import WebDav
from pigpen.dav.options import METHODS
from pigpen.dav.settings import DavSettings
from pigpen.errors import (
    CatalogFull,
    ConnectionLost,
    DiskFailed,
    Misdirected,
    NoReplica,
    OutcomeUnknown,
    QuotaExceeded,
    TimedOut,
    TooManyRequests,
    Unauthorized,
)
from pigpen.http.key import Key
from pigpen.http.message import Request
from pigpen.http.namespace import Ability, Admission, Namespace, Visit
from tests.dav_kit import Answer, DavCase

CLASSES = "1, 2, 3, extended-mkcol"


class Doing:
    """A namespace that does one thing otherwise."""

    def __init__(self, namespace: Namespace, **others: Any) -> None:
        self._namespace = namespace
        self._others = others

    def __getattr__(self, name: str) -> Any:
        return self._others.get(name) or getattr(self._namespace, name)


def failing(error: Exception) -> Callable[..., Awaitable[Any]]:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


class Door:
    """An admission that says what the test wants."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.error: Exception | None = None
        self.asked = 0

    async def admit(self, _: Request) -> Visit:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Visit(self.namespace, "ann")


class DoorCase(DavCase):
    door: Door

    def admission(self) -> Admission:
        self.door = Door(self.namespace)
        return self.door

    def without(self, *abilities: Ability) -> None:
        left = self.namespace.abilities - set(abilities)
        self.door.namespace = Doing(self.namespace, abilities=left)  # type: ignore[assignment]

    def failing(self, method: str, error: Exception) -> None:
        self.door.namespace = Doing(self.namespace, **{method: failing(error)})  # type: ignore


class OptionsTests(DoorCase):
    def test_dav11_any_path(self) -> None:
        """A client learns what the server can do from any path, also one that names nothing."""
        for path in ("/", "/nothing/here", "/a%20b/"):
            answer = self.expect(200, "OPTIONS", path)
            self.assertEqual(answer.headers.getall("DAV"), [CLASSES])
            self.assertEqual(answer.headers["MS-Author-Via"], "DAV")
            self.assertEqual(answer.headers["Allow"], ", ".join(METHODS))
            self.assertEqual(answer.data, b"")

    def test_dav11_no_login(self) -> None:
        """No login is needed, and none of what may keep a login from being judged matters."""
        for error in (Unauthorized(), TooManyRequests(reason="x"), NoReplica(),
                      ConnectionLost(peer="x", phase="y")):  # fmt: skip
            self.door.error = error
            self.assertEqual(self.expect(200, "OPTIONS").headers["DAV"], CLASSES)

    def test_dav10_wrong_name(self) -> None:
        """Who asks for another server is told so, here too."""
        self.door.error = Misdirected()
        self.expect(421, "OPTIONS")

    def test_dav8_no_locks(self) -> None:
        """A namespace without locks is not announced as class 2, and takes none."""
        self.without(Ability.LOCKS)
        answer = self.expect(200, "OPTIONS")
        self.assertEqual(answer.headers["DAV"], "1, 3, extended-mkcol")
        self.assertNotIn("LOCK", answer.headers["Allow"])
        for method in ("LOCK", "UNLOCK"):
            refused = self.expect(405, method, "/a", Lock_Token="<urn:a>")
            self.assertEqual(refused.headers["Allow"], answer.headers["Allow"])


class DispatchTests(DoorCase):
    def test_dav22_impossible(self) -> None:
        """Methods that are known and not offered are 405, and say what is."""
        for method in ("POST", "TRACE", "PATCH"):
            answer = self.expect(405, method, "/a")
            self.assertEqual(answer.headers["Allow"], ", ".join(METHODS))

    def test_dav22_unknown(self) -> None:
        """Methods of other protocols, and unknown ones, are 501."""
        for method in ("REPORT", "SEARCH", "ACL", "MKCALENDAR", "BIND", "FROB"):
            self.expect(501, method, "/a")

    def test_dav10_login_first(self) -> None:
        """Without a login nobody learns what there is, whatever the method."""
        self.tree("/a")
        self.door.error = Unauthorized(challenges=('Digest realm="pigpen"', 'Basic realm="pigpen"'))
        for method in ("GET", "HEAD", "PUT", "PROPFIND", "LOCK", "POST", "FROB"):
            for path in ("/a", "/nothing"):
                answer = self.expect(401, method, path)
                self.assertEqual(len(answer.headers.getall("WWW-Authenticate")), 2)

    def test_dav10_bad_fields(self) -> None:
        """A field that makes no sense is 400 on every method that has conditions."""
        self.tree("/a")
        for method in METHODS[1:]:
            self.expect(400, method, "/a", If_="(")
            self.expect(400, method, "/a", If_Match="x")

    def test_dav10_allow(self) -> None:
        """405 says what else the key can do."""
        self.tree("/c/", "/a")
        for method, path in (("PUT", "/c"), ("MKCOL", "/c"), ("MKCOL", "/a")):
            allow = self.expect(405, method, path).headers["Allow"].split(", ")
            self.assertEqual(set(METHODS) - set(allow), {method})


class RefusalTests(DoorCase):
    """DAV-4: what a client reads of a failure."""

    def test_dav4_no_answer(self) -> None:
        """What gives no answer now is 503 or 504 with Retry-After, never 404."""
        self.tree("/a")
        for error, status in (
            (ConnectionLost(peer="x", phase="y"), 503),
            (TimedOut(peer="x", seconds=1.0, phase="y"), 504),
            (NoReplica(), 503),
            (CatalogFull(), 503),
            (OutcomeUnknown(reason="x"), 504),
        ):
            for name, method in (("open", "GET"), ("stat", "HEAD"), ("stat", "PROPFIND"),
                                 ("write", "PUT"), ("delete", "DELETE")):  # fmt: skip
                self.failing(name, error)
                answer = self.expect(status, method, "/a")
                self.assertGreater(int(answer.headers["Retry-After"]), 0)

    def test_dav4_broken_listing(self) -> None:
        """A listing that fails before its first member is no empty listing."""

        async def broken(*_: Any, **__: Any) -> Any:
            raise NoReplica
            yield

        self.door.namespace = Doing(self.namespace, list=broken)  # type: ignore[assignment]
        self.expect(503, "PROPFIND", "/", Depth="1")

    def test_dav4_conditions(self) -> None:
        """A failed condition of RFC 4918 is named in XML; other refusals are in words."""
        self.failing("write", QuotaExceeded())
        answer = self.expect(507, "PUT", "/a")
        self.assertEqual(answer.names("error"), ["quota-not-exceeded"])
        self.assertTrue(answer.headers["Content-Type"].startswith("application/xml"))
        self.failing("write", DiskFailed())
        answer = self.expect(500, "PUT", "/a")
        self.assertEqual(msgspec.json.decode(answer.data)["error"], "disk")

    def test_bugs(self) -> None:
        """What nobody foresaw is not mistaken for a refusal: the server logs and answers it."""
        self.failing("stat", RuntimeError("x"))
        asked = Deferred.fromCoroutine(self.asking(self.request("HEAD", "/a")))
        self.failureResultOf(asked, RuntimeError)


class PrefixTests(DoorCase):
    """DAV-65: the namespace is served below /x/y."""

    settings = DavSettings(prefix=Key(("x", "y"), True))

    def test_dav65_below(self) -> None:
        """Keys, hrefs, destinations and tags all have the prefix."""
        self.expect(201, "MKCOL", "/x/y/c")
        self.expect(201, "PUT", "/x/y/c/a", b"a")
        answer = self.expect(207, "PROPFIND", "/x/y/c", Depth="1")
        self.assertEqual(answer.texts("href"), ["/x/y/c/", "/x/y/c/a"])
        self.expect(201, "COPY", "/x/y/c/a", Destination="/x/y/c/b")
        self.expect(502, "COPY", "/x/y/c/a", Destination="/c/b")
        token = self.lock("/x/y/c/a")
        refused = self.expect(423, "PUT", "/x/y/c/a", b"b")
        self.assertEqual(refused.texts("href"), ["/x/y/c/a"])
        self.expect(204, "PUT", "/x/y/c/a", b"b", If_=f"</x/y/c/a> (<{token}>)")
        self.expect(412, "PUT", "/x/y/c/a", b"b", If_=f"</c/a> (<{token}>)")

    def test_dav26_root(self) -> None:
        """The prefix without its final slash says its path as any collection does."""
        for method in ("GET", "HEAD", "PROPFIND"):
            self.assertEqual(self.ask(method, "/x/y").headers["Content-Location"], "/x/y/")
            self.assertNotIn("Content-Location", self.ask(method, "/x/y/").headers)

    def test_dav65_above(self) -> None:
        """Above the prefix are collections that lead to it; nothing can be changed (Windows)."""
        self.expect(200, "OPTIONS", "/")
        answer = self.expect(207, "PROPFIND", "/", Depth="1")
        self.assertEqual(answer.texts("href"), ["/", "/x/"])
        answer = self.expect(207, "PROPFIND", "/x", Depth="1")
        self.assertEqual(answer.texts("href"), ["/x/", "/x/y/"])
        self.assertEqual(self.expect(207, "PROPFIND", "/", Depth="0").texts("href"), ["/"])
        self.assertEqual(self.expect(200, "HEAD", "/").data, b"")
        self.assertIn(b"/x/", self.expect(200, "GET", "/").data)
        self.assertNotIn(b"/x/", self.expect(200, "GET", "/?sort=stored&after=x/").data)
        for path in ("/z", "/x/z", "/z/y"):
            self.expect(404, "GET", path)
            self.expect(404, "PROPFIND", path)
        for method in ("PUT", "DELETE", "MKCOL", "MOVE", "COPY", "LOCK", "PROPPATCH"):
            for path in ("/", "/x", "/z"):
                answer = self.expect(405, method, path, Destination="/x/y/a")
                self.assertEqual(answer.headers["Allow"], "OPTIONS, GET, HEAD, PROPFIND")

    def test_dav65_login(self) -> None:
        """Above the prefix a login is needed as below."""
        self.door.error = Unauthorized()
        self.expect(401, "PROPFIND", "/")


class WholeTests(DavCase):
    def test_dav1_nothing_else(self) -> None:
        """The face needs an Env, an admission and nothing more."""
        face = WebDav(self.env, self.admission())

        async def asked() -> Answer:
            return Answer(await face.handle(self.request("OPTIONS")), b"")

        self.assertEqual(self.env.run(asked()).status, 200)
