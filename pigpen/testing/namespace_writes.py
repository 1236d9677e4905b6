"""What every namespace does with PUT, GET, MKCOL and DELETE (DAV-12 to 15, 23, 24, 31, 62)."""

# mypy: allow-untyped-calls
from __future__ import annotations

import hashlib
import itertools
from typing import Any

from pigpen.errors import (
    BodyAborted,
    Conflict,
    DigestMismatch,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    PigpenError,
)
from pigpen.http.body import BytesBody, read_all
from pigpen.http.key import Key
from pigpen.http.namespace import Node, WriteMeta
from pigpen.testing.namespace_case import MIB, AskedBody, NamespaceCase

#: one name, composed and decomposed
NFC, NFD = "\u00e9", "e\u0301"


class WriteTests(NamespaceCase):
    """Objects and collections come, are read, and go."""

    def test_life_of_an_object(self) -> None:
        """Nothing, stored, replaced, deleted; each step is seen at once."""
        self.assertFalse(self.is_there("a"))
        first = self.write("a", b"one")
        self.assertTrue(first.created)
        self.assertEqual((self.read("a"), self.names()), (b"one", ["a"]))
        second = self.write("a", b"other")
        self.assertFalse(second.created)
        self.assertEqual(self.read("a"), b"other")
        self.run_now(self.deleting("a"))
        self.assertFalse(self.is_there("a"))
        self.assertEqual(self.names(), [])

    def test_written_is_what_is_found(self) -> None:
        """PUT tells the ETag, length and time that later answers have."""
        written = self.write("a", b"12345", meta=WriteMeta(content_type="text/plain", length=5))
        found, listed = self.stat("a"), self.nodes("/")[0]
        opened = self.run_now(self.namespace.open(Key.from_text("a")))
        self.run_now(opened.close())
        for node in (found, listed, opened.node):
            self.assertEqual(
                (node.key, node.etag, node.length, node.content_type),
                (Key(("a",)), written.node.etag, 5, "text/plain"),
            )
            self.assertEqual(node.modified // 1000, written.node.modified // 1000)
        self.assertRegex(written.node.etag or "", r'^"[^"]+"$')

    def test_times(self) -> None:
        """Created stays, modified grows with each version, even within a millisecond."""
        nodes = [self.written("a", str(n).encode()) for n in range(3)]
        self.assertEqual(len({node.etag for node in nodes}), 3)
        times = [node.modified for node in nodes]
        self.assertEqual(times, sorted(set(times)))
        for before, after in itertools.pairwise(nodes):
            same = before.modified // 1000 == after.modified // 1000
            self.assertEqual(after.same_second, same)
        self.assertFalse(nodes[0].same_second)
        self.assertEqual(len({node.created for node in nodes}), 1)

    def written(self, key: str, data: bytes) -> Node:
        """What is found of a version: its writer need not be told all of it."""
        written = self.write(key, data).node
        found = self.stat(key)
        self.assertEqual((found.etag, found.modified), (written.etag, written.modified))
        return found

    def test_time_that_the_writer_sets(self) -> None:
        """A client that keeps the times of files finds them again (rclone)."""
        wished = 1_234_567_890_123
        self.write("a", b"1", meta=WriteMeta(modified=wished))
        self.assertEqual(self.stat("a").modified, wished)
        self.assertEqual(self.nodes("/")[0].modified, wished)

    def test_empty_and_large(self) -> None:
        """An object of no bytes is one; 2 MiB come back as they were."""
        self.write("empty", b"")
        large = bytes(range(256)) * (2 * MIB // 256)
        self.write("large", large)
        self.assertEqual((self.read("empty"), self.stat("empty").length), (b"", 0))
        self.assertEqual(self.read("large"), large)

    def test_unknown_length(self) -> None:
        """A chunked upload needs no length (Finder)."""
        body = self.slow(b"x" * 1000)
        body.length = None
        self.write("a", body)
        self.assertEqual(self.read("a"), b"x" * 1000)

    def test_parts(self) -> None:
        """Any bytes of a version can be read, and none of another."""
        data = bytes(range(256)) * 1000
        self.write("a", data)
        for offset, length in ((0, 1), (5, 300), (255_999, 1), (100_000, 100_000), (7, 0)):
            reading = self.run_now(self.namespace.open(Key.from_text("a")))
            body = self.run_now(reading.body(offset, length))
            self.assertEqual(self.run_now(read_all(body, MIB)), data[offset : offset + length])

    def test_version_that_is_read_stays(self) -> None:
        """Who began to read a file gets all of that version, or is cut off, never a mixture."""
        self.write("a", b"old" * 1000)
        reading = self.run_now(self.namespace.open(Key.from_text("a")))
        self.write("a", b"new" * 1000)
        try:
            body = self.run_now(reading.body(3, 6))
            self.assertEqual(self.run_now(read_all(body, MIB)), b"oldold")
        except PigpenError:
            self.run_now(reading.close())

    def test_places(self) -> None:
        """What cannot be there is refused before anything is stored."""
        self.write("file")
        self.make_collection("box")
        self.refused(Conflict, self.writing("none/a"))
        self.refused(Conflict, self.writing("file/a"))
        self.refused(Conflict, self.writing("file/a", parents=True))
        self.refused(Conflict, self.writing("new/"))
        self.refused(MethodNotAllowed, self.writing("box"))
        self.refused(MethodNotAllowed, self.writing("box/"))
        self.refused(MethodNotAllowed, self.writing("/"))
        self.assertEqual(self.names(deep=True), ["box/", "file"])

    def test_parents(self) -> None:
        """`pigpen put a/b/c` makes the collections it needs."""
        self.write("a/b/c", b"1", parents=True)
        self.assertEqual(self.names("a/"), ["b/"])
        self.run_now(self.deleting("a/b/c"))
        self.assertEqual(self.names("a/b/"), [])

    def test_missing(self) -> None:
        """Nothing there is 404, and so is an object asked for as a collection."""
        self.write("a")
        for key in ("none", "a/", "none/x", "a/x"):
            self.refused(NotFound, self.namespace.stat(Key.from_text(key)))
            self.refused(NotFound, self.listing(key))
        self.refused(NotFound, self.namespace.open(Key.from_text("none")))
        self.refused(NotFound, self.deleting("none"))
        self.refused(NotFound, self.deleting("a/"))
        self.refused(NotFound, self.patching("none"))
        self.refused(NotFound, self.namespace.quota(Key.from_text("none")))
        self.refused(NotFound, self.copying("none", "b"))
        self.refused(NotFound, self.moving("none", "b"))

    def test_collections(self) -> None:
        """A collection is there without members, with and without its slash."""
        self.make_collection("box", "box/in/")
        for key in ("box", "box/"):
            self.assertEqual(self.stat(key).key, Key(("box",), True))
        self.assertEqual(self.names("box"), ["in/"])
        self.assertEqual(self.stat("/").key, Key((), True))
        self.assertIsNone(self.stat("box").etag)
        self.refused(MethodNotAllowed, self.namespace.open(Key.from_text("box")))
        self.refused(MethodNotAllowed, self.making("box"))
        self.refused(MethodNotAllowed, self.making("/"))
        self.write("file")
        self.refused(MethodNotAllowed, self.making("file"))
        self.refused(MethodNotAllowed, self.making("file/"))
        self.refused(Conflict, self.making("none/x"))
        self.refused(Conflict, self.making("file/x"))

    def test_delete_takes_all_below(self) -> None:
        """A collection goes with all it holds, and nothing beside it."""
        self.make_collection("d", "d/e", "d.e", "d0")
        for key in ("d/a", "d/e/b", "d.e/c", "dd"):
            self.write(key)
        self.run_now(self.deleting("d"))
        self.assertEqual(self.names(deep=True), ["d.e/", "d.e/c", "d0/", "dd"])
        self.make_collection("d")
        self.assertEqual(self.names("d"), [])

    def test_quota(self) -> None:
        """Bytes, of anything that is there; what is free may be unknown."""
        self.make_collection("d")
        self.write("d/a", b"x" * 100)
        for key in ("/", "d", "d/a"):
            quota = self.run_now(self.namespace.quota(Key.from_text(key)))
            self.assertGreaterEqual(quota.used, 0)
            self.assertIsInstance(quota.available, int | None)

    def test_emptied_collection_stays(self) -> None:
        self.make_collection("d")
        self.write("d/a")
        self.run_now(self.deleting("d/a"))
        self.assertEqual(self.names(), ["d/"])

    def test_root_stays(self) -> None:
        self.write("a")
        self.refused(Forbidden, self.deleting("/"))
        self.assertEqual(self.names(), ["a"])

    def test_strange_names(self) -> None:
        """Whatever is a name comes back as it was."""
        names = ["% #+;\"&<>?:\\", "a b", "€ ü 🐷", "dot.", "space ", "._x", ".DS_Store", "%2e%2F",
                 "~$x", "x" * 255]  # fmt: skip
        for number, name in enumerate(names):
            key = Key((name,))
            self.run_now(
                self.namespace.write(key, BytesBody(b"%d" % number), WriteMeta(), self.when())
            )
        self.assertEqual([n.key.name for n in self.nodes("/")], sorted(names))
        for number, name in enumerate(names):
            self.assertEqual(self.run_now(self.reading(name)), b"%d" % number)

    # -- whole or not at all ----------------------------------------------------------------------

    def test_cut_upload(self) -> None:
        """An upload that breaks off leaves the old value, or no name."""
        self.write("old", b"whole")
        for key in ("old", "new"):
            self.refused(BodyAborted, self.writing(key, self.cut(b"half" * 3000)))
        self.assertEqual((self.names(), self.read("old")), (["old"], b"whole"))

    def test_left_upload(self) -> None:
        """A client that goes away in the middle leaves nothing behind."""
        self.write("old", b"whole")
        for key in ("old", "new"):
            put = self.start(self.writing(key, self.slow(b"half" * 3000)))
            self.wait(1.5)
            put.cancel()
            put.addErrback(lambda _: None)  # type: ignore[unused-awaitable]
            self.wait(5)
        self.assertEqual((self.names(), self.read("old")), (["old"], b"whole"))

    def test_nothing_is_seen_of_an_upload(self) -> None:
        """While it is under way readers see what was there before, and no other name."""
        self.write("old", b"whole")
        puts = [self.start(self.writing(key, self.slow(b"x" * 9000))) for key in ("old", "new")]
        self.wait(2.5)
        self.assertEqual((self.names(), self.read("old")), (["old"], b"whole"))
        for put in puts:
            self.run_now(put)
        self.assertEqual((self.names(), self.read("old")), (["new", "old"], b"x" * 9000))

    def test_wrong_body(self) -> None:
        """Bytes that are not what was announced are not stored."""
        right = hashlib.sha256(b"right").digest()
        meta = WriteMeta(length=5, sha256=right)
        for key in ("a", "b"):
            if key == "b":
                self.write("b", b"old")
            self.refused(DigestMismatch, self.writing(key, b"wrong", meta))
        self.assertEqual(self.names(), ["b"])
        self.assertEqual(self.read("b"), b"old")
        self.write("a", b"right", meta=meta)
        self.assertEqual(self.read("a"), b"right")

    def test_refused_before_the_body(self) -> None:
        """What can be refused by its head is refused before a byte is asked for (DAV-24)."""
        self.make_collection("box")
        self.write("a", b"old")
        cases: Any = (
            ("box", {}),
            ("none/a", {}),
            ("a", {"none_match": "*"}),
            ("b", {"match": "*"}),
            ("a", {"If": '(["other"])'}),
        )
        for key, terms in cases:
            body = AskedBody()
            self.refused(PigpenError, self.writing(key, body, **terms))
            self.assertFalse(body.asked, key)

    # -- spellings --------------------------------------------------------------------------------

    def test_spellings(self) -> None:
        """A Mac and a PC that spell a name differently mean one file (DAV-62)."""
        for stored, asked in ((NFC, NFD), (NFD, NFC)):
            top = f"{ord(stored[0])}"
            self.make_collection(top)
            self.run_now(self.making(f"{top}/{stored}", loose=True))
            self.write(f"{top}/{asked}/{stored}x", b"1", loose=True)
            second = self.write(f"{top}/{stored}/{asked}x", b"2", loose=True)
            self.assertFalse(second.created)
            self.assertEqual(second.node.key.names, (top, stored, f"{stored}x"))
            self.assertEqual(self.names(top, deep=True), [f"{stored}/", f"{stored}/{stored}x"])
            self.assertEqual(self.read(f"{top}/{asked}/{asked}x"), b"2")
            self.refused(MethodNotAllowed, self.making(f"{top}/{asked}", loose=True))
            self.run_now(self.moving(f"{top}/{asked}/{asked}x", f"{top}/{asked}y", loose=True))
            self.assertEqual(self.names(top), sorted([f"{stored}/", f"{asked}y"]))
            self.run_now(self.deleting(f"{top}/{asked}", loose=True))
            self.assertEqual(self.names(top), [f"{asked}y"])

    def test_spellings_of_the_cloud(self) -> None:
        """Where nobody asks for it two spellings are two names."""
        self.write(NFC, b"1")
        self.write(NFD, b"2")
        self.assertEqual((self.read(NFC), self.read(NFD)), (b"1", b"2"))
        self.assertEqual(self.names(), sorted([NFC, NFD]))
