"""The page of a collection: nothing waits, so no clock has to be moved."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import AsyncGenerator
from typing import Any

import lxml.html
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.above_prefix import AbovePrefix
from pigpen.dav.page import directory_page
from pigpen.dav.page_assets import page_assets
from pigpen.dav.settings import DavSettings
from pigpen.errors import BadKey, Unavailable
from pigpen.http.body import Body
from pigpen.http.key import Key
from pigpen.http.message import Response
from pigpen.http.namespace import NOTHING, Node, Want
from tests.shelf_kit import WHEN, Shelf, call_of, file, folder, now, text_of

HOSTILE = (
    "<script>alert(1)<script>",
    "<!--",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "https:",
    "&lt;b&gt;&amp;",
    "{{title}} {{script}} {{listing}}",
    "..%2e%2f%00",
    "\\\\evil.example\\x",
    "?sort=size#x",
    "\u202egpj.exe",
    "a\u2066b\u2069c",
    "ليس ملفا",
    "  two  spaces ",
    "\u0085\u2028x",
    "🐷",
)


def relative(node: Node) -> str:
    return node.key.name + "/" * node.is_collection


class Folder(Shelf):
    """A shelf whose listings begin and go on as those of namespaces do."""

    async def list(
        self, key: Key, *, deep: bool = False, want: Want = NOTHING, after: str = ""
    ) -> AsyncGenerator[Node, None]:
        self.listings += 1
        self.taken = 0
        try:
            members = (node for node in self.nodes.values() if node.key.parent.names == key.names)
            for node in sorted((n for n in members if n.key.names), key=relative):
                self._fail()
                if relative(node) > after:
                    self.taken += 1
                    yield node
        finally:
            self.listings -= 1


class PageCase(SynchronousTestCase):
    """Asks for pages of ``self.folder`` and reads them as a browser does."""

    def hold(self, *nodes: Node) -> None:
        self.folder = Folder(folder("/"), *nodes)

    def answer(
        self, query: str = "", path: str = "/", method: str = "GET", prefix: str = ""
    ) -> Response:
        settings = DavSettings(prefix=Key.from_text(prefix + "/")) if prefix else None
        call: Any = call_of(self.folder, method, path, settings=settings)
        call.request.query_string = query
        node = self.folder.nodes[Key(call.key.names, True)]
        response: Response = now(directory_page(call, node))
        return response

    def page(self, query: str = "", path: str = "/", prefix: str = "") -> Any:
        response = self.answer(query, path, prefix=prefix)
        self.assertEqual(response.status, 200)
        page = lxml.html.document_fromstring(text_of(response))
        self.assertEqual(self.folder.listings, 0, "a listing was not closed")
        return page

    def names(self, page: Any) -> list[str]:
        return [cell.text_content() for cell in page.xpath("//tbody//bdi")]

    def pages(self, query: str = "", most: int = 20) -> list[list[str]]:
        """The names on this page and all that follow it."""
        found = []
        while True:
            page = self.page(query)
            found.append(self.names(page))
            following = page.xpath("//a[@rel='next']/@href")
            if not following:
                return found
            self.assertLess(len(found), most)
            query = following[0].partition("?")[2]


class RowTests(PageCase):
    def test_entries(self) -> None:
        """Folders first, then files as people count; each with address, size and time."""
        self.hold(
            file("img 10.png", length=2048),
            file("img 9.png", length=1),
            file("Img 1.png", length=1234567),
            folder("zoo/"),
        )
        page = self.page()
        self.assertEqual(self.names(page), ["zoo", "Img 1.png", "img 9.png", "img 10.png"])
        hrefs = page.xpath("//tbody//a/@href")
        self.assertEqual(hrefs, ["/zoo/", "/Img%201.png", "/img%209.png", "/img%2010.png"])
        sizes = [(cell.text, cell.get("title")) for cell in page.xpath("//td[@class='size']")]
        self.assertEqual(
            sizes,
            [
                (None, None),
                ("1.2 MiB", "1,234,567 bytes"),
                ("1 B", "1 byte"),
                ("2.0 KiB", "2,048 bytes"),
            ],
        )
        [time, *_] = page.xpath("//td/time")
        self.assertEqual(
            (time.text, time.get("datetime")), ("2022-04-10 08:00", "2022-04-10T08:00:00Z")
        )
        self.assertEqual(page.xpath("//tbody/tr/@data-kind"), ["folder", *["image"] * 3])
        self.assertEqual(page.find_class("count")[0].text, "4 entries")

    def test_empty(self) -> None:
        """An empty folder says so."""
        self.hold()
        page = self.page()
        self.assertIn("This folder is empty.", page.find_class("empty")[0].text_content())
        self.assertEqual(page.xpath("//table"), [])

    def test_times_beyond_any_calendar(self) -> None:
        """A time that a client set to nonsense spoils nothing."""
        self.hold(file("a", modified=10**17), file("b", modified=-(10**17)), file("c"))
        self.assertEqual(self.names(self.page()), ["a", "b", "c"])
        self.assertEqual(self.names(self.page("sort=time&order=desc")), ["a", "c", "b"])

    def test_hostile_names(self) -> None:
        """Whatever a name holds is shown as text and leads to its own file."""
        self.hold(*(file(name) for name in HOSTILE))
        markup = text_of(self.answer())
        page = lxml.html.document_fromstring(markup)
        shown = {re.sub(r"U\+(20..)", lambda m: chr(int(m[1], 16)), n) for n in self.names(page)}
        self.assertEqual(shown, set(HOSTILE))
        keys = {Key.from_path(href).name for href in page.xpath("//tbody//a/@href")}
        self.assertEqual(keys, set(HOSTILE))
        self.check_inert(page)
        self.assertNotIn("\u202e", markup)

    def test_hostile_folder(self) -> None:
        """The same for the folder that is shown, in the title, the path and the address."""
        for name in HOSTILE:
            self.hold(folder(f"{name}/"), file(f"{name}/x"))
            page = self.page(path=f"{name}/")
            self.check_inert(page)
            self.assertEqual(Key.from_path(page.xpath("//body/@data-folder")[0]).name, name)
            [current] = page.xpath("//h1[@aria-current='page']")
            if name.isascii():
                self.assertEqual(current.text_content(), name)
                self.assertEqual(page.xpath("//title")[0].text, f"{name} · pigpen")

    def check_inert(self, page: Any) -> None:
        """Nothing runs but our script, and nothing comes from elsewhere."""
        self.assertEqual(len(page.xpath("//script")), 1)
        self.assertEqual(len(page.xpath("//style")), 1)
        self.assertEqual(page.xpath("//@*[starts-with(name(), 'on')]"), [])
        self.assertEqual(page.xpath("//@style"), [])
        for address in page.xpath("//@href | //@src | //@action | //@srcset"):
            self.assertTrue(re.match(r"/(?!/)|#|data:image/svg", address), address)

    def test_prefix(self) -> None:
        """Under a prefix every address begins with it."""
        self.hold(folder("a/"), folder("a/b/"), file("a/b/c"))
        page = self.page("sort=size", "a/b/", prefix="x y")
        addresses = page.xpath("//body//a/@href")
        self.assertTrue(all(one.startswith("/x%20y/") for one in addresses if one), addresses)
        self.assertEqual(page.xpath("//nav//li/a/@href"), ["/x%20y/", "/x%20y/a/"])
        self.assertEqual(page.xpath("//a[@rel='up']/@href"), ["/x%20y/a/"])

    def test_root(self) -> None:
        """There is nothing above the root."""
        self.hold()
        self.assertEqual(self.page().xpath("//a[@rel='up']"), [])

    def test_read_only(self) -> None:
        """Where nothing can be changed, the page offers nothing of that kind."""
        self.hold()
        self.assertEqual(self.page().xpath("//body/@data-access"), ["all"])
        namespace: Any = AbovePrefix(Key.from_text("dav/"))
        response = now(directory_page(call_of(namespace, "GET", "/"), folder("/")))
        page = lxml.html.document_fromstring(text_of(response))
        self.assertEqual(page.xpath("//body/@data-access"), ["read"])
        self.assertEqual(page.xpath("//tbody//a/@href"), ["/dav/"])


class AnswerTests(PageCase):
    def test_policy(self) -> None:
        """The browser runs this style and this script, and fetches nothing from elsewhere."""
        self.hold(file("a"))
        response = self.answer()
        policy = dict(
            part.strip().split(" ", 1)
            for part in response.headers["Content-Security-Policy"].split(";")
        )
        markup = text_of(response)
        for tag in ("style", "script"):
            [text] = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", markup, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            self.assertEqual(policy[f"{tag}-src"], f"'sha256-{digest}'")
        self.assertEqual(policy["default-src"], "'none'")
        self.assertEqual(policy["frame-ancestors"], "'none'")
        self.assertNotIn("unsafe", str(policy))
        self.assertNotIn("http", str(policy))

    def test_nothing_outside(self) -> None:
        """No text of the page names another server."""
        assets = page_assets()
        urls = set(
            re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^'\" )>]*", assets.before + assets.after)
        )
        self.assertEqual(urls, {"http://www.w3.org/2000/svg"})
        for word in ("eval(", "innerHTML", "document.write", "new Function", "@import"):
            self.assertNotIn(word, assets.before + assets.after)

    def test_slots(self) -> None:
        """Every slot of the frame is filled."""
        self.hold()
        self.assertEqual(re.findall(r"\{\{\w+\}\}", text_of(self.answer())), [])

    def test_fields(self) -> None:
        """It is HTML that is asked for again each time, and it is streamed."""
        self.hold()
        response = self.answer()
        self.assertEqual(response.headers["Content-Type"], "text/html; charset=utf-8")
        self.assertEqual(response.headers["Cache-Control"], "private, no-cache")
        self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")
        self.assertIsNone(response.body.length)
        self.assertNotIn("Content-Location", response.headers)

    def test_without_slash(self) -> None:
        """Without its final slash a collection is shown, too, and its address is told (DAV-26)."""
        self.hold(folder("a/"))
        self.assertEqual(self.answer(path="a").headers["Content-Location"], "/a/")

    def test_head(self) -> None:
        """HEAD reads no listing."""
        self.hold(file("a"))
        self.folder.fails = Unavailable(reason="it was listed")
        response = self.answer(method="HEAD")
        self.assertEqual((response.status, response.body.length), (200, 0))
        self.assertIn("Content-Security-Policy", response.headers)

    def test_failure(self) -> None:
        """A listing that breaks off is an error, never a page of half of it."""
        self.hold(file("a"))
        self.folder.fails = Unavailable(reason="the disk is slow")
        for query in ("", "sort=stored"):
            self.assertRaises(Unavailable, self.answer, query)

    def test_blocks(self) -> None:
        """A long page leaves in blocks, so that it is never held whole."""
        self.hold(*(file(f"{number}") for number in range(1000)))

        async def blocks(body: Body) -> list[int]:
            return [len(block) async for block in body]

        sizes = now(blocks(self.answer().body))
        self.assertGreater(len(sizes), 5)
        self.assertLess(max(sizes), 100_000)


class SortTests(PageCase):
    def setUp(self) -> None:
        self.hold(
            file("b", length=3, modified=WHEN + 5000),
            file("A", length=1, modified=WHEN + 7000),
            file("é", length=3, modified=WHEN),
            folder("z/", modified=WHEN + 1),
            folder("y/", modified=WHEN + 2),
        )

    def test_orders(self) -> None:
        """By name, size or time, either way; folders come first in all."""
        for query, names in [
            ("", "y z A b é"),
            ("sort=name&order=desc", "z y é b A"),
            ("sort=size", "y z A b é"),
            ("sort=size&order=desc", "y z b é A"),
            ("sort=time", "z y é b A"),
            ("sort=time&order=desc", "y z A b é"),
        ]:
            self.assertEqual(self.names(self.page(query)), names.split(), query)

    def test_headings(self) -> None:
        """A heading sorts by its column, and the other way the next time."""
        page = self.page("sort=size&order=desc")
        links = page.xpath("//thead//a/@href")
        self.assertEqual(links, ["/?sort=name", "/?sort=size", "/?sort=time&order=desc"])
        self.assertEqual(page.xpath("//th[@aria-sort]/@aria-sort"), ["descending"])
        self.assertEqual(self.page().xpath("//th[@aria-sort]/a/@href"), ["/?sort=name&order=desc"])

    def test_junk(self) -> None:
        """A query that means nothing shows the first page."""
        for query in (
            "sort=x",
            "order=up",
            "sort=size&after=",
            "sort=size&after=x",
            "sort=time&after=%31e9/b",
            "sort=size&after=" + "9" * 5000 + "/b",
            "after=" + "9" * 5000,
            "sort=size&after=1/" + "9" * 5000,
            "sort=size&after=%D9%A3/b",
            "a&b=%ff&&;",
        ):
            self.assertEqual(len(self.names(self.page(query))), 5, query)


class PagingTests(PageCase):
    """1,000 entries a page; a next page begins behind the last entry of the one before."""

    def many(self, number: int) -> list[Node]:
        chance = random.Random(7)
        files = [
            file(f"f {index}", length=chance.randrange(9), modified=WHEN + chance.randrange(9))
            for index in range(number)
        ]
        return [*files, *(folder(f"d{index}/") for index in range(number // 50))]

    def test_every_order(self) -> None:
        """The pages show each entry once, sorted through all of them."""
        nodes = self.many(2200)
        self.hold(*nodes)
        for query in ("", "sort=size&order=desc", "sort=time", "sort=name&order=desc"):
            pages = self.pages(query)
            self.assertEqual([len(page) for page in pages], [1000, 1000, 244])
            names = [name for page in pages for name in page]
            self.assertEqual(set(names), {node.key.name for node in nodes})
            self.assertEqual(len(names), len(nodes))
            self.assertTrue(all(name.startswith("d") for name in names[:44]))
        self.assertEqual(self.pages()[0][44:47], ["f 0", "f 1", "f 2"])

    def test_counts(self) -> None:
        """The reader sees where they are, and comes back to the first page."""
        self.hold(*self.many(1100))
        page = self.page()
        self.assertEqual(page.find_class("count")[0].text, "1–1,000 of 1,122 entries")
        self.assertEqual(page.xpath("//a[@rel='start']"), [])
        page = self.page(page.xpath("//a[@rel='next']/@href")[0].partition("?")[2])
        self.assertEqual(page.find_class("count")[0].text, "1,001–1,122 of 1,122 entries")
        self.assertEqual(page.xpath("//a[@rel='start']/@href"), ["/?sort=name"])
        self.assertEqual(page.xpath("//a[@rel='next']"), [])

    def test_changes(self) -> None:
        """What goes meanwhile, even the last entry of a page, shifts nothing."""
        for query in ("sort=name", "sort=size&order=desc"):
            self.hold(*self.many(1500))
            first = self.page(query)
            gone = self.names(first)[-1]
            del self.folder.nodes[Key.from_text(gone)]
            following = first.xpath("//a[@rel='next']/@href")[0].partition("?")[2]
            rest = self.names(self.page(following))
            self.assertEqual(len(self.names(first)) + len(rest), 1530)
            self.assertEqual(set(self.names(first)) & set(rest), set())

    def test_full_page(self) -> None:
        """Exactly a page has no next one, and what is behind the end says so."""
        self.hold(*(file(f"{index:04}") for index in range(1000)))
        page = self.page()
        self.assertEqual(page.xpath("//a[@rel='next']"), [])
        self.assertEqual(page.find_class("count")[0].text, "1,000 entries")
        page = self.page("after=9999")
        self.assertIn("Nothing more.", page.find_class("empty")[0].text_content())
        self.assertEqual(len(page.xpath("//a[@rel='start']")), 1)

    def test_too_many_to_sort(self) -> None:
        """Over 10,000 entries come as stored, and only those of the page are read."""
        self.hold(*(file(f"{index:05}") for index in range(10_002)), folder("04999-/"))
        page = self.page("sort=size")
        self.assertEqual(page.xpath("//thead//a"), [])
        self.assertEqual(
            page.find_class("count")[0].text, "1,000 of over 10,000 entries, by name only"
        )
        pages = self.pages("sort=size")
        names = [name for page in pages for name in page]
        self.assertEqual(len(names), 10_003)
        self.assertEqual(names, sorted(names))
        self.page("sort=stored&after=04998")
        self.assertEqual(self.folder.taken, 1001)

    def test_after_a_folder(self) -> None:
        """A page that ends with a folder goes on behind it."""
        self.hold(*(folder(f"{index:05}/") for index in range(10_001)))
        names = [name for page in self.pages() for name in page]
        self.assertEqual(len(names), len(set(names)))

    def test_no_name(self) -> None:
        """What cannot be a name is refused before it reaches the namespace."""
        self.hold()
        for after in ("..", "a/b", "%00", "a//"):
            self.assertRaises(BadKey, self.answer, f"sort=stored&after={after}")
