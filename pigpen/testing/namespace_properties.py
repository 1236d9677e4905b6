"""What every namespace does with dead properties and settable times (DAV-17, 52, 53)."""

# mypy: allow-untyped-calls
from __future__ import annotations

from pigpen.errors import InsufficientStorage
from pigpen.http.namespace import (
    MAX_PROPERTIES,
    MAX_PROPERTY_NAME_BYTES,
    MAX_VALUE_BYTES,
    Ability,
    Property,
    Want,
)
from pigpen.testing.namespace_case import NamespaceCase


def value(name: str, text: str = "v") -> Property:
    return Property("n:", name, f'<{name} xmlns="n:">{text}</{name}>')


class PropertyTests(NamespaceCase):
    """Properties are kept as they came, and change all at once or not at all."""

    def test_set_and_remove(self) -> None:
        """In order; removing what is not there is no error."""
        self.need(Ability.PROPERTIES)
        self.make_collection("d")
        self.write("a")
        for key in ("a", "d", "d/", "/"):
            self.run_now(self.patching(key, value("x"), value("y"), Property("n:", "none")))
            self.run_now(self.patching(key, value("x", "1"), value("x", "2"), Property("n:", "y")))
            self.assertEqual(self.properties(key), {("n:", "x"): value("x", "2").value})

    def test_kept_as_they_came(self) -> None:
        """Namespaces, none too, mixed content, letters of any kind."""
        self.need(Ability.PROPERTIES)
        self.write("a")
        texts = {
            ("", "plain"): "<plain>x</plain>",
            ("http://x/?a=1&b", "é"): '<é xmlns="http://x/?a=1&amp;b">a<i xmlns="">b</i> c\n</é>',
            ("DAV:x", "ü"): '<ü xmlns="DAV:x" xml:lang="de">🐷</ü>',
        }
        changes = [Property(*name, text) for name, text in texts.items()]
        self.run_now(self.patching("a", *changes))
        self.assertEqual(self.properties("a"), texts)
        names = self.stat("a", Want(names=True)).properties
        self.assertEqual({(one.namespace, one.name, one.value) for one in names or ()},
                         {(*name, None) for name in texts})  # fmt: skip
        self.assertIsNone(self.stat("a").properties)

    def test_writing_keeps_them(self) -> None:
        """A new version of a file has the properties of the name."""
        self.need(Ability.PROPERTIES)
        etag = self.write("a", b"1").node.etag
        self.run_now(self.patching("a", value("x")))
        self.assertEqual(self.stat("a").etag, etag)
        self.write("a", b"2")
        self.assertEqual(len(self.properties("a")), 1)

    def test_with_a_new_collection(self) -> None:
        """Extended MKCOL: the collection and its properties, or nothing."""
        self.need(Ability.PROPERTIES)
        self.run_now(self.making("d", value("x")))
        self.assertEqual(self.properties("d"), {("n:", "x"): value("x").value})
        large = Property("n:", "x", "v" * (MAX_VALUE_BYTES + 1))
        self.refused(InsufficientStorage, self.making("e", large))
        self.assertEqual(self.names(), ["d/"])

    def test_too_many(self) -> None:
        """Over 64 KiB a value or 1,000 a node: 507, and nothing has changed."""
        self.need(Ability.PROPERTIES)
        self.write("a")
        self.run_now(self.patching("a", value("x")))
        before = self.properties("a")
        large = Property("n:", "y", "v" * (MAX_VALUE_BYTES + 1))
        self.refused(InsufficientStorage, self.patching("a", value("x", "new"), large))
        many = [value(f"k{number}") for number in range(MAX_PROPERTIES)]
        self.refused(InsufficientStorage, self.patching("a", value("x", "new"), *many))
        self.assertEqual(self.properties("a"), before)

    def test_long_name(self) -> None:
        """Names lie in an index, which takes no long ones: 507, for namespace and name together."""
        self.need(Ability.PROPERTIES)
        self.write("a")
        name = "é" * (MAX_PROPERTY_NAME_BYTES // 2 - 1)
        self.run_now(self.patching("a", value(name)))
        elsewhere = Property("nn:", name, f'<{name} xmlns="nn:"/>')
        for longer in (value(f"{name}x"), elsewhere):
            self.refused(InsufficientStorage, self.patching("a", longer))
        self.assertEqual(list(self.properties("a")), [("n:", name)])

    def test_set_time(self) -> None:
        """Windows sets the times of files and folders after it has copied them."""
        self.need(Ability.MODIFIED)
        self.make_collection("d")
        self.write("a")
        etag = self.stat("a").etag
        for key in ("a", "d"):
            self.run_now(self.patching(key, modified=1_234_567_890_000))
            self.assertEqual(self.stat(key).modified, 1_234_567_890_000)
        self.assertEqual(self.stat("a").etag, etag)
        later = self.write("a", b"new").node
        self.assertGreater(later.modified, 1_234_567_890_000)
