"""COPY and MOVE through the face."""

from __future__ import annotations

from tests.dav_kit import HOST, DavCase


class TransferTests(DavCase):
    def test_dav18_created_and_replaced(self) -> None:
        """201 onto a free name, 204 onto a taken one."""
        for method in ("COPY", "MOVE"):
            self.tree("/a")
            for path, status in (("/b", 201), ("/b", 204)):
                self.expect(status, method, "/a", Destination=path)
                self.assertEqual(self.content("/b"), b"/a")
                self.assertEqual(self.exists("/a"), method == "COPY")
                if method == "MOVE":
                    self.tree("/a")
            self.expect(204, "DELETE", "/a")
            self.expect(204, "DELETE", "/b")

    def test_dav18_collections(self) -> None:
        """With all that lies below, with or without final slashes."""
        self.tree("/c/", "/c/d/", "/c/d/a")
        self.expect(201, "COPY", "/c", Destination="/e/")
        self.expect(201, "COPY", "/c/", Destination="/f")
        self.expect(201, "MOVE", "/c/", Destination="/g")
        for path in ("/e/d/a", "/f/d/a", "/g/d/a"):
            self.assertEqual(self.content(path), b"/c/d/a")
        self.assertFalse(self.exists("/c"))

    def test_dav18_bad_fields(self) -> None:
        """No or bad Destination, Overwrite or Depth: 400; another host: 502; nothing happens."""
        self.tree("/c/", "/c/a")
        for method in ("COPY", "MOVE"):
            self.expect(400, method, "/c")
            for destination in ("", "x", "/a/../b", "/%2f", "/a//b", "/b#c", "/b?c", "http://["):
                self.expect(400, method, "/c", Destination=destination)
            for destination in (
                f"http://{HOST}0/b",
                "http://evil.example/b",
                "http://dav.example/b",
            ):
                self.expect(502, method, "/c", Destination=destination)
            self.expect(400, method, "/c", Destination="/d", Overwrite="maybe")
            for depth in ("1", "x", ""):
                self.expect(400, method, "/c", Destination="/d", Depth=depth)
        self.expect(400, "MOVE", "/c", Destination="/d", Depth="0")
        self.assertFalse(self.exists("/d"))

    def test_dav18_overwrite(self) -> None:
        """Overwrite F on a taken name: 412, and both stay."""
        self.tree("/a", "/b", "/c/")
        for method in ("COPY", "MOVE"):
            for destination in ("/b", "/c"):
                self.expect(412, method, "/a", Destination=destination, Overwrite="F")
        self.assertEqual((self.content("/a"), self.content("/b")), (b"/a", b"/b"))
        self.expect(201, "MOVE", "/a", Destination="/d", Overwrite="F")

    def test_dav10_missing(self) -> None:
        """No source: 404; no parent at the destination: 409."""
        self.tree("/a", "/o")
        for method in ("COPY", "MOVE"):
            self.expect(404, method, "/no", Destination="/b")
            self.expect(404, method, "/a/", Destination="/b")
            self.expect(409, method, "/a", Destination="/no/b")
            self.expect(409, method, "/a", Destination="/o/b")

    def test_dav29_destinations(self) -> None:
        """An absolute URI or a path; names and schemes of this server are all the same."""
        self.tree("/a")
        for number, destination in enumerate(
            (f"http://{HOST}/b", f"https://{HOST.upper()}/b", "/b", "/%62", f"//{HOST}/b")
        ):
            self.expect(204 if number else 201, "COPY", "/a", Destination=destination)

    def test_dav29_shallow(self) -> None:
        """COPY with Depth 0 takes no members; of an object, all of it."""
        self.tree("/c/", "/c/a")
        self.expect(201, "COPY", "/c", Destination="/d", Depth="0")
        self.assertTrue(self.exists("/d/"))
        self.assertFalse(self.exists("/d/a"))
        self.expect(201, "COPY", "/c/a", Destination="/e", Depth="0")
        self.assertEqual(self.content("/e"), b"/c/a")
        self.expect(201, "MOVE", "/e", Destination="/f", Depth="0")

    def test_dav29_into_itself(self) -> None:
        """Onto itself, into itself, or onto what it lies in: 403, and nothing is lost."""
        self.tree("/c/", "/c/d/", "/c/d/a")
        for method in ("COPY", "MOVE"):
            for source, destination in (
                ("/c", "/c"), ("/c", "/c/"), ("/c/d/a", "/c/d/a"), ("/c", "/c/x"), ("/c", "/c/d"),
                ("/c", "/c/d/x"), ("/c/d", "/c"), ("/c/d/a", "/c"), ("/c/d/a", "/c/d"),
                ("/c/d", "/"), ("/", "/c"), ("/", "/new"),
            ):  # fmt: skip
                self.expect(403, method, source, Destination=destination)
        self.assertEqual(self.content("/c/d/a"), b"/c/d/a")

    def test_dav29_shallow_into_itself(self) -> None:
        """Without its members a collection fits into itself."""
        self.tree("/c/", "/c/a")
        self.expect(201, "COPY", "/c", Destination="/c/x", Depth="0")
        self.assertFalse(self.exists("/c/x/a"))

    def test_dav29_replaced_not_merged(self) -> None:
        """What is written over goes with all below."""
        for method in ("COPY", "MOVE"):
            self.tree("/c/", "/c/a", "/d/", "/d/old", "/d/e/")
            self.expect(204, method, "/c", Destination="/d")
            self.assertEqual(self.expect(207, "PROPFIND", "/d").texts("href"), ["/d/", "/d/a"])
            self.expect(204, "DELETE", "/d")
            if method == "COPY":
                self.expect(204, "DELETE", "/c")
        self.tree("/a", "/c/", "/c/b")
        self.expect(204, "MOVE", "/a", Destination="/c")
        self.assertEqual(self.content("/c"), b"/a")

    def test_dav41_tokens(self) -> None:
        """MOVE needs the locks of the source, of the destination if it or its parent has one."""
        self.tree("/p/", "/p/a", "/q/", "/q/b")
        source, parent, target = self.lock("/p/a"), self.lock("/q", Depth="0"), self.lock("/q/b")
        fields = {"Destination": "/q/b"}
        self.assertEqual(
            sorted(self.expect(423, "MOVE", "/p/a", **fields).texts("href")),
            ["/p/a", "/q/", "/q/b"],
        )
        of_source, of_parent = f"</p/a> (<{source}>)", f"</q> (<{parent}>)"
        self.assertEqual(
            self.expect(423, "MOVE", "/p/a", If_=of_source + of_parent, **fields).texts("href"),
            ["/q/b"],
        )
        self.assertEqual(
            self.expect(423, "COPY", "/p/a", If_=of_parent, **fields).texts("href"), ["/q/b"]
        )
        of_target = f"</q/b> (<{target}>)"
        # a lock on the member is enough to write it over: the parent keeps the name
        self.ask("COPY", "/p/a", If_=of_target + of_parent, **fields)
        self.expect(204, "MOVE", "/p/a", If_=of_source + of_parent + of_target, **fields)

    def test_dav47_locks(self) -> None:
        """MOVE ends the source's locks, COPY takes none along, one on a name written over stays."""
        self.tree("/a", "/b")
        source, target = self.lock("/a"), self.lock("/b")
        tokens = f"</a> (<{source}>) </b> (<{target}>)"
        self.expect(201, "COPY", "/a", Destination="/c")
        self.expect(204, "PUT", "/c", b"free")
        self.expect(204, "MOVE", "/a", Destination="/b", If_=tokens)
        self.expect(201, "PUT", "/a", b"free")
        self.assertEqual(self.expect(423, "PUT", "/b").texts("href"), ["/b"])
        self.expect(204, "PUT", "/b", b"x", If_=f"(<{target}>)")
        self.expect(409, "UNLOCK", "/b", Lock_Token=f"<{source}>")
