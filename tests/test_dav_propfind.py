"""PROPFIND: what clients learn of names, how much at a time, and what it may cost (DAV-16, DAV-27,
DAV-28, DAV-50)."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.call import Call
from pigpen.dav.propfind import BLOCK_BYTES, InfiniteDepth, propfind
from pigpen.dav.proppatch import proppatch
from pigpen.dav.settings import DavSettings
from pigpen.errors import BadField, BadRequest, NotFound, PreconditionFailed, TimedOut
from pigpen.http.body import BytesBody, PushBody, read_all
from pigpen.http.if_header import parse_if
from pigpen.http.key import Key
from pigpen.http.message import Response
from pigpen.http.namespace import Ability, Lock, Property, Want, When
from tests.dav_kit import SlowBody
from tests.shelf_kit import WHEN, Shelf, Stat, call_of, file, folder, now, props, stats_of, text_of

ALLPROP = '<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'
PROPNAME = '<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>'
WIN32 = "urn:schemas-microsoft-com:"
DATE = "Sun, 10 Apr 2022 08:00:00 GMT"
LOCK = Lock("urn:uuid:1", Key(("d",), True), False, True, "me", "", WHEN)
DEAD = Property("u", "p", '<x:p xmlns:x="u">1</x:p>')


class PropfindCase(SynchronousTestCase):
    def answer(self, shelf: Shelf, path: str, xml: str = "", **headers: str) -> Response:
        response: Response = now(propfind(call_of(shelf, "PROPFIND", path, xml, **headers)))
        self.assertEqual(response.status, 207)
        return response

    def stats(self, shelf: Shelf, path: str, xml: str = "", **headers: str) -> list[Stat]:
        return stats_of(text_of(self.answer(shelf, path, xml, **headers)))

    def hrefs(self, shelf: Shelf, path: str, **headers: str) -> list[str]:
        return [stat.href for stat in self.stats(shelf, path, props("getetag"), **headers)]


class LivePropertyTests(PropfindCase):
    def test_object(self) -> None:
        """A file tells its size, times, type, version and which locks it can have."""
        shelf = Shelf(file("a b.txt", content_type="text/plain", properties=(), locks=()))
        [stat] = self.stats(shelf, "a b.txt", ALLPROP, Depth="0")
        self.assertEqual(stat.href, "/a%20b.txt")
        self.assertEqual(
            stat.found,
            {
                "creationdate": "2022-04-10T07:59:59Z",
                "displayname": "a b.txt",
                "getcontentlength": "5",
                "getcontenttype": "text/plain",
                "getetag": '"e"',
                "getlastmodified": DATE,
                "resourcetype": "",
                "supportedlock": "<lockentry><lockentry>",
                "lockdiscovery": "",
            },
        )
        self.assertEqual(stat.other, {})

    def test_collection(self) -> None:
        """A folder has neither size nor version; asked for them by name, it says 404."""
        shelf = Shelf(folder("d/"))
        names = ("resourcetype", "getcontentlength", "getetag", "getcontenttype", "displayname")
        [stat] = self.stats(shelf, "d/", props(*names), Depth="0")
        self.assertEqual(stat.found, {"resourcetype": "<collection>", "displayname": "d"})
        self.assertEqual(stat.other, {404: ["getcontentlength", "getetag", "getcontenttype"]})

    def test_root(self) -> None:
        """The root has an href and a name, if an empty one."""
        [stat] = self.stats(Shelf(folder("")), "", props("displayname"), Depth="0")
        self.assertEqual((stat.href, stat.found), ("/", {"displayname": ""}))

    def test_unknown_creation(self) -> None:
        """Where nobody knows when something was made, nothing is invented."""
        text = text_of(self.answer(Shelf(file("a", created=None)), "a", props("creationdate")))
        self.assertEqual(stats_of(text)[0].other, {404: ["creationdate"]})
        self.assertNotIn("200 OK", text)

    def test_windows_time_is_kept(self) -> None:
        """Where Last-Modified cannot be set, Windows reads back what it left there."""
        name = "Win32LastModifiedTime"
        kept = Property(WIN32, name, f'<Z:{name} xmlns:Z="{WIN32}">then</Z:{name}>')
        shelf = Shelf(file("a", properties=(kept,)), abilities=frozenset({Ability.PROPERTIES}))
        xml = props().replace("<D:prop>", f'<D:prop><Z:{name} xmlns:Z="{WIN32}"/>')
        [stat] = self.stats(shelf, "a", xml)
        self.assertEqual(stat.found, {f"{{{WIN32}}}{name}": "then"})

    def test_displayname(self) -> None:
        """A display name that was set is told, escaped as it was."""
        named = Property(
            "DAV:", "displayname", '<N:displayname xmlns:N="DAV:">&lt;</N:displayname>'
        )
        shelf = Shelf(file("a", properties=(named,)))
        for xml in (props("displayname"), ALLPROP):
            [stat] = self.stats(shelf, "a", xml)
            self.assertEqual(stat.found["displayname"], "<")
        self.assertEqual(shelf.wants[0], Want(properties=True))
        text = text_of(self.answer(shelf, "a", PROPNAME))
        self.assertEqual(text.count("<D:displayname/>"), 1)

    def test_type_unknown(self) -> None:
        """Bytes of no known type are octets, as GET says too."""
        [stat] = self.stats(Shelf(file("a")), "a", props("getcontenttype"))
        self.assertEqual(stat.found, {"getcontenttype": "application/octet-stream"})

    def test_locks(self) -> None:
        """Who asks for locks sees them, with the time that is left."""
        shelf = Shelf(file("d/a", locks=(LOCK,)))
        call = call_of(shelf, "PROPFIND", "d/a", props("lockdiscovery"))
        text = text_of(now(propfind(call)))
        self.assertIn("<D:lockroot><D:href>/d/</D:href></D:lockroot>", text)
        self.assertIn("<D:lockscope><D:shared/></D:lockscope>", text)
        self.assertEqual(shelf.wants, [Want(locks=True)])

    def test_no_locks_possible(self) -> None:
        """A store without locks promises none."""
        shelf = Shelf(file("a"), abilities=frozenset())
        [stat] = self.stats(shelf, "a", props("supportedlock", "lockdiscovery"))
        self.assertEqual(stat.found, {"supportedlock": "", "lockdiscovery": ""})
        self.assertEqual(shelf.wants, [Want()])

    def test_windows_time(self) -> None:
        """Windows reads back the time it set, which is Last-Modified (DAV-53)."""
        xml = props().replace(
            "<D:prop>", '<D:prop><Z:Win32LastModifiedTime xmlns:Z="urn:schemas-microsoft-com:"/>'
        )
        [stat] = self.stats(Shelf(file("a")), "a", xml)
        self.assertEqual(stat.found, {"{urn:schemas-microsoft-com:}Win32LastModifiedTime": DATE})

    def test_quota(self) -> None:
        """Free space is told of folders, if it is asked for, with one question for all (DAV-51)."""
        shelf = Shelf(folder("d/"), folder("d/e/"), file("d/f"))
        asked = props("quota-used-bytes", "quota-available-bytes")
        self.assertEqual(
            [(stat.found, stat.other) for stat in self.stats(shelf, "d/", asked)],
            [
                ({"quota-used-bytes": "100", "quota-available-bytes": "900"}, {}),
                ({"quota-used-bytes": "100", "quota-available-bytes": "900"}, {}),
                ({}, {404: ["quota-used-bytes", "quota-available-bytes"]}),
            ],
        )
        self.assertEqual(shelf.asked, [("quota", Key(("d",), True))])
        self.stats(shelf, "d/", ALLPROP)
        self.assertEqual(len(shelf.asked), 1)

    def test_no_quota(self) -> None:
        """A store that knows no quota is not asked."""
        shelf = Shelf(folder("d/"), abilities=frozenset())
        [stat] = self.stats(shelf, "d/", props("quota-used-bytes"))
        self.assertEqual((stat.other, shelf.asked), ({404: ["quota-used-bytes"]}, []))


class DeadPropertyTests(PropfindCase):
    def test_named(self) -> None:
        """A property that was set comes back as it was written, among others that are not there."""
        shelf = Shelf(file("a", properties=(DEAD,)))
        text = text_of(self.answer(shelf, "a", props(":p", ":q", "nothing")))
        self.assertIn(str(DEAD.value), text)
        [stat] = stats_of(text)
        self.assertEqual(stat.found, {"{u}p": "1"})
        self.assertEqual(stat.other, {404: ["{u}q", "nothing"]})
        self.assertEqual(shelf.wants, [Want(properties=True)])

    def test_only_what_is_asked(self) -> None:
        """A listing of sizes and times looks up neither properties nor locks (DAV-2, DAV-140)."""
        shelf = Shelf(folder("d/"), file("d/a"))
        self.stats(shelf, "d/", props("getcontentlength", "getlastmodified", "resourcetype"))
        self.assertEqual(shelf.wants, [Want(), Want()])

    def test_allprop_and_more(self) -> None:
        """allprop gives dead properties too, and what is included by name once only."""
        shelf = Shelf(folder("d/", properties=(DEAD,), locks=()))
        xml = ALLPROP.replace(
            "<D:allprop/>",
            "<D:allprop/><D:include><D:quota-used-bytes/><D:getetag/>"
            '<x:p xmlns:x="u"/><D:none/></D:include>',
        )
        text = text_of(self.answer(shelf, "d/", xml))
        [stat] = stats_of(text)
        self.assertEqual(stat.found["quota-used-bytes"], "100")
        self.assertEqual(text.count("x:p>"), 1)
        self.assertEqual(stat.other, {404: ["none"]})
        self.assertEqual(shelf.wants[0], Want(properties=True, locks=True))

    def test_empty_body(self) -> None:
        """No body at all means allprop (RFC 4918 9.1)."""
        shelf = Shelf(file("a", properties=(DEAD,), locks=()))
        self.assertEqual(self.stats(shelf, "a"), self.stats(shelf, "a", ALLPROP))

    def test_names(self) -> None:
        """propname tells which properties there are, and no value."""
        shelf = Shelf(file("a", created=None, properties=(Property("u", "p"), Property("", "q"))))
        [stat] = self.stats(shelf, "a", PROPNAME)
        self.assertEqual(set(stat.found.values()), {""})
        self.assertEqual(
            sorted(stat.found),
            ["displayname", "getcontentlength", "getcontenttype", "getetag", "getlastmodified",
             "lockdiscovery", "q", "resourcetype", "supportedlock", "{u}p"],
        )  # fmt: skip
        self.assertEqual(shelf.wants, [Want(names=True)])

    def test_nothing_named(self) -> None:
        """An empty list of names is answered by an empty one."""
        [stat] = self.stats(Shelf(file("a")), "a", props())
        self.assertEqual((stat.found, stat.other), ({}, {}))


class DepthTests(PropfindCase):
    def shelf(self) -> Shelf:
        return Shelf(folder(""), folder("d/"), file("d/a&'b"), folder("d/é/"), file("d/é/€"))

    def test_depths(self) -> None:
        """Depth 0 is the folder alone; 1, and none at all, its members too (DAV-27)."""
        one = ["/d/", "/d/a&'b", "/d/%C3%A9/"]
        self.assertEqual(self.hrefs(self.shelf(), "d/", Depth="0"), ["/d/"])
        self.assertEqual(self.hrefs(self.shelf(), "d/", Depth="1"), one)
        self.assertEqual(self.hrefs(self.shelf(), "d/"), one)
        self.assertEqual(self.hrefs(self.shelf(), "d/a&'b", Depth="1"), ["/d/a&'b"])

    def test_infinity(self) -> None:
        """All below comes only where the operator allows it, and the store can; else 403."""
        allowed = DavSettings(infinity=True)
        call = call_of(self.shelf(), "PROPFIND", "", settings=allowed, Depth="Infinity")
        hrefs = [stat.href for stat in stats_of(text_of(now(propfind(call))))]
        self.assertEqual(hrefs, ["/", "/d/", "/d/a&'b", "/d/%C3%A9/", "/d/%C3%A9/%E2%82%AC"])
        poor = self.shelf()
        poor.abilities = frozenset()
        for shelf, settings in ((self.shelf(), DavSettings()), (poor, allowed)):
            call = call_of(shelf, "PROPFIND", "", settings=settings, Depth="infinity")
            error = self.assertRaises(InfiniteDepth, now, propfind(call))
            self.assertEqual((error.status, error.condition), (403, "propfind-finite-depth"))
        self.assertEqual(self.hrefs(self.shelf(), "d/a&'b", Depth="infinity"), ["/d/a&'b"])

    def test_bad_depth(self) -> None:
        """Any other Depth is 400."""
        for depth in ("2", "-1", "", "1,1", "infinite"):
            call = call_of(self.shelf(), "PROPFIND", "", Depth=depth)
            self.assertRaises(BadField, now, propfind(call))

    def test_without_slash(self) -> None:
        """A folder asked for without its slash answers at once, and says its name (DAV-26)."""
        answer = self.answer(self.shelf(), "d", Depth="0")
        self.assertEqual(answer.headers["Content-Location"], "/d/")
        self.assertEqual(stats_of(text_of(answer))[0].href, "/d/")
        self.assertNotIn("Content-Location", self.answer(self.shelf(), "d/").headers)

    def test_prefix(self) -> None:
        """Below a prefix every href begins with it (DAV-61)."""
        settings = DavSettings(prefix=Key(("my dav",), True))
        for path, hrefs in (
            ("", ["/my%20dav/", "/my%20dav/d/"]),
            ("d/é/", ["/my%20dav/d/%C3%A9/", "/my%20dav/d/%C3%A9/%E2%82%AC"]),
        ):
            call = call_of(self.shelf(), "PROPFIND", path, settings=settings)
            self.assertEqual([s.href for s in stats_of(text_of(now(propfind(call))))], hrefs)


class RefusalTests(PropfindCase):
    def test_missing(self) -> None:
        """Nothing there is 404, whatever is asked."""
        self.assertRaises(NotFound, now, propfind(call_of(Shelf(), "PROPFIND", "x")))

    def test_bad_body(self) -> None:
        """A body that is no propfind is 400."""
        for xml in ("<a/>", "<", '<D:propfind xmlns:D="DAV:"/>', "<!DOCTYPE a><a/>"):
            call = call_of(Shelf(folder("")), "PROPFIND", "", xml)
            self.assertRaises(BadRequest, now, propfind(call))

    def test_conditions(self) -> None:
        """Conditions count on PROPFIND as well (DAV-30)."""
        shelf = Shelf(folder("d/"), file("a"))
        for path, fields in (
            ("a", {"If_Match": '"other"'}),
            ("a", {"If_None_Match": "*"}),
            ("d/", {"If_Match": '"other"'}),
            ("d/", {"If_None_Match": "*"}),
            ("none", {"If_Match": "*"}),
        ):
            call = call_of(shelf, "PROPFIND", path, **fields)
            self.assertRaises(PreconditionFailed, now, propfind(call))
        self.hrefs(shelf, "d/", If_Match="*")

    def test_if_field(self) -> None:
        """The If field is judged by the store."""
        shelf = Shelf(file("a"))
        shelf.fails = PreconditionFailed()
        call = call_of(shelf, "PROPFIND", "a", when=When(if_field=parse_if('(["x"])')))
        self.assertRaises(PreconditionFailed, now, propfind(call))
        self.assertEqual(shelf.asked, [("check", Key(("a",)))])


class StreamTests(PropfindCase):
    def many(self, count: int) -> Shelf:
        files = (file(f"photos/IMG_{n:05}.jpg", etag=f'"{n:032x}"') for n in range(count))
        return Shelf(folder("photos/", etag=None), *files)

    def ordinary(self) -> str:
        return props("resourcetype", "getcontentlength", "getlastmodified", "getetag")

    def test_small_entries(self) -> None:
        """An ordinary entry has at most 330 bytes (DAV-71)."""
        answer = text_of(self.answer(self.many(1000), "photos/", self.ordinary()))
        self.assertLessEqual(len(answer) / 1001, 330)

    def test_windows(self) -> None:
        """3,000 files stay below the 1,000,000 bytes that Windows takes of a folder."""
        agent = "Microsoft-WebDAV-MiniRedir/10.0.19041"
        answer = text_of(self.answer(self.many(3000), "photos/", User_Agent=agent))
        self.assertLess(len(answer), 1_000_000)
        self.assertIn("<D:creationdate>", answer)
        self.assertIn("<D:getlastmodified>", answer)

    def test_blocks(self) -> None:
        """A long listing is made piece by piece, as the peer takes it."""
        body = self.answer(self.many(1000), "photos/", self.ordinary()).body
        self.assertIsNone(body.length)
        sizes = []
        while True:
            try:
                sizes.append(len(now(anext(body))))
            except StopAsyncIteration:
                break
        self.assertGreater(len(sizes), 8)
        self.assertLess(max(sizes), BLOCK_BYTES + 400)
        self.assertGreaterEqual(min(sizes[:-1]), BLOCK_BYTES)

    def test_short_listing_has_a_length(self) -> None:
        """A short listing comes whole, so that its length is known."""
        shelf = self.many(3)
        body = self.answer(shelf, "photos/", self.ordinary()).body
        self.assertIsInstance(body, BytesBody)
        self.assertEqual(shelf.listings, 0)

    def test_peer_leaves(self) -> None:
        """A peer that goes away in the middle, or before it took anything, ends the listing."""
        for taken in (0, 1, 2):
            shelf = self.many(1000)
            body = self.answer(shelf, "photos/", self.ordinary()).body
            for _ in range(taken):
                now(anext(body))
            self.assertEqual(shelf.listings, 1)
            now(body.aclose())
            now(body.aclose())
            self.assertEqual(shelf.listings, 0)

    def test_fails_at_once(self) -> None:
        """No answer from below before the first byte is an error of its own, never a short list."""
        shelf = self.many(50)
        shelf.fails, shelf.fails_after = TimedOut(peer="p", seconds=1.0, phase="x"), 20
        call = call_of(shelf, "PROPFIND", "photos/", self.ordinary())
        self.assertRaises(TimedOut, now, propfind(call))
        self.assertEqual(shelf.listings, 0)

    def test_fails_later(self) -> None:
        """After the first byte it cuts the answer, which then has no end."""
        shelf = self.many(1000)
        shelf.fails, shelf.fails_after = TimedOut(peer="p", seconds=1.0, phase="x"), 900
        response = self.answer(shelf, "photos/", self.ordinary())
        self.assertRaises(TimedOut, text_of, response)
        self.assertEqual(shelf.listings, 0)

    def test_cancelled(self) -> None:
        """A client that goes away while the store is slow frees all at once (DAV-138)."""
        for after in (5, 900):
            shelf = self.many(1000)
            shelf.waits, shelf.fails_after = Deferred(), after
            call = call_of(shelf, "PROPFIND", "photos/", self.ordinary())
            reading = Deferred.fromCoroutine(self.whole(call))
            self.assertEqual(shelf.listings, 1)
            reading.cancel()
            self.failureResultOf(reading, CancelledError)
            self.assertEqual(shelf.listings, 0)

    def test_waits(self) -> None:
        """A slow store is waited for, and nothing is left out."""
        shelf = self.many(1000)
        shelf.waits, shelf.fails_after = Deferred(), 900
        call = call_of(shelf, "PROPFIND", "photos/", self.ordinary())
        reading = Deferred.fromCoroutine(self.whole(call))
        self.assertNoResult(reading)
        shelf.waits.callback(None)
        self.assertEqual(len(stats_of(self.successResultOf(reading).decode())), 1001)

    async def whole(self, call: Call) -> bytes:
        return await read_all((await propfind(call)).body, 10_000_000)

    def test_vanishes(self) -> None:
        """A folder that is gone when it is listed is 404."""
        shelf = self.many(10)
        shelf.fails, shelf.fails_after = NotFound(), 0
        call = call_of(shelf, "PROPFIND", "photos/", self.ordinary())
        self.assertRaises(NotFound, now, propfind(call))

    def test_body_is_given_back(self) -> None:
        """A request whose body is refused leaves nothing open."""
        closed: list[int] = []
        body = PushBody(on_close=lambda: closed.append(1))
        body.push(b"<!DOCTYPE")
        body.push(b" a><a/>")
        self.assertRaises(BadRequest, now, propfind(call_of(Shelf(), "PROPFIND", "", body)))
        self.assertEqual(closed, [1])

    def test_asks_for_no_body_in_vain(self) -> None:
        """Who waits with the body sends none where nothing is there (DAV-24)."""
        for method, work in (("PROPFIND", propfind), ("PROPPATCH", proppatch)):
            body = SlowBody()
            self.assertRaises(NotFound, now, work(call_of(Shelf(), method, "x", body)))
            self.assertEqual(body.asked, 0)
        body = SlowBody()
        body.push(props("getetag").encode())
        body.push(b"")
        answer = now(propfind(call_of(Shelf(file("a")), "PROPFIND", "a", body)))
        self.assertEqual((answer.status, body.asked > 0, body.closed), (207, True, True))

    def test_poor_store(self) -> None:
        """A store without properties is asked for none."""
        shelf = Shelf(file("a"), abilities=frozenset({Ability.QUOTA}))
        [stat] = self.stats(shelf, "a", props(":p"))
        self.assertEqual((stat.other, shelf.wants), ({404: ["{u}p"]}, [Want()]))
