"""Conditions and the If field through the face, on every method."""

from __future__ import annotations

from tests.dav_kit import HOST, LOCKINFO, DavCase

BODIES = {
    "LOCK": LOCKINFO % b"exclusive",
    "PROPPATCH": b'<propertyupdate xmlns="DAV:"><set><prop><x xmlns="n:"/></prop></set>'
    b"</propertyupdate>",
}
CHANGES = ("PUT", "DELETE", "PROPPATCH", "COPY", "MOVE", "LOCK")


class ConditionTests(DavCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree("/a", "/other")
        self.etag = self.expect(200, "HEAD", "/a").headers["ETag"]
        self.date = self.expect(200, "HEAD", "/a").headers["Last-Modified"]

    def change(self, status: int, method: str, path: str = "/a", **fields: str) -> None:
        body = BODIES.get(method, b"")
        self.expect(status, method, path, body, Destination="/to", **fields)

    def test_dav30_every_method(self) -> None:
        """If-Match, If-None-Match and If-Unmodified-Since keep every change from being done."""
        for method in CHANGES:
            self.change(412, method, If_Match='"other"')
            self.change(412, method, If_Match=f"W/{self.etag}")
            self.change(412, method, If_None_Match="*")
            self.change(412, method, If_None_Match=f'"x", W/{self.etag}')
            self.change(412, method, If_Unmodified_Since="Mon, 01 Jan 2001 00:00:00 GMT")
        self.assertFalse(self.exists("/to"))
        self.assertEqual(self.content("/a"), b"/a")

    def test_dav30_holding(self) -> None:
        """Conditions that hold let it be done; a date after the commit holds too."""
        for number, fields in enumerate((
            {"If_Match": self.etag}, {"If_Match": f'"x", {self.etag}'}, {"If_Match": "*"},
            {"If_None_Match": '"x"'}, {"If_Unmodified_Since": self.date},
            {"If_Unmodified_Since": "Fri, 01 Jan 2038 00:00:00 GMT"},
        )):  # fmt: skip
            self.change(204 if number else 201, "COPY", **fields)

    def test_dav30_on_nothing(self) -> None:
        """If-Match on a free name is 412, If-None-Match: * makes it."""
        self.expect(412, "PUT", "/new", b"x", If_Match="*")
        self.expect(201, "PUT", "/new", b"x", If_None_Match="*")
        self.expect(412, "PUT", "/new", b"x", If_None_Match="*")

    def test_dav30_all_must_hold(self) -> None:
        """Conditions of HTTP and the If field count together."""
        good, bad = f"([{self.etag}])", '(["x"])'
        self.expect(412, "PUT", "/a", b"x", If_Match='"x"', If_=good)
        self.expect(412, "PUT", "/a", b"x", If_Match=self.etag, If_=bad)
        self.expect(204, "PUT", "/a", b"x", If_Match=self.etag, If_=good)

    def test_dav32_unmodified_since(self) -> None:
        """A version that came in the same second as the one before fits no date of that second."""
        self.expect(204, "PUT", "/a", b"new")
        self.expect(412, "PUT", "/a", b"x", If_Unmodified_Since=self.date)
        self.expect(204, "PUT", "/other", b"x", If_Unmodified_Since=self.date)


class IfTests(DavCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree("/c/", "/c/a", "/b")
        self.etag = self.expect(200, "HEAD", "/c/a").headers["ETag"]
        self.token = self.lock("/c")

    def put(self, status: int, field: str, path: str = "/c/a") -> None:
        self.expect(status, "PUT", path, b"/c/a", If_=field)

    def test_dav34_lists(self) -> None:
        """One list that holds is enough, in it all must hold."""
        token, etag = f"<{self.token}>", f"[{self.etag}]"
        self.put(204, f"({token})")
        self.put(204, f"({token} {etag})")
        self.put(204, f'(["x"]) ({token})')
        self.put(412, f'({token} ["x"])')
        self.put(412, f"({token} Not {etag})")
        self.put(204, f'({token} Not ["x"])')

    def test_dav34_tags(self) -> None:
        """A tag may be a URI or a path, however it is encoded; members count too."""
        token = self.token
        for tag in ("/c", "/c/", "/c/a", "/%63/a", f"http://{HOST}/c", f"https://{HOST}/c/"):
            self.put(204, f"<{tag}> (<{token}>)")
        for tag in ("http://evil.example/c", "/no", "/b", "urn:x", "/c/../c"):
            self.put(412, f"<{tag}> (<{token}>)")

    def test_dav34_not_ours(self) -> None:
        """A tag that is not ours matches nothing, and Not turns that."""
        self.put(204, f"<http://evil.example/c> (Not <{self.token}>)")
        self.put(204, f'<http://evil.example/c> (Not ["x"]) </c> (<{self.token}>)')

    def test_dav34_submitted(self) -> None:
        """Tokens count as submitted wherever they stand, inside Not too."""
        self.put(204, f"(<urn:no>) (Not <urn:no>) (<{self.token}>)")
        self.put(204, f"(Not <urn:no>) (Not <{self.token}>)")

    def test_dav34_no_lock(self) -> None:
        """DAV:no-lock never matches: the way to submit a token whatever holds (litmus)."""
        self.put(412, "(<DAV:no-lock>)")
        self.put(204, f"(<{self.token}>) (Not <DAV:no-lock>)")
        self.put(423, "(Not <DAV:no-lock>)")

    def test_dav35_order(self) -> None:
        """Malformed is 400, false 412, true without the token 423 with the lock's root."""
        for field in ("", "()", "(", "<a>", f"<{self.token}>", f"(<{self.token}>) x", "([x])"):
            self.put(400, field)
        self.put(412, '(["x"])')
        answer = self.expect(423, "PUT", "/c/a", b"x", If_=f"([{self.etag}])")
        self.assertEqual(answer.texts("href"), ["/c/"])
        self.assertEqual(answer.names("error"), ["lock-token-submitted"])

    def test_dav33_long(self) -> None:
        """16 KiB are read, more is 400; several lines are one."""
        self.put(204, f"(<{self.token}>)" + "(<urn:x>)" * 1000)
        self.put(400, f"(<{self.token}>)" + "(<urn:x>)" * 2000)
        request = self.request("PUT", "/c/a", b"x", If_='</b> (["x"])')
        request.headers.add("If", f"</c> (<{self.token}>)")
        self.assertEqual(self.env.run(self.asking(request)).status, 204)

    def test_dav34_unmapped(self) -> None:
        """A free name is covered by the infinite lock above it."""
        self.put(201, f"(<{self.token}>)", "/c/new")
        self.put(201, f"</c/new2> (<{self.token}>)", "/c/new2")
