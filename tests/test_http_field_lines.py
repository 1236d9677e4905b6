"""Header fields as text: what is sent, what is the server's to say, what can never be sent."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.field_lines import FieldLines
from pigpen.http.message import Headers, Response


class FieldLinesTests(SynchronousTestCase):
    def test_text(self) -> None:
        """Every field is a line, repeated ones too; the server says the rest itself."""
        fields = FieldLines(
            Headers([("A", "1"), ("a", "2"), ("Connection", "close"), ("Server", "x"),
                     ("Content-Length", "7"), ("Empty", "")])
        )  # fmt: skip
        self.assertEqual(fields.text, "A: 1\r\na: 2\r\nEmpty: \r\n")
        self.assertEqual((fields.length, fields.dated), (7, False))
        self.assertEqual((FieldLines(Headers()).text, FieldLines(Headers()).length), ("", None))
        self.assertTrue(FieldLines(Headers({"date": "x"})).dated)

    def test_refused(self) -> None:
        """What could end a line, or is no length, is never sent."""
        for name, value in (
            ("A", "b\r\nC: d"), ("A", "b\n"), ("A", "\0"), ("A\r\nB", "c"), ("A B", "c"), ("", "c"),
            ("A", "\u20ac"), ("Content-Length", "-1"), ("Content-Length", "1\r\nA: b"),
        ):  # fmt: skip
            self.assertRaises(ValueError, FieldLines, Headers({name: value}))


class PreparedTests(SynchronousTestCase):
    """Responses that share their fields."""

    def setUp(self) -> None:
        self.fields = FieldLines(Headers({"A": "1"}))

    def test_shared(self) -> None:
        """As long as nobody asks for the fields, their lines are not made again."""
        response = Response(200, prepared=self.fields)
        self.assertIs(response.lines, self.fields)
        self.assertEqual(Response(200, Headers({"A": "1"})).lines.text, self.fields.text)

    def test_changed(self) -> None:
        """Whoever changes the fields of one response changes no other's, and is heard."""
        response, other = Response(200, prepared=self.fields), Response(200, prepared=self.fields)
        response.headers["A"] = "2"
        self.assertEqual(response.lines.text, "A: 2\r\n")
        self.assertEqual((other.lines.text, dict(other.headers)), ("A: 1\r\n", {"A": "1"}))
        other.headers = Headers({"B": "3"})
        self.assertEqual(other.lines.text, "B: 3\r\n")
