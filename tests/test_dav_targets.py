"""Paths, Destinations and tags as keys of the namespace (DAV-29, 34, 60, 65)."""

from __future__ import annotations

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.call import Call
from pigpen.dav.settings import DavSettings
from pigpen.dav.targets import destination_of, key_below, path_of_tag, when_of
from pigpen.errors import BadField, ElsewhereDestination, KeyTooLong
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request
from pigpen.http.namespace import ALWAYS

PREFIX = Key(("x", "y"), True)
SETTINGS = DavSettings(prefix=PREFIX, aliases=frozenset({"nas.example"}))


def request_with(*fields: tuple[str, str]) -> Request:
    return Request("MOVE", Key(("x", "y", "a")), headers=Headers([("Host", "h:1"), *fields]))


class PrefixTests(SynchronousTestCase):
    def test_below(self) -> None:
        """DAV-65: below the prefix are the namespace's keys, its own name is their root."""
        self.assertEqual(key_below(PREFIX, Key(("x", "y", "a", "b"), True)), Key(("a", "b"), True))
        self.assertEqual(key_below(PREFIX, Key(("x", "y"))), Key((), True))
        for outside in (Key((), True), Key(("x",)), Key(("x", "yy")), Key(("X", "y", "a"))):
            self.assertIsNone(key_below(PREFIX, outside))

    def test_too_long(self) -> None:
        """DAV-60: the prefix does not count, the key's 4,096 bytes do."""
        names = ("a" * 255,) * 16
        self.assertEqual(key_below(PREFIX, Key(("x", "y", *names))), Key(names))
        self.assertRaises(KeyTooLong, key_below, PREFIX, Key(("x", "y", *names, "b" * 10)))


class DestinationTests(SynchronousTestCase):
    def to(self, value: str) -> Key:
        request = request_with(("Destination", value))
        nothing = cast(Any, None)
        return destination_of(Call(nothing, SETTINGS, request, nothing, Key(("a",)), ALWAYS))

    def test_ours(self) -> None:
        """DAV-29: an absolute URI or path, under any of our names; a final slash says nothing."""
        for value in ("/x/y/b%20c", "http://h:1/x/y/b%20c/", "https://nas.example/x/y/b%20c"):
            self.assertEqual(self.to(value), Key(("b c",)))
        self.assertEqual(self.to("/x/y"), Key((), True))

    def test_elsewhere(self) -> None:
        """DAV-18: outside the prefix is as far as another host."""
        for value in ("/b", "/x/b", "/", "http://evil/x/y/b"):
            self.assertRaises(ElsewhereDestination, self.to, value)

    def test_too_long(self) -> None:
        """DAV-60: in a Destination that is a bad request."""
        self.assertRaises(BadField, self.to, "/x/y" + ("/" + "a" * 255) * 17)


class TermsTests(SynchronousTestCase):
    def test_tags(self) -> None:
        """DAV-34: encoding and aliases make no difference; what is not ours is no key."""
        request = request_with()
        for tag in ("/x/y/a%62", "/x/%79/ab", "http://h:1/x/y/ab", "http://nas.example/x/y/ab"):
            self.assertEqual(path_of_tag(request, SETTINGS, tag), "/ab", tag)
        for tag in ("/ab", "http://evil/x/y/ab", "/x/y/..", "/x/y/%ff", "urn:uuid:1", "/x/y/a?b"):
            self.assertEqual(path_of_tag(request, SETTINGS, tag), "", tag)
        self.assertEqual(path_of_tag(request, SETTINGS, "/x/y"), "/")

    def test_when(self) -> None:
        """DAV-3, 33, 62: conditions, two If lines as Finder sends them, who asks; names are loose,
        and no parents are made."""
        request = request_with(
            ("If", "<http://h:1/x/y/a> (<urn:a>)"), ("If", "<http://h:1/x/y/b> (<urn:b>)"),
            ("If-Match", '"1"'),
        )  # fmt: skip
        when = when_of(request, SETTINGS, "ann")
        assert when.if_field is not None
        self.assertEqual([one.tag for one in when.if_field.lists], ["/a", "/b"])
        self.assertEqual(when.if_field.tokens, {"urn:a", "urn:b"})
        self.assertEqual(when.conditions.if_match, ('"1"',))
        self.assertEqual((when.principal, when.loose, when.parents), ("ann", True, False))

    def test_malformed(self) -> None:
        """DAV-35: a malformed If is 400."""
        for value in ("", "x", "()", "(<a>) <b> (<c>)", "(<a>", "([a])"):
            self.assertRaises(BadField, when_of, request_with(("If", value)), SETTINGS, "")
