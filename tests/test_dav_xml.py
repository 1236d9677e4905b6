"""XML that clients send: what is read, what is refused, and what is kept of it (DAV-52, 70)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.xml import MAX_XML_BYTES, XmlElement, element_text, read_xml
from pigpen.errors import BadRequest, PigpenError, TooLarge
from pigpen.http.body import BytesBody, PushBody, StreamBody
from tests.hypothesis_kit import example, given, st

BOMB = (
    b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">'
    b'<!ENTITY z "&y;&y;&y;&y;&y;&y;&y;&y;">]><a b="&z;">&z;</a>'
)


async def pieces(data: bytes, size: int) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class XmlCase(SynchronousTestCase):
    def read(self, data: bytes, size: int = 65_536) -> XmlElement | None:
        coroutine = read_xml(StreamBody(pieces(data, size)))
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # of a coroutine
        raise AssertionError("it waits")

    def root(self, data: bytes, size: int = 65_536) -> XmlElement:
        root = self.read(data, size)
        assert root is not None
        return root


class ReadTests(XmlCase):
    def test_nothing(self) -> None:
        """No body at all is no error: it means allprop, or a plain MKCOL."""
        self.assertIsNone(self.read(b""))

    def test_encodings(self) -> None:
        """UTF-8 and UTF-16 are understood, with and without a mark and a declaration."""
        text = "<a>€ 🐷</a>"
        for data in (
            text.encode(),
            text.encode("utf-8-sig"),
            text.encode("utf-16"),
            b"\xfe\xff" + text.encode("utf-16-be"),
            f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(),
            f'<?xml version="1.0" encoding="utf-16"?>{text}'.encode("utf-16"),
            f'<?xml version="1.0" encoding="UTF-16LE"?>{text}'.encode("utf-16-le"),
        ):
            for size in (1, 3, 65_536):
                self.assertEqual(self.root(data, size).text, "€ 🐷", data)

    def test_hostile(self) -> None:
        """What is no plain, small XML is 400, in one piece and byte by byte."""
        for data in (
            b" \r\n",
            b"text",
            b"<a>",
            b"<a/><b/>",
            b"<a/>x",
            b"\0<a/>",
            b"<a>\0</a>",
            b"<a>&#1;</a>",
            b"<a>\xff</a>",
            b"<a>\xed\xa0\x80</a>",
            b' <?xml version="1.0"?><a/>',
            b'<?xml version="1.0" encoding="iso-8859-1"?><a>\xe4</a>',
            b'<?xml version="1.0" encoding="utf-7"?><a>+ADw-</a>',
            b'<?xml version="1.0" encoding="ebcdic-us"?><a/>',
            b'<?xml version="1.0" encoding="none-such"?><a/>',
            b'<a x="1" x="2"/>',
            b'<a xmlns:x=""/>',
            b'<D:a xmlns:D="DAV:"><x:b/></D:a>',
            b'<D:a xmlns:D="DAV:" x:b="1"/>',
            b'<a xmlns:xml="urn:other"/>',
            b"<a>&entity;</a>",
            b"<!DOCTYPE a><a/>",
            b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
            b'<!DOCTYPE a PUBLIC "-//x" "http://127.0.0.1/x.dtd"><a/>',
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
            b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://127.0.0.1/x"> %b;]><a/>',
            BOMB,
            b"<a>" * 33 + b"</a>" * 33,
            b"<a>" * 5_000,
            b"<a>" + b"<b/>" * 1000 + b"</a>",
        ):
            for size in (1, 65_536):
                self.assertRaises(BadRequest, self.read, data, size)

    def test_message_is_clean(self) -> None:
        """A refusal quotes nothing of the body, so no control character reaches a terminal."""
        error = self.assertRaises(BadRequest, self.read, b"<a>\x1b[31m<b></a>")
        self.assertTrue(error.message.isprintable(), error.message)

    def test_limits(self) -> None:
        """What is just within the limits is read."""
        self.root(b"<a>" * 32 + b"</a>" * 32)
        self.root(b"<a>" + b"<b/>" * 999 + b"</a>")
        self.root(b"<a>" + b"x" * (MAX_XML_BYTES - 7) + b"</a>", 1000)

    def test_too_large(self) -> None:
        """More than 64 KiB are 413; if they are announced, before any is asked for."""
        self.assertRaises(TooLarge, self.read, b"<a>" + b"x" * MAX_XML_BYTES, 1000)
        closed: list[int] = []
        body = PushBody(MAX_XML_BYTES + 1, on_close=lambda: closed.append(1))
        self.assertRaises(TooLarge, read_xml(body).send, None)
        self.assertEqual(closed, [1])

    def test_includes_nothing(self) -> None:
        """An XInclude stays text: no file is read."""
        root = self.root(
            b'<a><i:include xmlns:i="http://www.w3.org/2001/XInclude" href="/etc/passwd"'
            b' parse="text"/></a>'
        )
        self.assertEqual("".join(root.itertext()), "")

    @given(st.binary(max_size=300) | st.text("<>/&;!?[]- aD:=\"'", max_size=60).map(str.encode))
    @example(b"<?xml version='1.0' encoding='utf-16'?><a/>")
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever is sent is read or refused, and nothing else happens."""
        for size in (7, 65_536):
            try:
                self.read(data, size)
            except PigpenError as error:
                self.assertEqual(error.status, 400)


class ElementTextTests(XmlCase):
    def kept(self, xml: str) -> str:
        """What is kept of the first element inside the root."""
        return element_text(self.root(xml.encode())[0])

    def test_stands_alone(self) -> None:
        """A property means the same wherever it is written: its namespaces come along."""
        for xml, kept in (
            ("<a><b/>tail</a>", "<b/>"),
            ('<D:a xmlns:D="DAV:"><D:b> x </D:b></D:a>', '<D:b xmlns:D="DAV:"> x </D:b>'),
            ('<a xmlns="u" xmlns:unused="v"><b/></a>', '<b xmlns="u"/>'),
            ('<a xmlns:p="u" xmlns:q="u"><p:b/></a>', '<p:b xmlns:p="u"/>'),
            ('<a xmlns="relative"><b/></a>', '<b xmlns="relative"/>'),
            ('<a xml:lang="de"><b/></a>', '<b xml:lang="de"/>'),
            ('<a xml:lang="de"><b xml:lang="en"/></a>', '<b xml:lang="en"/>'),
            ('<a xmlns="u"><b xmlns=""/></a>', '<b xmlns=""/>'),
            ("<a><b>1<![CDATA[<&]]>2</b></a>", "<b>1&lt;&amp;2</b>"),
            ("<a><b>&#13;&#10;</b></a>", "<b>&#13;\n</b>"),
            ("<a><b><!-- c --><?p i?>x<c/>y</b></a>", "<b><!-- c --><?p i?>x<c/>y</b>"),
        ):
            self.assertEqual(self.kept(xml), kept)

    @given(
        st.recursive(
            st.text(
                st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
            )
            | st.sampled_from(["\t", "\n", "\r", "]]>"]),
            lambda inner: st.tuples(
                st.sampled_from(["b", "{u}b", "{DAV:}b", "{no scheme/}b"][:3]),
                st.dictionaries(
                    st.sampled_from(["x", "{u}y", "{n:}z"]), st.text("a&<\"'\n\t\r€🐷"), max_size=2
                ),
                st.lists(inner, max_size=3),
            ),
            max_leaves=8,
        )
    )
    def test_round_trip(self, tree: object) -> None:
        """A value comes back with every name, attribute, text and order it was sent with."""
        root = etree.Element("{DAV:}prop", nsmap={"D": "DAV:", None: "u"})
        build(root, ("{u}property", {}, [tree]))
        sent = self.root(etree.tostring(root))[0]
        kept = element_text(sent)
        back = self.root(f'<D:p xmlns:D="other:" xmlns:x="x:">{kept}</D:p>'.encode())[0]
        self.assertEqual(shape(back), shape(sent))
        self.assertEqual(element_text(back), kept)


def build(parent: XmlElement, node: object) -> None:
    if isinstance(node, str):
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + node
        else:
            parent.text = (parent.text or "") + node
        return
    assert isinstance(node, tuple)
    tag, attributes, inside = node
    element = etree.SubElement(parent, tag, attributes)
    for one in inside:
        build(element, one)


def shape(element: XmlElement) -> object:
    return (
        element.tag,
        dict(element.attrib),
        element.text or "",
        [(shape(child), child.tail or "") for child in element],
    )


class BodyTests(XmlCase):
    def test_closed_after_error(self) -> None:
        """A body that is refused half read is given back."""
        closed: list[int] = []
        body = PushBody(on_close=lambda: closed.append(1))
        body.push(b"<!DOCTYPE a><a/>")
        self.assertRaises(BadRequest, read_xml(body).send, None)
        self.assertEqual(closed, [1])

    def test_whole_body(self) -> None:
        """A body of known length is read as well."""
        coroutine = read_xml(BytesBody(b"<a/>"))
        self.assertRaises(StopIteration, coroutine.send, None)
