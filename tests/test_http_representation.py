"""What GET and HEAD of one stored version answer: no clock, nothing to flush."""

from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BadField, PreconditionFailed, RangeNotSatisfiable
from pigpen.http.body import Body, BytesBody
from pigpen.http.conditions import Validators
from pigpen.http.fields import format_date
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.http.representation import answer_get, not_modified

VALIDATORS = Validators('"v1"', 1_700_000_000)
DATE = format_date(VALIDATORS.modified)
LATER = format_date(VALIDATORS.modified + 1)
DATA = b"0123456789"


class AnswerGetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.opened: list[tuple[int, int]] = []

    def answer(self, method: str = "GET", **fields: str) -> Response:
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        request = Request(method, Key(("a",)), headers=headers)
        own = Headers({"Content-Type": "text/plain"})
        return answer_get(request, VALIDATORS, len(DATA), self.open, own)

    def open(self, offset: int, length: int) -> Body:
        self.opened.append((offset, length))
        return BytesBody(DATA[offset : offset + length])

    def test_whole(self) -> None:
        """A plain GET is 200 with validators, length and type."""
        answer = self.answer()
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            dict(answer.headers),
            {
                "Content-Type": "text/plain",
                "ETag": '"v1"',
                "Last-Modified": DATE,
                "Accept-Ranges": "bytes",
                "Content-Length": "10",
            },
        )
        self.assertEqual(self.opened, [(0, 10)])

    def test_head(self) -> None:
        """HEAD has GET's headers and opens nothing; Range means nothing to it."""
        answer = self.answer("HEAD", Range="bytes=1-2")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Content-Length"], "10")
        self.assertEqual((answer.body.length, self.opened), (0, []))

    def test_ranges(self) -> None:
        """One range is 206 of exactly those bytes; several or malformed ones are the whole."""
        cases = {
            "bytes=2-3": (206, (2, 2), "bytes 2-3/10"),
            "bytes=-3": (206, (7, 3), "bytes 7-9/10"),
            "bytes=5-": (206, (5, 5), "bytes 5-9/10"),
            "bytes=0-99": (206, (0, 10), "bytes 0-9/10"),
            "bytes=0-1,3-4": (200, (0, 10), None),
            "bytes=5-2": (200, (0, 10), None),
            "lines=1-2": (200, (0, 10), None),
        }
        for field, (status, opened, content_range) in cases.items():
            answer = self.answer(Range=field)
            self.assertEqual(answer.status, status, field)
            self.assertEqual(self.opened.pop(), opened, field)
            self.assertEqual(answer.headers.get("Content-Range"), content_range, field)
            self.assertEqual(answer.headers["Content-Length"], str(opened[1]), field)

    def test_range_outside(self) -> None:
        """A range past the end is 416 and opens nothing."""
        error = self.assertRaises(RangeNotSatisfiable, self.answer, Range="bytes=10-")
        self.assertEqual(error.facts, {"length": 10})
        self.assertEqual(self.opened, [])

    def test_if_range(self) -> None:
        """A Range counts only for the version the client has: strong tag or exact date."""
        for value, status in (
            ('"v1"', 206),
            ('"v2"', 200),
            ('W/"v1"', 200),
            (DATE, 206),
            (LATER, 200),
        ):
            self.assertEqual(self.answer(Range="bytes=0-0", If_Range=value).status, status, value)

    def test_not_modified(self) -> None:
        """A 304 has the validators but no body, length or type, and opens nothing."""
        for fields in ({"If_None_Match": '"v0", W/"v1"'}, {"If_Modified_Since": DATE}):
            answer = self.answer(**fields)
            self.assertEqual(answer.status, 304)
            self.assertEqual(dict(answer.headers), {"ETag": '"v1"', "Last-Modified": DATE})
        self.assertEqual(self.opened, [])

    def test_condition_before_range(self) -> None:
        """A failed condition wins over a range that could not be satisfied."""
        self.assertRaises(PreconditionFailed, self.answer, If_Match='"v2"', Range="bytes=99-")
        self.assertEqual(self.answer(If_None_Match="*", Range="bytes=99-").status, 304)

    def test_malformed_condition(self) -> None:
        self.assertRaises(BadField, self.answer, If_Match="v1")


class WriteConditionTests(SynchronousTestCase):
    def judge(self, current: Validators | None, **fields: str) -> bool:
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        return not_modified(Request("PUT", Key(("a",)), headers=headers), current)

    def test_put(self) -> None:
        """A write goes on only while what is stored is what the writer knows."""
        self.assertFalse(self.judge(None, If_None_Match="*"))
        self.assertFalse(self.judge(VALIDATORS, If_Match='"v1"'))
        self.assertRaises(PreconditionFailed, self.judge, VALIDATORS, If_None_Match="*")
        self.assertRaises(PreconditionFailed, self.judge, None, If_Match="*")
        self.assertRaises(PreconditionFailed, self.judge, VALIDATORS, If_Match='"v0"')
