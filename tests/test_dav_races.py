"""Two clients on one name: one wins, the other is told, nothing is torn (DAV-130 to 135)."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.dav_kit import LOCKINFO, Answer, DavCase, SlowBody


class RaceTests(DavCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree("/c/", "/c/a", "/d/")

    def at_once(
        self, count: int, method: str, path: str, data: bytes = b"", **fields: str
    ) -> list[int]:
        asked = [self.begin(self.request(method, path, data, **fields)) for _ in range(count)]
        self.pass_time(1)
        return sorted(self.successResultOf(one).status for one in asked)

    def uploads(
        self, path: str, count: int, **fields: str
    ) -> list[tuple[SlowBody, Deferred[Answer]]]:
        """PUTs that were let in and wait for bytes."""
        found = []
        for _ in range(count):
            body = SlowBody(None)
            found.append((body, self.begin(self.request("PUT", path, body, **fields))))
            self.assertEqual(body.asked, 1)
        return found

    def end(self, upload: tuple[SlowBody, Deferred[Answer]], data: bytes) -> int:
        body, asked = upload
        body.push(data)
        body.push(b"")
        self.pass_time(1)
        return self.successResultOf(asked).status

    def test_dav130_create_once(self) -> None:
        """Of uploads that all want to be the first one is, whoever began first."""
        uploads = self.uploads("/c/new", 4, If_None_Match="*")
        ends = [self.end(upload, b"%d" % number) for number, upload in enumerate(uploads[::-1])]
        self.assertEqual(ends, [201, 412, 412, 412])
        self.assertEqual(self.content("/c/new"), b"0")

    def test_dav131_last_commit_wins(self) -> None:
        """Each reader gets one whole version, and the last to end stays."""
        uploads = self.uploads("/c/a", 3)
        etags = []
        for number, upload in enumerate(uploads):
            self.assertEqual(self.end(upload, b"version %d" % number), 204)
            got = self.expect(200, "GET", "/c/a")
            self.assertEqual(got.data, b"version %d" % number)
            etags.append(got.headers["ETag"])
        self.assertEqual(len(set(etags)), 3)

    def test_dav132_once(self) -> None:
        """One MKCOL makes it, one DELETE takes it."""
        self.assertEqual(self.at_once(4, "MKCOL", "/e"), [201, 405, 405, 405])
        self.assertEqual(self.at_once(4, "DELETE", "/e"), [204, 404, 404, 404])
        self.assertEqual(self.at_once(4, "DELETE", "/c/a"), [204, 404, 404, 404])

    def test_dav133_parent_goes(self) -> None:
        """An upload whose collection is deleted or moved meanwhile makes no orphan."""
        for method, fields in (("DELETE", {}), ("MOVE", {"Destination": "/elsewhere"})):
            self.ask("MKCOL", "/p")
            [upload] = self.uploads("/p/new", 1)
            self.assertIn(self.ask(method, "/p", **fields).status, (201, 204))
            self.assertEqual(self.end(upload, b"x"), 409)
            self.assertFalse(self.exists("/p"))

    def test_dav134_no_circle(self) -> None:
        """Collections are not moved into each other."""
        moves = [
            self.begin(self.request("MOVE", source, Destination=destination))
            for source, destination in (("/c", "/d/x"), ("/d", "/c/y"))
        ]
        self.pass_time(1)
        statuses = sorted(self.successResultOf(move).status for move in moves)
        self.assertEqual(statuses[0], 201)
        self.assertIn(statuses[1], (403, 404, 409))
        self.assertEqual(len(self.expect(207, "PROPFIND", "/").hrefs), 2)

    def test_dav135_one_lock(self) -> None:
        """One exclusive lock is given."""
        body = LOCKINFO % b"exclusive"
        self.assertEqual(self.at_once(4, "LOCK", "/c/a", body), [200, 423, 423, 423])

    def test_dav135_lock_in_an_upload(self) -> None:
        """After LOCK was answered no upload without the token is stored, though it began before."""
        [upload] = self.uploads("/c/a", 1)
        token = self.lock("/c/a")
        self.assertEqual(self.end(upload, b"late"), 423)
        self.assertEqual(self.content("/c/a"), b"/c/a")
        self.expect(204, "PUT", "/c/a", b"mine", If_=f"(<{token}>)")

    def test_changed_in_an_upload(self) -> None:
        """If-Match and If are judged again when the last byte has come."""
        etag = self.expect(200, "HEAD", "/c/a").headers["ETag"]
        for fields in ({"If_Match": etag}, {"If_": f"([{etag}])"}):
            self.expect(204, "PUT", "/c/a", b"/c/a")
            [upload] = self.uploads("/c/a", 1, **fields)
            self.expect(204, "PUT", "/c/a", b"other")
            self.assertEqual(self.end(upload, b"late"), 412)
            self.assertEqual(self.content("/c/a"), b"other")
