"""Any request gets an answer that makes sense, and leaves a tree that does (DAV-10)."""

from __future__ import annotations

import random

from pigpen.dav.options import METHODS
from pigpen.http.key import Key
from tests.dav_kit import HOST, LOCKINFO, DavCase

PATHS = ("/", "/a", "/a/", "/b", "/c", "/c/", "/c/a", "/c/d", "/c/d/", "/c/d/a", "/e%20f",
         "/%C3%BC", "/u%CC%88")  # fmt: skip
PROPS = (
    b'<D:propertyupdate xmlns:D="DAV:"><D:%b><D:prop><x xmlns="n:">1</x></D:prop></D:%b>'
    b"</D:propertyupdate>"
)
BODIES = (
    b"", b"", b"data", LOCKINFO % b"exclusive", LOCKINFO % b"shared", PROPS % (b"set", b"set"),
    PROPS % (b"remove", b"remove"), b'<propfind xmlns="DAV:"><propname/></propfind>',
    b'<propfind xmlns="DAV:"><allprop/></propfind>', b'<mkcol xmlns="DAV:"/>', b"<x",
    b"<!DOCTYPE x>",
)  # fmt: skip
VALUES = ("", "*", '"x"', 'W/"x"', "0", "1", "infinity", "T", "F", "x", "<>", "(", "(<urn:x>)",
          "Second-5", "Infinite", "bytes=0-1", "bytes=-1", "bytes=9-", "1000000000", "text/xml",
          "text/plain", "Thu, 01 Jan 2026 00:00:00 GMT", "MD5:00", "\xff\x80",
          "a" * 300)  # fmt: skip
FIELDS = ("Depth", "Overwrite", "Timeout", "Range", "If_Match", "If_None_Match", "If_Range",
          "If_Modified_Since", "If_Unmodified_Since", "Content_Type", "Content_Range", "Lock_Token",
          "X_OC_Mtime", "X_Expected_Entity_Length", "OC_Checksum", "Content_MD5", "Repr_Digest",
          "If_", "Destination", "User_Agent")  # fmt: skip
STATUSES = {
    200,
    201,
    204,
    206,
    207,
    304,
    400,
    403,
    404,
    405,
    409,
    412,
    413,
    415,
    416,
    423,
    424,
    502,
}


class RandomTests(DavCase):
    def test_dav10_any_request(self) -> None:
        """500 random requests: every status is one of the tables, and the tree stays whole."""
        self.assertGreater(len(self.work(seed=1, count=500)), 10)

    def work(self, seed: int, count: int) -> set[int]:
        """:return: the statuses there were."""
        source = random.Random(seed)
        tokens = ["urn:uuid:none"]
        seen = set()
        for _ in range(count):
            method = source.choice(METHODS[1:])
            fields = self.fields(source, tokens)
            answer = self.ask(method, source.choice(PATHS), source.choice(BODIES), **fields)
            self.assertIn(answer.status, STATUSES, (seed, method, fields, answer))
            if "Lock-Token" in answer.headers:
                tokens.append(answer.token)
            seen.add(answer.status)
            self.pass_time(source.choice((0, 0, 0, 1, 20)))
        self.check_tree("/")
        return seen

    def fields(self, source: random.Random, tokens: list[str]) -> dict[str, str]:
        fields = {
            source.choice(FIELDS): source.choice(VALUES) for _ in range(source.choice((0, 1, 2)))
        }
        if source.random() < 0.4:
            fields["Depth"] = source.choice(("0", "1", "infinity"))
        if source.random() < 0.7:
            base = source.choice(("", "", f"http://{HOST}", "http://evil"))
            fields["Destination"] = base + source.choice(PATHS)
        if source.random() < 0.6:
            mark = source.choice(("", "", "Not "))
            tag = source.choice(("", "", f"<{source.choice(PATHS)}> "))
            fields["If_"] = f"{tag}({mark}<{source.choice(tokens[-3:])}>)"
            fields["Lock_Token"] = f"<{source.choice(tokens[-3:])}>"
        return fields

    def check_tree(self, path: str) -> None:
        """What is listed is there, and says of itself what its listing said."""
        listing = self.expect(207, "PROPFIND", path, Depth="1")
        self.assertEqual(len(set(listing.hrefs)), len(listing.hrefs))
        for href in listing.hrefs[1:]:
            self.assertEqual(Key.from_path(href).parent.to_path(), path)
            alone = self.expect(207, "PROPFIND", href, Depth="0")
            self.assertEqual(alone.hrefs, [href])
            self.expect(200, "GET", href)
            if href.endswith("/"):
                self.check_tree(href)
