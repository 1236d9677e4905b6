"""LOCK and UNLOCK through the face: who gets a lock, what it keeps from whom, how it ends."""

from __future__ import annotations

from pigpen.dav.admission import OpenAdmission
from pigpen.dav.lock import seconds_of, token_of
from pigpen.errors import BadField
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request
from pigpen.http.namespace import Admission, Visit
from tests.dav_kit import LOCKINFO, DavCase

EXCLUSIVE, SHARED = LOCKINFO % b"exclusive", LOCKINFO % b"shared"


class LockTests(DavCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree("/c/", "/c/a", "/c/b", "/a")

    def test_dav19_answer(self) -> None:
        """200 with the token in a field, and all there is to know of the lock (DAV-40)."""
        answer = self.expect(200, "LOCK", "/a", EXCLUSIVE, Depth="0", Timeout="Second-100")
        self.assertRegex(answer.headers["Lock-Token"], r"^<urn:uuid:[0-9a-f-]{36}>$")
        self.assertEqual(answer.names("locktype"), ["write"])
        self.assertEqual(answer.names("lockscope"), ["exclusive"])
        self.assertEqual(answer.texts("depth"), ["0"])
        self.assertEqual(answer.texts("timeout"), ["Second-100"])
        self.assertEqual(answer.texts("href"), ["http://ann", answer.token, "/a"])
        self.assertEqual(answer.xml.tag, "{DAV:}prop")

    def test_dav40_lockdiscovery(self) -> None:
        """Whoever asks sees the lock as LOCK told it, on what it covers too; time runs."""
        token = self.lock("/c", Timeout="Second-100")
        self.pass_time(30)
        for path in ("/c/", "/c/a"):
            found = self.expect(207, "PROPFIND", path, Depth="0")
            self.assertEqual(found.texts("timeout"), ["Second-70"])
            self.assertEqual(found.texts("depth"), ["infinity"])
            self.assertEqual(found.texts("href")[1:], ["http://ann", token, "/c/"])

    def test_dav40_depth(self) -> None:
        """No Depth is infinity; 0 leaves members alone; others are 400."""
        for depth in ("1", "x", ""):
            self.expect(400, "LOCK", "/c", EXCLUSIVE, Depth=depth)
        token = self.lock("/c", Depth="0")
        self.expect(204, "PUT", "/c/a", b"x")
        self.expect(204, "UNLOCK", "/c", Lock_Token=f"<{token}>")
        self.lock("/c")
        self.expect(423, "PUT", "/c/a", b"x")

    def test_dav19_conflict(self) -> None:
        """One exclusive lock; shared ones go together: 423 names who was first."""
        self.lock("/a")
        for body in (EXCLUSIVE, SHARED):
            answer = self.expect(423, "LOCK", "/a", body)
            self.assertEqual(answer.names("error"), ["no-conflicting-lock"])
            self.assertEqual(answer.texts("href"), ["/a"])
        self.lock("/c", scope=b"shared")
        self.lock("/c", scope=b"shared")
        self.assertEqual(self.expect(423, "LOCK", "/c/a", EXCLUSIVE).texts("href"), ["/c/"])

    def test_dav19_member_conflicts(self) -> None:
        """A collection whose member is locked: 207 names the member, and itself as failed by it."""
        self.lock("/c/a")
        answer = self.expect(207, "LOCK", "/c", EXCLUSIVE)
        self.assertEqual(answer.hrefs, ["/c/a", "/c/"])
        self.assertEqual(
            answer.texts("status"), ["HTTP/1.1 423 Locked", "HTTP/1.1 424 Failed Dependency"]
        )
        self.assertNotIn("Lock-Token", answer.headers)
        self.expect(200, "LOCK", "/c", EXCLUSIVE, Depth="0")

    def test_dav19_bad_bodies(self) -> None:
        """What is no lockinfo is 400, each time it comes."""
        bad = (b"x", b'<propfind xmlns="DAV:"/>', EXCLUSIVE.replace(b"write", b"read"))
        for body in (*bad, *bad):
            self.expect(400, "LOCK", "/a", body)
        self.expect(400, "PROPFIND", "/a", EXCLUSIVE)

    def test_bodies_that_repeat(self) -> None:
        """A body that came before means the same again; a mark of difference counts."""
        for path in ("/a", "/c/a", "/c/b"):
            self.expect(200, "LOCK", path, EXCLUSIVE, Depth="0")
            self.expect(423, "LOCK", path, SHARED, Depth="0")
        for name in (b"ann", b"bob"):
            token = self.expect(200, "LOCK", "/c/", SHARED.replace(b"ann", name), Depth="0").token
            found = self.expect(207, "PROPFIND", "/c/", Depth="0")
            self.assertIn(f"http://{name.decode()}", found.texts("href"))
            self.expect(204, "UNLOCK", "/c/", Lock_Token=f"<{token}>")
        large = SHARED.replace(b"<owner>", b"<owner>" + b" " * 3000)
        for path in ("/c/", "/c/"):
            self.expect(200, "LOCK", path, large, Depth="0")

    def test_dav42_unmapped(self) -> None:
        """A free name becomes an empty object, listed and readable; UNLOCK leaves it."""
        answer = self.expect(201, "LOCK", "/c/new", EXCLUSIVE)
        self.assertIn("/c/new", self.expect(207, "PROPFIND", "/c/").hrefs)
        self.assertEqual(self.content("/c/new"), b"")
        self.expect(423, "PUT", "/c/new", b"x")
        self.expect(204, "UNLOCK", "/c/new", Lock_Token=answer.headers["Lock-Token"])
        self.assertEqual(self.content("/c/new"), b"")
        self.expect(409, "LOCK", "/no/new", EXCLUSIVE)
        self.expect(409, "LOCK", "/new/", EXCLUSIVE)
        self.assertFalse(self.exists("/new"))

    def test_dav30_lock_conditions(self) -> None:
        """LOCK with If-None-Match: * makes a new name only (davfs2)."""
        self.expect(412, "LOCK", "/a", EXCLUSIVE, If_None_Match="*")
        self.expect(201, "LOCK", "/new", EXCLUSIVE, If_None_Match="*")
        self.expect(412, "LOCK", "/a", EXCLUSIVE, If_Match='"x"')

    def test_dav43_expiry(self) -> None:
        """A lock ends with its time, and keeps nobody out then."""
        token = self.lock("/a", Timeout="Second-60")
        self.pass_time(59)
        self.expect(423, "PUT", "/a", b"x")
        self.pass_time(2)
        self.expect(204, "PUT", "/a", b"x")
        self.expect(412, "PUT", "/a", b"x", If_=f"(<{token}>)")
        self.expect(200, "LOCK", "/a", EXCLUSIVE)

    def test_dav44_refresh(self) -> None:
        """Same token, new time, through a member too; no token is told in a field."""
        token = self.lock("/c", Timeout="Second-60")
        for path in ("/c", "/c/a", "/c/"):
            self.pass_time(50)
            answer = self.expect(200, "LOCK", path, If_=f"(<{token}>)", Timeout="Second-60")
            self.assertEqual(answer.texts("timeout"), ["Second-60"])
            self.assertIn(token, answer.texts("href"))
            self.assertNotIn("Lock-Token", answer.headers)
        self.expect(423, "PUT", "/c/a", b"x")

    def test_dav44_refused(self) -> None:
        """Unknown or of another key: 412; no token or several: 400."""
        token, other = self.lock("/a"), self.lock("/c/b")
        self.expect(412, "LOCK", "/a", If_="(<urn:uuid:x>)")
        self.expect(412, "LOCK", "/c/a", If_=f"(<{token}>)")
        self.expect(412, "LOCK", "/c/a", If_=f"</a> (<{token}>)")
        self.expect(400, "LOCK", "/a")
        self.expect(400, "LOCK", "/a", If_=f"(<{token}>) </c/b> (<{other}>)")
        self.expect(400, "LOCK", "/a", If_=f"</a> (<{token}>) </c/b> (<{other}>)")
        self.expect(400, "LOCK", "/a", If_='(["x"])')

    def test_dav20_unlock(self) -> None:
        """204 through any key it covers; Windows leaves the <> out (DAV-47)."""
        for path, form in (("/c", "<{}>"), ("/c/a", "<{}>"), ("/c/", "{}"), ("/c", " <{}> ")):
            token = self.lock("/c")
            self.expect(204, "UNLOCK", path, Lock_Token=form.format(token))
            self.expect(204, "PUT", "/c/a", b"x")

    def test_dav20_refused(self) -> None:
        """No token: 400; one of another key, or of none: 409."""
        token = self.lock("/a")
        self.expect(400, "UNLOCK", "/a")
        for junk in ("", "<>", "<a b>", "a <b>"):
            self.expect(400, "UNLOCK", "/a", Lock_Token=junk)
        for path, wrong in (("/c", token), ("/a", "urn:uuid:x")):
            answer = self.expect(409, "UNLOCK", path, Lock_Token=f"<{wrong}>")
            self.assertEqual(answer.names("error"), ["lock-token-matches-request-uri"])
        self.expect(423, "PUT", "/a", b"x")
        self.expect(404, "UNLOCK", "/no", Lock_Token=f"<{token}>")


class NeededTests(DavCase):
    """DAV-41: which tokens a change needs."""

    def setUp(self) -> None:
        super().setUp()
        self.tree("/c/", "/c/a")

    def test_dav41_target(self) -> None:
        """On the target for PUT, PROPPATCH, DELETE and MOVE; readers need none."""
        token = self.lock("/c/a")
        patch = (
            b'<propertyupdate xmlns="DAV:"><set><prop><x xmlns="n:">1</x></prop></set>'
            b"</propertyupdate>"
        )
        for method, body in (("PUT", b"x"), ("PROPPATCH", patch), ("MOVE", b""), ("DELETE", b"")):
            answer = self.expect(423, method, "/c/a", body, Destination="/b")
            self.assertEqual(answer.names("error"), ["lock-token-submitted"])
            self.assertEqual(answer.texts("href"), ["/c/a"])
        self.expect(200, "GET", "/c/a")
        self.expect(207, "PROPFIND", "/c/a")
        self.expect(201, "COPY", "/c/a", Destination="/b")
        for method, body, status in (("PUT", b"x", 204), ("PROPPATCH", patch, 207),
                                     ("DELETE", b"", 204)):  # fmt: skip
            self.expect(status, method, "/c/a", body, If_=f"(<{token}>)")

    def test_dav41_parent(self) -> None:
        """On the parent where members come or go, and not where they change."""
        token = self.lock("/c", Depth="0")
        for method, path in (("PUT", "/c/new"), ("MKCOL", "/c/new"), ("DELETE", "/c/a"),
                             ("LOCK", "/c/new"), ("MOVE", "/c/a")):  # fmt: skip
            body = EXCLUSIVE if method == "LOCK" else b""
            answer = self.expect(423, method, path, body, Destination="/b")
            self.assertEqual(answer.texts("href"), ["/c/"])
        self.expect(204, "PUT", "/c/a", b"x")
        self.expect(201, "PUT", "/c/new", b"x", If_=f"</c> (<{token}>)")
        self.expect(204, "DELETE", "/c/new", If_=f"</c> (<{token}>)")

    def test_dav41_infinite(self) -> None:
        """An infinite lock's token serves every member, new ones too."""
        token = self.lock("/c")
        self.expect(423, "PUT", "/c/new", b"x")
        for path, status in (("/c/a", 204), ("/c/new", 201)):
            self.expect(status, "PUT", path, b"x", If_=f"(<{token}>)")
        self.expect(201, "MKCOL", "/c/d", If_=f"(<{token}>)")
        self.expect(201, "PUT", "/c/d/e", b"x", If_=f"(<{token}>)")
        self.expect(204, "DELETE", "/c/d", If_=f"(<{token}>)")

    def test_dav41_shared(self) -> None:
        """One token of several shared locks is enough."""
        tokens = [self.lock("/c/a", scope=b"shared") for _ in range(2)]
        self.expect(423, "PUT", "/c/a", b"x")
        for token in tokens:
            self.expect(204, "PUT", "/c/a", b"x", If_=f"(<{token}>)")

    def test_dav47_delete_ends_locks(self) -> None:
        """What is made anew under the name is free."""
        token = self.lock("/c/a")
        self.expect(204, "DELETE", "/c/a", If_=f"(<{token}>)")
        self.expect(201, "PUT", "/c/a", b"x")
        self.expect(204, "PUT", "/c/a", b"y")


class Users:
    """Whoever a field names."""

    def __init__(self, inner: Admission) -> None:
        self._inner = inner

    async def admit(self, request: Request) -> Visit:
        visit = await self._inner.admit(request)
        return Visit(visit.namespace, request.headers.get("X-User", ""))


class HolderTests(DavCase):
    """DAV-46: a token counts only from the user who took the lock."""

    def admission(self) -> Admission:
        return Users(OpenAdmission(self.namespace))

    def test_dav46_other_user(self) -> None:
        """Who knows another user's token can neither write, refresh nor unlock with it."""
        self.tree("/a")
        token = self.lock("/a", X_User="ann")
        mine = {"X_User": "ann", "If_": f"(<{token}>)"}
        yours = {"X_User": "bob", "If_": f"(<{token}>)"}
        self.assertEqual(self.expect(423, "PUT", "/a", b"x", **yours).texts("href"), ["/a"])
        self.expect(412, "LOCK", "/a", **yours)
        self.expect(403, "UNLOCK", "/a", Lock_Token=f"<{token}>", X_User="bob")
        self.expect(204, "PUT", "/a", b"x", **mine)
        self.expect(200, "LOCK", "/a", **mine)
        self.expect(204, "UNLOCK", "/a", Lock_Token=f"<{token}>", X_User="ann")


class FieldTests(DavCase):
    def request_with(self, *fields: tuple[str, str]) -> Request:
        return Request("LOCK", Key(("a",)), headers=Headers(fields))

    def test_dav43_timeout(self) -> None:
        """The first wish that makes sense counts, at most an hour; junk is ignored."""
        for value, seconds in (
            ("Second-100", 100), ("second-100", 100), ("Infinite", 3600), ("INFINITE", 3600),
            ("Infinite, Second-4100000000", 3600), ("Second-4100000000", 3600),
            ("Second-" + "9" * 30, 3600), ("Second-100, Infinite", 100), ("junk, Second-7", 7),
            ("Second-0", 1), ("", 600), ("junk", 600), ("Second--5", 600), ("Second-1.5", 600),
            ("Second-٣", 600),
        ):  # fmt: skip
            self.assertEqual(seconds_of(self.request_with(("Timeout", value))), seconds, value)
        self.assertEqual(seconds_of(self.request_with()), 600)
        two = self.request_with(("Timeout", "junk"), ("Timeout", "Second-9"))
        self.assertEqual(seconds_of(two), 9)

    def test_dav20_two_tokens(self) -> None:
        """Several Lock-Token fields are none."""
        two = self.request_with(("Lock-Token", "<urn:a>"), ("Lock-Token", "<urn:b>"))
        self.assertRaises(BadField, token_of, two)
