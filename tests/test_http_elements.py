"""XML that is kept as text: only what cannot spoil the answer it is written into."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadRequest
from pigpen.http.elements import check_property, parse_element
from pigpen.http.wire import Property


class ElementTests(SynchronousTestCase):
    def test_elements(self) -> None:
        """One element, whatever it holds, is taken."""
        for text in ("<a/>", '<x:a xmlns:x="u">1<!-- c --><b>€</b></x:a>', "<a>&#13;&lt;</a>"):
            parse_element(text)

    def test_others(self) -> None:
        """What would open or close more than itself is refused."""
        for text in (
            "", " ", "text", "<a>", "</D:prop><D:prop>", "<a/><b/>", "<a/>text", "text<a/>",
            "<x:a/>", "<a>&b;</a>", "<!-- c --><a/>", "<!DOCTYPE a><a/>",
            "<?xml version='1.0'?><a/>",
            "<?xml version='1.0' encoding='utf-8'?><a/>", "<a>\0</a>", "<a>\x1b</a>",
            "<a>\ud800</a>",
            "<a>]]></a>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a>" * 300 + "</a>" * 300,
        ):  # fmt: skip
            self.assertRaises(BadRequest, parse_element, text)

    def test_properties(self) -> None:
        """A property's value is an element of its name; a removed one has none."""
        check_property(Property("u", "a", '<a xmlns="u"/>'))
        check_property(Property("", "a", "<a/>"))
        check_property(Property("u", "any thing"))
        check_property(Property("u", "a", "x" * 65_537))
        for wrong in (
            Property("u", "a", "<a/>"),
            Property("", "a", '<a xmlns="u"/>'),
            Property("", "a", "<b/>"),
            Property("", "a b", "<a b=''/>"),
        ):
            self.assertRaises(BadRequest, check_property, wrong)
