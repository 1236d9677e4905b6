"""The bodies of PROPFIND, PROPPATCH, MKCOL and LOCK: what they ask for, and which make no sense."""

from __future__ import annotations

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.xml import XmlElement
from pigpen.dav.xml_bodies import Asked, LockInfo, lockinfo, mkcol, propertyupdate, propfind
from pigpen.errors import BadRequest, InsufficientStorage
from pigpen.http.namespace import Property


def xml(text: str) -> XmlElement:
    return etree.fromstring(text)


def body(root: str, inside: str) -> XmlElement:
    return xml(f'<D:{root} xmlns:D="DAV:" xmlns:x="u">{inside}</D:{root}>')


class PropfindTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """Each form of RFC 4918 9.1 is understood, and what is unknown is passed over."""
        for inside, asked in (
            ("<D:allprop/>", Asked(all=True)),
            ("<D:propname/>", Asked(names_only=True)),
            ("<x:other/><D:prop/>", Asked()),
            ("<D:prop><D:a/><x:b>1</x:b><c/><!-- d --></D:prop>",
             Asked((("DAV:", "a"), ("u", "b"), ("", "c")))),
            ("<D:prop><x:b/><x:b/></D:prop>", Asked((("u", "b"),))),
            ("<D:allprop/><D:include><x:b/></D:include>", Asked((("u", "b"),), all=True)),
        ):  # fmt: skip
            self.assertEqual(propfind(body("propfind", inside)), asked)
        self.assertEqual(propfind(None), Asked(all=True))

    def test_refused(self) -> None:
        """Another root, nothing asked for, or two things at once: 400."""
        for root in (
            xml("<propfind><allprop/></propfind>"),
            body("propertyupdate", "<D:allprop/>"),
            body("propfind", ""),
            body("propfind", "<x:prop/>"),
            body("propfind", "<D:allprop/><D:propname/>"),
            body("propfind", "<D:allprop/><D:prop><x:a/></D:prop>"),
        ):
            self.assertRaises(BadRequest, propfind, root)

    def test_long_names(self) -> None:
        """A namespace written once and asked for a thousand times does not fill every entry of the
        answer."""
        far = f'xmlns:f="{"u" * 40_000}"'
        inside = "".join(f"<f:a{number}/>" for number in range(900))
        asked = xml(f'<D:propfind xmlns:D="DAV:" {far}><D:prop>{inside}</D:prop></D:propfind>')
        self.assertRaises(BadRequest, propfind, asked)
        usual = "".join(f"<x:a{number}/>" for number in range(900))
        self.assertEqual(len(propfind(body("propfind", f"<D:prop>{usual}</D:prop>")).names), 900)


class UpdateTests(SynchronousTestCase):
    def test_document_order(self) -> None:
        """Setting and removing keep the order in which they were written (RFC 4918 9.2)."""
        root = body(
            "propertyupdate",
            "<D:remove><D:prop><x:a/></D:prop></D:remove><x:what/>"
            "<D:set><D:prop><x:a>1</x:a><b/></D:prop></D:set>"
            "<D:remove><D:prop><b>gone</b></D:prop></D:remove>",
        )
        self.assertEqual(
            propertyupdate(root),
            (
                Property("u", "a"),
                Property("u", "a", '<x:a xmlns:x="u">1</x:a>'),
                Property("", "b", "<b/>"),
                Property("", "b"),
            ),
        )

    def test_refused(self) -> None:
        """No body, another root, and nothing to do are 400."""
        for root in (None, body("propfind", "<D:set/>"), body("propertyupdate", "<x:set/>")):
            self.assertRaises(BadRequest, propertyupdate, root)

    def test_far_namespaces(self) -> None:
        """Values are kept with the namespaces around them, but not to megabytes of one body."""
        far = f'xmlns:f="{"u" * 40_000}"'
        inside = "".join(f'<a{number} f:b=""/>' for number in range(500))
        root = xml(
            f'<D:propertyupdate xmlns:D="DAV:" {far}><D:set><D:prop>{inside}</D:prop></D:set>'
            "</D:propertyupdate>"
        )
        self.assertRaises(InsufficientStorage, propertyupdate, root)

    def test_mkcol(self) -> None:
        """MKCOL sets properties and removes none (RFC 5689 3)."""
        root = body("mkcol", "<D:set><D:prop><x:a/></D:prop></D:set>")
        self.assertEqual(mkcol(root), (Property("u", "a", '<x:a xmlns:x="u"/>'),))
        self.assertRaises(BadRequest, mkcol, body("mkcol", "<D:remove/>"))


class LockInfoTests(SynchronousTestCase):
    def info(self, inside: str) -> LockInfo | None:
        return lockinfo(body("lockinfo", inside))

    def test_wishes(self) -> None:
        """Scope and owner are as sent; no body at all is a refresh."""
        self.assertIsNone(lockinfo(None))
        shared = "<D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype>"
        self.assertEqual(self.info(shared), LockInfo(False, ""))
        info = self.info(
            "<D:locktype><D:write/></D:locktype><D:lockscope><D:exclusive/></D:lockscope>"
            "<D:owner><D:href>http://a/</D:href> &amp; more</D:owner>"
        )
        owner = '<D:owner xmlns:D="DAV:"><D:href>http://a/</D:href> &amp; more</D:owner>'
        self.assertEqual(info, LockInfo(True, owner))

    def test_refused(self) -> None:
        """A lock of no known kind is 400."""
        scope, kind = "<D:lockscope>{}</D:lockscope>", "<D:locktype>{}</D:locktype>"
        write, exclusive = "<D:write/>", "<D:exclusive/>"
        for inside in (
            "",
            scope.format(exclusive),
            kind.format(write),
            scope.format("") + kind.format(write),
            scope.format("<x:own/>") + kind.format(write),
            scope.format(exclusive) + kind.format("<D:read/>"),
            scope.format(exclusive + "<D:shared/>") + kind.format(write),
        ):
            self.assertRaises(BadRequest, self.info, inside)
        self.assertRaises(BadRequest, lockinfo, xml("<lockinfo/>"))

    def test_large_owner(self) -> None:
        """An owner that is kept in over 4 KiB is refused with the number."""
        whole = (
            "<D:locktype><D:write/></D:locktype><D:lockscope><D:exclusive/></D:lockscope>"
            f"<D:owner>{'>' * 1_100}</D:owner>"
        )
        error = self.assertRaises(InsufficientStorage, self.info, whole)
        self.assertIn("4096", error.message)
