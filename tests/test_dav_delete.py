"""DELETE and MKCOL through the face, and the names that it takes."""

from __future__ import annotations

import unicodedata

from pigpen.http.key import Key
from tests.dav_kit import DavCase

#: DAV-60: all of these round-trip
NAMES = (
    *("a" + mark + "b" for mark in "%#+;\"&<>?:\\ =@,*|'()"), "€", "ü", "é", "🐷", "end.", "end ",
    " a", "%41", "a%2Fb", "~$x.doc", ".~lock.x#", "._x", ".DS_Store", "desktop.ini", "-", "\x85",
)  # fmt: skip


class DeleteTests(DavCase):
    def test_dav14_gone(self) -> None:
        """204, with all below; then 404."""
        self.tree("/c/", "/c/d/", "/c/d/a", "/b")
        self.expect(204, "DELETE", "/b")
        self.expect(404, "DELETE", "/b")
        self.expect(204, "DELETE", "/c")
        for path in ("/c/", "/c/d/", "/c/d/a"):
            self.assertFalse(self.exists(path))

    def test_dav14_slash(self) -> None:
        """An object is not what a final slash names."""
        self.tree("/a")
        self.expect(404, "DELETE", "/a/")
        self.assertTrue(self.exists("/a"))

    def test_dav14_root(self) -> None:
        """The root stays."""
        self.tree("/a")
        self.expect(403, "DELETE", "/")
        self.assertTrue(self.exists("/a"))

    def test_dav14_depth(self) -> None:
        """A collection goes with all below, or not at all; an object has nothing below."""
        self.tree("/c/", "/c/a")
        for depth in ("0", "1", "x"):
            self.expect(400, "DELETE", "/c", Depth=depth)
            self.expect(404, "DELETE", "/nothing", Depth=depth)
        self.expect(204, "DELETE", "/c/a", Depth="0")
        self.expect(204, "DELETE", "/c", Depth="Infinity")

    def test_dav14_conditions(self) -> None:
        """Conditions hold for the version that goes."""
        self.tree("/a")
        self.expect(412, "DELETE", "/a", If_Match='"x"')
        etag = self.expect(200, "HEAD", "/a").headers["ETag"]
        self.expect(204, "DELETE", "/a", If_Match=etag)

    def test_dav14_locked_members(self) -> None:
        """All or nothing: each locked member is named in a 207, and nothing goes."""
        self.tree("/c/", "/c/a", "/c/b", "/c/d/", "/c/d/e")
        tokens = [self.lock("/c/a"), self.lock("/c/d/e")]
        answer = self.expect(207, "DELETE", "/c")
        self.assertEqual(answer.texts("href"), ["/c/a", "/c/d/e"])
        self.assertEqual(answer.texts("status"), ["HTTP/1.1 423 Locked"] * 2)
        self.assertEqual(answer.names("error"), ["lock-token-submitted"] * 2)
        for path in ("/c/a", "/c/b", "/c/d/e"):
            self.assertTrue(self.exists(path))
        one = self.expect(207, "DELETE", "/c", If_=f"</c/a> (<{tokens[0]}>)")
        self.assertEqual(one.texts("href"), ["/c/d/e"])
        both = "".join(
            f"<{path}> (<{token}>)" for path, token in zip(("/c/a", "/c/d/e"), tokens, strict=True)
        )
        self.expect(204, "DELETE", "/c", If_=both)

    def test_dav14_locked_itself(self) -> None:
        """Its own lock, or the parent's, is 423 with the root of the lock."""
        self.tree("/p/", "/p/c/", "/p/c/a")
        token = self.lock("/p", Depth="0")
        answer = self.expect(423, "DELETE", "/p/c")
        self.assertEqual(answer.texts("href"), ["/p/"])
        self.assertEqual(answer.names("error"), ["lock-token-submitted"])
        self.expect(204, "UNLOCK", "/p", Lock_Token=f"<{token}>")
        self.lock("/p/c", Depth="0")
        self.assertEqual(self.expect(423, "DELETE", "/p/c").texts("href"), ["/p/c/"])


class MkcolTests(DavCase):
    def test_dav15_made(self) -> None:
        """201 with a final slash or without."""
        for path in ("/c", "/d/", "/c/e"):
            self.expect(201, "MKCOL", path)
            self.expect(200, "HEAD", path)
        self.assertEqual(self.expect(207, "PROPFIND", "/").texts("href"), ["/", "/c/", "/d/"])

    def test_dav15_refused(self) -> None:
        """What exists is 405, no parent 409, another body 415."""
        self.tree("/c/", "/a")
        for path in ("/c", "/c/", "/a", "/a/", "/"):
            self.expect(405, "MKCOL", path)
        for path in ("/no/c", "/a/c"):
            self.expect(409, "MKCOL", path)
        self.expect(415, "MKCOL", "/new", b"x", Content_Type="text/plain")
        self.assertFalse(self.exists("/new"))

    def test_dav15_properties(self) -> None:
        """RFC 5689: first properties; if one cannot be set nothing is made."""
        body = (
            b'<mkcol xmlns="DAV:"><set><prop><resourcetype><collection/></resourcetype>'
            b"<displayname>Box</displayname>%b</prop></set></mkcol>"
        )
        fields = {"Content_Type": "application/xml"}
        failed = self.expect(424, "MKCOL", "/c", body % b"<getetag>x</getetag>", **fields)
        self.assertEqual(failed.xml.tag, "{DAV:}mkcol-response")
        self.assertFalse(self.exists("/c"))
        self.expect(201, "MKCOL", "/c", body % b"", **fields)
        found = self.expect(207, "PROPFIND", "/c", Depth="0")
        self.assertEqual(found.texts("displayname"), ["Box"])

    def test_dav15_locked(self) -> None:
        """A locked parent gets no members."""
        self.tree("/p/")
        token = self.lock("/p", Depth="0")
        self.assertEqual(self.expect(423, "MKCOL", "/p/c").texts("href"), ["/p/"])
        self.expect(201, "MKCOL", "/p/c", If_=f"</p> (<{token}>)")


class NameTests(DavCase):
    def test_dav60_round_trip(self) -> None:
        """Every name that is no nonsense comes back as it was put, in listings too."""
        self.tree("/c/")
        for name in NAMES:
            path = Key(("c", name)).to_path()
            self.expect(201, "PUT", path, name.encode())
            self.assertEqual(self.content(path), name.encode())
        hrefs = self.expect(207, "PROPFIND", "/c/", Depth="1").texts("href")[1:]
        self.assertEqual({Key.from_path(href).name for href in hrefs}, set(NAMES))
        for href in hrefs:
            self.expect(200, "HEAD", href)
            self.expect(201, "COPY", href, Destination=f"{href}2")

    def test_dav60_too_long(self) -> None:
        """414, and in a Destination 400."""
        self.tree("/a")
        deep = ("/" + "a" * 200) * 21
        self.expect(414, "PUT", deep)
        self.expect(400, "COPY", "/a", Destination=deep)
        self.expect(400, "MOVE", "/a", Destination="/" + "a" * 256)

    def test_dav61_hrefs(self) -> None:
        """hrefs are absolute paths, encoded; collections end in a slash."""
        self.tree("/a%20c/", "/a%20c/%C3%BC", "/a%20c/d/")
        answer = self.expect(207, "PROPFIND", "/a%20c", Depth="1")
        self.assertEqual(answer.texts("href"), ["/a%20c/", "/a%20c/d/", "/a%20c/%C3%BC"])

    def test_dav62_spellings(self) -> None:
        """A name is found in the other Unicode form too; the first spelling stays (Finder)."""
        nfc, nfd = (unicodedata.normalize(form, "/Über/Ärger") for form in ("NFC", "NFD"))
        for first, second in ((nfc, nfd), (nfd, nfc)):
            stored = Key.from_text(first).to_path()
            other = Key.from_text(second).to_path()
            self.expect(201, "MKCOL", Key.from_text(first).parent.to_path())
            self.expect(201, "PUT", stored, b"1")
            self.expect(204, "PUT", other, b"2")
            self.assertEqual(self.content(stored), b"2")
            hrefs = self.expect(207, "PROPFIND", other, Depth="0").texts("href")
            self.assertEqual(hrefs, [stored])
            token = self.lock(stored)
            self.expect(423, "PUT", other, b"3")
            self.expect(204, "PUT", other, b"3", If_=f"<{other}> (<{token}>)")
            self.expect(204, "UNLOCK", other, Lock_Token=f"<{token}>")
            self.expect(204, "DELETE", Key.from_text(second).parent.to_path())
            self.assertFalse(self.exists(stored))

    def test_dav62_no_case_folding(self) -> None:
        """Names that differ in case are two."""
        self.tree("/a", "/A")
        self.assertEqual(self.content("/a"), b"/a")

    def test_dav63_ordinary_names(self) -> None:
        """What Finder, Windows and Office put beside files is stored as any file."""
        for name in ("._x", ".DS_Store", "desktop.ini", "~$x", ".~lock.x%23", "Thumbs.db"):
            self.expect(201, "PUT", f"/{name}", b"x")
            self.expect(204, "DELETE", f"/{name}")
        self.assertEqual(self.expect(207, "PROPFIND", "/").texts("href"), ["/"])

    def test_dav64_nothing_of_ours(self) -> None:
        """A fresh namespace is empty, and stays so while things are locked and given properties."""
        self.tree("/c/")
        self.lock("/c/")
        self.assertEqual(self.expect(207, "PROPFIND", "/c/").hrefs, ["/c/"])
