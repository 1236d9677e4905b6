"""Properties through the whole face and a real namespace: what is set comes back (DAV-52)."""

from __future__ import annotations

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.face import WebDav
from pigpen.http.body import BytesBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.http.namespace import Visit
from pigpen.testing.env import SimEnv
from pigpen.testing.namespace import make_namespace
from tests.properties import given, st
from tests.shelf import D, Stat, props, stats_of

texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20
) | st.sampled_from(["\t\n", "]]>", "&<>\"'", " ", "𐀀"])
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


class Everyone:
    """Lets everyone into one namespace."""

    def __init__(self, env: SimEnv) -> None:
        self.namespace = make_namespace(env)

    async def admit(self, request: Request) -> Visit:
        return Visit(self.namespace, "me")


class FaceCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        self.face = WebDav(self.env, Everyone(self.env))

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[Response, str]:
        fields = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        request = Request(
            method, Key.from_path(path), headers=fields, body=BytesBody(body.encode())
        )

        async def answered() -> tuple[Response, str]:
            response = await self.face.handle(request)
            return response, (await read_all(response.body, 10_000_000)).decode()

        return self.env.run(answered())

    def stats(self, path: str, body: str = "", **headers: str) -> list[Stat]:
        response, text = self.ask("PROPFIND", path, body, **headers)
        self.assertEqual(response.status, 207, text)
        return stats_of(text)

    def set(self, path: str, prop: str, attributes: str = "") -> None:
        xml = (
            f'<D:propertyupdate xmlns:D="DAV:" {attributes}><D:set><D:prop>{prop}</D:prop></D:set>'
            "</D:propertyupdate>"
        )
        response, text = self.ask("PROPPATCH", path, xml)
        self.assertEqual((response.status, stats_of(text)[0].other), (207, {}), text)


class PropertyTests(FaceCase):
    def setUp(self) -> None:
        super().setUp()
        self.ask("PUT", "/a", "hello", Content_Type="text/plain")

    def element(self, path: str, name: str, namespace: str) -> etree._Element:
        named = props().replace("<D:prop>", f'<D:prop><x:{name} xmlns:x="{namespace}"/>')
        _, text = self.ask("PROPFIND", path, named, Depth="0")
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
        """Each look gives the very same bytes, also after the property was copied by hand."""
        value = '<y:p xmlns:y="n:" q="1">a<z/>b<!-- c --></y:p>'
        self.set("/a", value)
        xml = '<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'
        self.assertIn(value, self.ask("PROPFIND", "/a", xml)[1])
        self.assertIn(value, self.ask("PROPFIND", "/", xml)[1])

    def test_follows(self) -> None:
        """Properties follow COPY and MOVE, and end with DELETE."""
        self.set("/a", '<y:p xmlns:y="n:">1</y:p>')
        self.ask("COPY", "/a", Destination="/b")
        self.ask("MOVE", "/a", Destination="/c")
        for path in ("/b", "/c"):
            self.assertEqual(self.element(path, "p", "n:").text, "1")
        self.ask("DELETE", "/b")
        self.ask("PUT", "/b", "new")
        [stat] = self.stats("/b", props(":p"), Depth="0")
        self.assertEqual(stat.found, {})

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
        self.assertEqual(self.ask("HEAD", "/a")[0].headers["Last-Modified"], date)

    def test_lock_is_told(self) -> None:
        """A lock is seen in the folder's listing, with owner and token."""
        lockinfo = (
            '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
            "<D:locktype><D:write/></D:locktype><D:owner><D:href>me</D:href></D:owner></D:lockinfo>"
        )
        response, text = self.ask("LOCK", "/a", lockinfo)
        token = response.headers["Lock-Token"].strip("<>")
        self.assertIn(f"<D:href>{token}</D:href>", text)
        _, listing = self.ask("PROPFIND", "/", props("lockdiscovery"))
        self.assertIn(f"<D:locktoken><D:href>{token}</D:href></D:locktoken>", listing)
        self.assertIn('<D:owner xmlns:D="DAV:"><D:href>me</D:href></D:owner>', listing)
        self.assertEqual(self.ask("PROPPATCH", "/a", update_of("<x/>"))[0].status, 423)

    def test_mkcol_with_properties(self) -> None:
        """A folder made with properties has them; one that cannot have them is not made."""
        kind = "<D:resourcetype><D:collection/></D:resourcetype>"
        xml = '<D:mkcol xmlns:D="DAV:"><D:set><D:prop>{}</D:prop></D:set></D:mkcol>'
        fields = {"Content_Type": "application/xml"}
        made, _ = self.ask("MKCOL", "/d", xml.format(f'{kind}<y:p xmlns:y="n:">1</y:p>'), **fields)
        self.assertEqual(made.status, 201)
        self.assertEqual(self.element("/d/", "p", "n:").text, "1")
        failed, text = self.ask("MKCOL", "/e", xml.format(f"{kind}<D:getetag/>"), **fields)
        self.assertEqual(failed.status, 424)
        self.assertEqual(etree.fromstring(text.encode()).tag, f"{D}mkcol-response")
        self.assertEqual(self.ask("PROPFIND", "/e")[0].status, 404)

    def test_too_many(self) -> None:
        """More properties than a node can have are 507, and none of them is set."""
        many = "".join(f"<p{n}/>" for n in range(600))
        self.set("/a", many)
        more = "".join(f"<q{n}/>" for n in range(600))
        response, text = self.ask("PROPPATCH", "/a", update_of(more))
        self.assertEqual(response.status, 207)
        self.assertEqual(len(stats_of(text)[0].other[507]), 600)
        [stat] = self.stats("/a", '<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>')
        self.assertEqual(len([name for name in stat.found if name[0] in "pq"]), 600)

    def test_infinity(self) -> None:
        """The refusal of Depth infinity names its condition."""
        response, text = self.ask("PROPFIND", "/", Depth="infinity")
        self.assertEqual(response.status, 403)
        self.assertIn('<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>', text)


def update_of(inside: str) -> str:
    return (
        '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>'
        f"{inside}</D:prop></D:set></D:propertyupdate>"
    )
