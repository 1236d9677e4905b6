"""Properties through the whole face and a real namespace: what is set comes back (DAV-52)."""

from __future__ import annotations

from lxml import etree

from tests.dav_kit import DavCase
from tests.hypothesis_kit import given, st
from tests.shelf_kit import D, Stat, props, stats_of

texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20
) | st.sampled_from(["\t\n", "]]>", "&<>\"'", " ", "𐀀"])
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


class PropertyTests(DavCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree("/a")

    def find(self, path: str, xml: str = "", **fields: str) -> str:
        return self.expect(207, "PROPFIND", path, xml.encode(), **fields).data.decode()

    def stats(self, path: str, xml: str = "", **fields: str) -> list[Stat]:
        return stats_of(self.find(path, xml, **fields))

    def patch(self, path: str, inside: str, attributes: str = "") -> Stat:
        xml = (
            f'<D:propertyupdate xmlns:D="DAV:" {attributes}><D:set><D:prop>{inside}</D:prop>'
            "</D:set></D:propertyupdate>"
        )
        answer = self.expect(207, "PROPPATCH", path, xml.encode())
        return stats_of(answer.data.decode())[0]

    def set(self, path: str, inside: str, attributes: str = "") -> None:
        self.assertEqual(self.patch(path, inside, attributes).other, {})

    def element(self, path: str, name: str, namespace: str) -> etree._Element:
        named = props().replace("<D:prop>", f'<D:prop><x:{name} xmlns:x="{namespace}"/>')
        text = self.find(path, named, Depth="0")
        element = etree.fromstring(text.encode()).find(f".//{{{namespace}}}{name}")
        assert element is not None, text
        return element

    @given(texts, st.dictionaries(st.sampled_from(["k", "{u:}k", LANGUAGE]), texts, max_size=3))
    def test_round_trip(self, text: str, attributes: dict[str, str]) -> None:
        """Text, attributes, mixed content and language come back as they were sent."""
        sent = etree.Element("{n:}p", attributes)
        sent.text = text
        child = etree.SubElement(sent, "c", attributes)
        child.tail = text
        self.set("/a", etree.tostring(sent, encoding="unicode"), 'xml:lang="de"')
        back = self.element("/a", "p", "n:")
        self.assertEqual((back.text or "", dict(back[0].attrib)), (text, attributes))
        self.assertEqual((back[0].tag, back[0].tail or ""), ("c", text))
        self.assertEqual(dict(back.attrib), {LANGUAGE: "de", **attributes})

    def test_unchanged(self) -> None:
        """Each look gives the very same bytes, alone and in a listing."""
        value = '<y:p xmlns:y="n:" q="1">a<z/>b<!-- c --></y:p>'
        self.set("/a", value)
        xml = '<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'
        self.assertIn(value, self.find("/a", xml))
        self.assertIn(value, self.find("/", xml))

    def test_follows(self) -> None:
        """Properties follow COPY and MOVE, and end with DELETE."""
        self.set("/a", '<y:p xmlns:y="n:">1</y:p>')
        self.expect(201, "COPY", "/a", Destination="/b")
        self.expect(201, "MOVE", "/a", Destination="/c")
        for path in ("/b", "/c"):
            self.assertEqual(self.element(path, "p", "n:").text, "1")
        self.expect(204, "DELETE", "/b")
        self.tree("/b")
        [stat] = self.stats("/b", Depth="0")
        self.assertNotIn("{n:}p", stat.found)

    def test_windows_copies(self) -> None:
        """Windows keeps the times of what it copies, and the next look shows them."""
        date = "Thu, 14 Apr 2022 08:00:00 GMT"
        windows = 'xmlns:Z="urn:schemas-microsoft-com:"'
        self.set(
            "/a",
            f"<Z:Win32CreationTime>{date}</Z:Win32CreationTime>"
            f"<Z:Win32LastModifiedTime>{date}</Z:Win32LastModifiedTime>"
            "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>",
            windows,
        )
        [stat] = self.stats("/a", Depth="0", User_Agent="Microsoft-WebDAV-MiniRedir/10.0")
        self.assertEqual(stat.found["getlastmodified"], date)
        self.assertEqual(stat.found["{urn:schemas-microsoft-com:}Win32FileAttributes"], "00000020")
        self.assertEqual(self.ask("HEAD", "/a").headers["Last-Modified"], date)

    def test_lock_is_told(self) -> None:
        """A lock is seen in the folder's listing, with owner and token."""
        token = self.lock("/a")
        listing = self.find("/", props("lockdiscovery"))
        self.assertIn(f"<D:locktoken><D:href>{token}</D:href></D:locktoken>", listing)
        self.assertIn('<owner xmlns="DAV:"><href>http://ann</href></owner>', listing)
        self.expect(423, "PROPPATCH", "/a", UPDATE)
        self.expect(207, "PROPPATCH", "/a", UPDATE, If_=f"(<{token}>)")

    def test_mkcol_with_properties(self) -> None:
        """A folder made with properties has them; one that cannot have them is not made."""
        kind = "<D:resourcetype><D:collection/></D:resourcetype>"
        xml = '<D:mkcol xmlns:D="DAV:"><D:set><D:prop>{}</D:prop></D:set></D:mkcol>'
        fields = {"Content_Type": "application/xml"}
        whole = xml.format(f'{kind}<y:p xmlns:y="n:">1</y:p>').encode()
        self.expect(201, "MKCOL", "/d", whole, **fields)
        self.assertEqual(self.element("/d/", "p", "n:").text, "1")
        refused = xml.format(f"{kind}<D:getetag/>").encode()
        answer = self.expect(424, "MKCOL", "/e", refused, **fields)
        self.assertEqual(answer.xml.tag, f"{D}mkcol-response")
        self.expect(404, "PROPFIND", "/e")

    def test_too_many(self) -> None:
        """More properties than a node can have are 507, and none of them is set."""
        many = "".join(f"<p{n}/>" for n in range(600))
        self.set("/a", many)
        more = "".join(f"<q{n}/>" for n in range(600))
        self.assertEqual(len(self.patch("/a", more).other[507]), 600)
        [stat] = self.stats("/a", '<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>')
        self.assertEqual(len([name for name in stat.found if name[0] in "pq"]), 600)

    def test_infinity(self) -> None:
        """The refusal of Depth infinity names its condition."""
        answer = self.expect(403, "PROPFIND", "/", Depth="infinity")
        self.assertEqual(answer.names("error"), ["propfind-finite-depth"])


class LitmusTests(DavCase):
    """What litmus 0.18 tries and the one that is packaged does not (DAV-151)."""

    def test_propfind_invalid2(self) -> None:
        """An empty namespace with a prefix is 400."""
        xml = props().replace("<D:prop>", '<D:prop><x:a xmlns:x=""/>')
        self.expect(400, "PROPFIND", "/", xml.encode(), Depth="0")

    def test_propgetlastmod(self) -> None:
        """The time a listing shows is the one that GET says."""
        self.tree("/a")
        asked = props("getlastmodified", "getetag").encode()
        answer = self.expect(207, "PROPFIND", "/a", asked, Depth="0")
        headers = self.expect(200, "GET", "/a").headers
        self.assertEqual(answer.texts("getlastmodified"), [headers["Last-Modified"]])
        self.assertEqual(answer.texts("getetag"), [headers["ETag"]])


UPDATE = b'<propertyupdate xmlns="DAV:"><set><prop><x xmlns=""/></prop></set></propertyupdate>'
