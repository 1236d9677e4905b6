"""AnswerParser: what the bytes of a server mean, wherever its segments end."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from pigpen.web.answer_parser import MAX_TRAILER_BYTES, AnswerParser

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class ParserTests(SynchronousTestCase):
    def seen(self, data: bytes, step: int, method: str) -> tuple[object, ...]:
        parser = AnswerParser()
        for _ in range(2):  # the second answer on the same connection is like the first
            parser.begin(method)
            body = b""
            for start in range(0, len(data), step):
                body += b"".join(parser.feed(data[start : start + step]))
            keep = parser.ended and parser.keep
            seen = (parser.status, body, parser.length, parser.ended, parser.broken, keep)
            if not keep:
                break
        return seen

    def check(
        self, data: bytes, *seen: object, method: str = "GET", steps: tuple[int, ...] = ()
    ) -> None:
        for step in steps or range(1, len(data) + 1):
            self.assertEqual(self.seen(data, step, method), seen, (data, step))

    def test_bodies(self) -> None:
        """By length, in chunks, none, or until the server closes, which only it can tell."""
        self.check(OK + b"Content-Length: 5\r\n\r\nabcde", 200, b"abcde", 5, True, False, True)
        self.check(OK + b"Content-Length: 0\r\n\r\n", 200, b"", 0, True, False, True)
        self.check(
            CHUNKED + b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n",
            200, b"abc", None, True, False, True,
        )  # fmt: skip
        self.check(OK + b"\r\nabc", 200, b"abc", None, False, False, False)
        for status in (204, 304):
            head = b"HTTP/1.1 %d X\r\nContent-Length: 9\r\n\r\n" % status
            self.check(head, status, b"", None, True, False, True)
        head = OK + b"Content-Length: 9\r\n\r\n"
        self.check(head, 200, b"", None, True, False, True, method="HEAD")

    def test_informational(self) -> None:
        """Answers that announce the answer are passed over, with their fields."""
        data = b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na"
        self.check(data, 200, b"a", 1, True, False, True)
        parser = AnswerParser()
        parser.begin("GET")
        parser.feed(data)
        self.assertEqual(dict(parser.headers), {"Content-Length": "1"})

    def test_lets_go(self) -> None:
        """The first bytes of a long answer are not kept until its end."""
        parser = AnswerParser()
        parser.begin("GET")
        pieces = parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc")
        self.assertEqual(pieces, [b"abc"])
        self.assertFalse(any(kept is pieces for kept in gc.get_referents(parser)))

    def test_closing(self) -> None:
        """After an answer that says so, or of HTTP/1.0, the connection is not used again."""
        for head in (OK + b"Connection: close\r\n", b"HTTP/1.0 200 OK\r\n"):
            self.check(head + b"Content-Length: 1\r\n\r\na", 200, b"a", 1, True, False, False)

    def test_too_much(self) -> None:
        """Nor after one that has more than it said: the rest is nobody's answer."""
        one = OK + b"Content-Length: 2\r\n\r\nab"
        for more in (b"H", b"c", OK, one, b"\r\nx"):
            whole = len(one + more)
            self.check(one + more, 200, b"ab", 2, True, False, False, steps=(whole,))
        head = OK + b"Content-Length: 9\r\n\r\n"
        self.check(
            head + b"abc", 200, b"", None, True, False, False,
            method="HEAD", steps=(len(head) + 3,),
        )  # fmt: skip

    def test_trailers(self) -> None:
        """Fields behind a body are nobody's, and nobody waits for the end of many."""
        begin = CHUNKED + b"1\r\na\r\n0\r\n"
        self.check(begin + b"A: b\r\n\r\n", 200, b"a", None, True, False, True)
        for rest in (b"A: b\r\n" * 100, b"x" * 600):
            parser = AnswerParser()
            parser.begin("GET")
            parser.feed(begin + b"A: ")
            fed = 0
            while not parser.broken:
                parser.feed(rest)
                fed += len(rest)
            self.assertLessEqual(fed, MAX_TRAILER_BYTES + len(rest))
            self.assertFalse(parser.ended or parser.keep)
        chunk = b"1;" + b"x" * 1000 + b"\r\na\r\n"
        parser = AnswerParser()
        parser.begin("GET")
        parser.feed(CHUNKED)
        for _ in range(200):  # odd, but bytes come
            self.assertEqual(parser.feed(chunk), [b"a"])

    def test_broken(self) -> None:
        """What is no HTTP/1.1, or a coding that nobody asked for."""
        for data in (b"SSH-2.0-x\r\n", OK + b"Transfer-Encoding: gzip\r\n\r\n",
                     OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
                     OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"):  # fmt: skip
            self.check(data, 0, b"", None, False, True, False, steps=(len(data),))
        self.check(
            CHUNKED + b"3\r\nabc\r\nxyz\r\n", 200, b"abc", None, False, True, False,
            steps=(10_000,),
        )  # fmt: skip

    def test_fields(self) -> None:
        """All fields come, but those of the connection."""
        parser = AnswerParser()
        parser.begin("GET")
        parser.feed(CHUNKED[:-2] + b"Connection: keep-alive\r\nKeep-Alive: x\r\nA: 1\r\na: 2\r\n")
        parser.feed(b"Upgrade: h2c\r\n\r\n")
        self.assertEqual(list(parser.headers.items()), [("A", "1"), ("a", "2")])
