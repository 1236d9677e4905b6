"""PROPPATCH and MKCOL with properties: all are set, or none, and each is told why."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.mkcol import mkcol
from pigpen.dav.proppatch import proppatch
from pigpen.errors import (
    BadRequest,
    CatalogFull,
    InsufficientStorage,
    Locked,
    MethodNotAllowed,
    NotFound,
    PigpenError,
    PreconditionFailed,
    QuotaExceeded,
    TooLarge,
    UnsupportedMediaType,
)
from pigpen.http.body import Body, PushBody, StreamBody
from pigpen.http.key import Key
from pigpen.http.message import Response
from pigpen.http.namespace import MAX_VALUE_BYTES, Ability, Property
from tests.shelf_kit import D, Shelf, Stat, call_of, file, now, stats_of, text_of

DATE = "Sun, 10 Apr 2022 08:00:00 GMT"
MS = 1_649_577_600_000
WINDOWS = "urn:schemas-microsoft-com:"
A = Key(("a",))


def update(*steps: str) -> str:
    """Steps that begin with a minus remove."""
    inside = "".join(
        f"<D:remove><D:prop>{step[1:]}</D:prop></D:remove>"
        if step.startswith("-")
        else f"<D:set><D:prop>{step}</D:prop></D:set>"
        for step in steps
    )
    return (
        f'<D:propertyupdate xmlns:D="DAV:" xmlns:x="u" xmlns:Z="{WINDOWS}">{inside}'
        "</D:propertyupdate>"
    )


class ProppatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shelf = Shelf(file("a"))

    def patch(self, *steps: str) -> Stat:
        response: Response = now(proppatch(call_of(self.shelf, "PROPPATCH", "a", update(*steps))))
        self.assertEqual(response.status, 207)
        self.text = text_of(response)
        [stat] = stats_of(self.text)
        self.assertEqual(stat.href, "/a")
        return stat

    def fate(self, *steps: str) -> dict[int, list[str]]:
        return self.patch(*steps).other

    def test_set_and_remove(self) -> None:
        """Properties are set and removed in one change, in the order they were written."""
        stat = self.patch("<x:p>1<b/></x:p>", "-<x:q/>", "-<x:p/>", "<none/>")
        self.assertEqual(stat.found, {"{u}p": "", "{u}q": "", "none": ""})
        self.assertEqual(stat.other, {})
        changes = (
            Property("u", "p", '<x:p xmlns:x="u">1<b/></x:p>'),
            Property("u", "q"),
            Property("u", "p"),
            Property("", "none", "<none/>"),
        )
        self.assertEqual(self.shelf.asked, [("change", A, changes, None)])

    def test_protected(self) -> None:
        """What only the server knows cannot be set; what was beside it is not set either."""
        for name in (
            "creationdate", "getcontentlength", "getcontenttype", "getetag", "resourcetype",
            "supportedlock", "lockdiscovery", "quota-used-bytes", "quota-available-bytes",
        ):  # fmt: skip
            for sign in ("", "-"):
                fate = self.fate("<x:p/>", f"{sign}<D:{name}>1</D:{name}>", "-<x:q/>")
                self.assertEqual(fate, {424: ["{u}p", "{u}q"], 403: [name]})
                self.assertIn("<D:error><D:cannot-modify-protected-property/></D:error>", self.text)
        self.assertEqual(self.shelf.asked, [])

    def test_display_name(self) -> None:
        """A display name can be set."""
        self.assertEqual(self.fate("<D:displayname>x</D:displayname>"), {})
        name = '<D:displayname xmlns:D="DAV:" xmlns:x="u">'
        [(_, _, [change], _)] = self.shelf.asked  # type: ignore[misc]  # a list of one
        self.assertEqual((change.namespace, change.name), ("DAV:", "displayname"))
        self.assertTrue(change.value.startswith(name[:24]))

    def test_times(self) -> None:
        """Last-Modified can be set by its own name and by that of Windows; the last one counts."""
        other = "Mon, 11 Apr 2022 08:00:00 GMT"
        self.assertEqual(self.fate(f"<D:getlastmodified>{DATE}</D:getlastmodified>"), {})
        self.assertEqual(
            self.fate(
                f"<D:getlastmodified>{other}</D:getlastmodified>",
                f"<Z:Win32LastModifiedTime> {DATE}<!-- x --></Z:Win32LastModifiedTime>",
            ),
            {},
        )
        self.assertEqual(self.shelf.asked, [("change", A, (), MS), ("change", A, (), MS)])

    def test_windows(self) -> None:
        """What Windows sets after a copy is all accepted, and all but the time kept (DAV-53)."""
        stat = self.patch(
            f"<Z:Win32CreationTime>{DATE}</Z:Win32CreationTime>"
            f"<Z:Win32LastAccessTime>{DATE}</Z:Win32LastAccessTime>"
            f"<Z:Win32LastModifiedTime>{DATE}</Z:Win32LastModifiedTime>"
            "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>"
        )
        self.assertEqual((len(stat.found), stat.other), (4, {}))
        [(_, _, changes, modified)] = self.shelf.asked  # type: ignore[misc]  # a list of one
        self.assertEqual(modified, MS)
        self.assertEqual(
            [change.name for change in changes],
            ["Win32CreationTime", "Win32LastAccessTime", "Win32FileAttributes"],
        )

    def test_bad_times(self) -> None:
        """A time that is none is refused, as is taking Last-Modified away."""
        for value in ("", "yesterday", "2022-04-10", "<x:b/>"):
            fate = self.fate(f"<D:getlastmodified>{value}</D:getlastmodified>", "<x:p/>")
            self.assertEqual(fate, {409: ["getlastmodified"], 424: ["{u}p"]})
        self.assertEqual(self.fate("-<D:getlastmodified/>"), {403: ["getlastmodified"]})
        self.assertEqual(self.fate("-<Z:Win32LastModifiedTime/>"), {})

    def test_times_of_a_poor_store(self) -> None:
        """Where Last-Modified cannot be set, the name of Windows is a property as any other."""
        self.shelf.abilities = frozenset({Ability.PROPERTIES})
        time = f"<Z:Win32LastModifiedTime>{DATE}</Z:Win32LastModifiedTime>"
        self.assertEqual(self.fate(time), {})
        [(_, _, changes, modified)] = self.shelf.asked  # type: ignore[misc]  # a list of one
        self.assertEqual((len(changes), modified), (1, None))
        fate = self.fate(f"<D:getlastmodified>{DATE}</D:getlastmodified>")
        self.assertEqual(fate, {403: ["getlastmodified"]})

    def test_no_properties(self) -> None:
        """A store that keeps no properties says so of each."""
        self.shelf.abilities = frozenset({Ability.MODIFIED})
        self.assertEqual(self.fate("<x:p/>"), {403: ["{u}p"]})
        self.assertNotIn("cannot-modify", self.text)

    def test_too_large(self) -> None:
        """A value over 64 KiB is 507; nothing is set."""
        big = ">" * (MAX_VALUE_BYTES // 4)
        self.assertEqual(
            self.fate("<x:p/>", f"<x:big>{big}</x:big>"), {507: ["{u}big"], 424: ["{u}p"]}
        )
        self.assertEqual(self.shelf.asked, [])

    def test_long_names(self) -> None:
        """A name nobody can keep is 507 as well."""
        name, space = "n" * 1001, "s:" + "x" * 1000
        self.assertEqual(self.fate(f"<{name}/>"), {507: [name]})
        self.assertEqual(self.fate(f'<y:a xmlns:y="{space}"/>'), {507: [f"{{{space}}}a"]})

    def test_full(self) -> None:
        """A store that has no room refuses what is set, and depends on that what is removed."""
        self.shelf.fails = InsufficientStorage(reason="a node has at most 1000 properties")
        self.assertEqual(self.fate("<x:p/>", "-<x:q/>"), {507: ["{u}p"], 424: ["{u}q"]})
        self.assertIn("<D:sufficient-disk-space/>", self.text)
        self.shelf.fails = QuotaExceeded()
        self.assertEqual(self.fate("<x:p/>"), {507: ["{u}p"]})
        self.assertIn("<D:quota-not-exceeded/>", self.text)

    def test_refused_whole(self) -> None:
        """What concerns the whole request is no matter of single properties."""
        errors: tuple[PigpenError, ...] = (
            NotFound(), Locked(roots=()), PreconditionFailed(), CatalogFull()
        )  # fmt: skip
        for error in errors:
            self.shelf.fails = error
            self.assertRaises(type(error), self.fate, "<x:p/>")

    def test_refused_before_judging(self) -> None:
        """Nothing there is 404 and a failed condition 412, also where nothing could be set."""
        protected = update("<D:getetag/>")
        call = call_of(Shelf(), "PROPPATCH", "a", protected)
        self.assertRaises(NotFound, now, proppatch(call))
        call = call_of(self.shelf, "PROPPATCH", "a", protected, If_Match='"x"')
        self.assertRaises(PreconditionFailed, now, proppatch(call))

    def test_bad_bodies(self) -> None:
        """A body that asks for nothing is 400; a large one 413."""
        for xml in ("", "<", "<a/>", '<D:propertyupdate xmlns:D="DAV:"/>', update("<y:a/>")):
            call = call_of(self.shelf, "PROPPATCH", "a", xml)
            self.assertRaises(BadRequest, now, proppatch(call))
        call = call_of(self.shelf, "PROPPATCH", "a", update(f"<x:a>{'x' * 65_536}</x:a>"))
        self.assertRaises(TooLarge, now, proppatch(call))

    def test_set_of_nothing(self) -> None:
        """A set without a property is done at once."""
        self.assertEqual(self.fate(""), {})


class MkcolTests(SynchronousTestCase):
    def make(self, shelf: Shelf, xml: str | Body = "", **headers: str) -> Response:
        response: Response = now(mkcol(call_of(shelf, "MKCOL", "d", xml, **headers)))
        return response

    def extended(self, inside: str) -> str:
        prop = f"<D:set><D:prop>{inside}</D:prop></D:set>"
        return f'<D:mkcol xmlns:D="DAV:" xmlns:x="u">{prop}</D:mkcol>'

    def test_plain(self) -> None:
        """A folder is made, with a final slash or without, whatever type nothing is said to be."""
        shelf = Shelf()
        self.assertEqual(self.make(shelf).status, 201)
        self.assertEqual(self.make(shelf, Content_Type="x/y").status, 201)
        self.assertEqual(self.make(shelf, Content_Type="text/xml").status, 201)
        self.assertEqual(shelf.asked, [("make", Key(("d",), True), ())] * 3)

    def test_chunked_nothing(self) -> None:
        """An empty body of unknown length is none."""

        async def nothing() -> AsyncGenerator[bytes, None]:
            for chunk in ():
                yield chunk

        self.assertEqual(self.make(Shelf(), StreamBody(nothing())).status, 201)

    def test_with_properties(self) -> None:
        """A folder can be made with its first properties at once (RFC 5689)."""
        shelf = Shelf()
        xml = self.extended("<D:resourcetype><D:collection/></D:resourcetype><x:p>1</x:p>")
        self.assertEqual(self.make(shelf, xml, Content_Type="application/xml").status, 201)
        change = Property("u", "p", '<x:p xmlns:x="u">1</x:p>')
        self.assertEqual(shelf.asked, [("make", Key(("d",), True), (change,))])

    def test_failed_properties(self) -> None:
        """Where one cannot be set, nothing is made, and the answer says which (424)."""
        kind = "<D:resourcetype><D:collection/><x:calendar/></D:resourcetype>"
        for inside, status, name, condition in (
            (kind, 403, "resourcetype", "valid-resourcetype"),
            ("<D:resourcetype/>", 403, "resourcetype", "valid-resourcetype"),
            ("<D:getetag>x</D:getetag>", 403, "getetag", "cannot-modify-protected-property"),
            (f"<D:getlastmodified>{DATE}</D:getlastmodified>", 403, "getlastmodified",
             "cannot-modify-protected-property"),
        ):  # fmt: skip
            shelf = Shelf()
            xml = self.extended(f"<x:p/>{inside}")
            answer = self.make(shelf, xml, Content_Type='text/XML; charset="utf-8"')
            self.assertEqual((answer.status, shelf.asked), (424, []))
            root = etree.fromstring(text_of(answer).encode())
            self.assertEqual(root.tag, f"{D}mkcol-response")
            [dependent, failed] = root
            self.assertIn("424", dependent.findtext(f"{D}status") or "")
            self.assertIn(str(status), failed.findtext(f"{D}status") or "")
            self.assertIsNotNone(failed.find(f"{D}prop/{D}{name}"))
            self.assertIsNotNone(failed.find(f"{D}error/{D}{condition}"))

    def test_other_bodies(self) -> None:
        """A body of another kind is 415, and is not asked for; broken XML is 400."""
        held = PushBody(5)
        self.assertRaises(UnsupportedMediaType, self.make, Shelf(), held, Content_Type="x/y")
        self.assertTrue(held.ended)
        chunked = PushBody()
        chunked.push(b"x")
        self.assertRaises(UnsupportedMediaType, self.make, Shelf(), chunked)
        self.assertRaises(UnsupportedMediaType, self.make, Shelf(), "<a/>")
        xml = "application/xml"
        self.assertRaises(UnsupportedMediaType, self.make, Shelf(), "<a/>", Content_Type=xml)
        for text in ("<", '<D:mkcol xmlns:D="DAV:"/>'):
            self.assertRaises(BadRequest, self.make, Shelf(), text, Content_Type=xml)

    def test_exists(self) -> None:
        """What is there already is 405."""
        shelf = Shelf()
        shelf.fails = MethodNotAllowed(method="MKCOL", allow="")
        self.assertRaises(MethodNotAllowed, self.make, shelf)
