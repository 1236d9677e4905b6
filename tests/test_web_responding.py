"""What a response looks like on the wire."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.http.body import BytesBody, FileBody
from pigpen.http.message import Headers, Response
from tests.web_kit import (
    GET,
    Chunks,
    MemoryFile,
    Server,
    answering,
    responses,
)


class ResponseTests(SynchronousTestCase):
    """What reaches a client."""

    def answer(
        self, response: Response, request: bytes = GET
    ) -> tuple[int, dict[str, str], bytes, bool]:
        transport = Server(answering(response)).connect()
        transport.send(request)
        ((status, fields, body),) = responses(bytes(transport.written))
        return status, fields, body, transport.closed

    def test_plain(self) -> None:
        """A response says who, when, how long; the connection stays."""
        status, fields, body, closed = self.answer(
            Response(200, Headers({"X": "y"}), BytesBody(b"hello"))
        )
        self.assertEqual((status, body, closed), (200, b"hello", False))
        self.assertEqual(
            fields,
            {"server": "pigpen", "date": "Fri, 15 Jan 2027 08:00:00 GMT", "x": "y",
             "content-length": "5"},
        )  # fmt: skip

    def test_head(self) -> None:
        """HEAD has GET's fields and no body, which is closed unread."""
        body = Chunks(b"abc", length=3)
        head = GET.replace(b"GET", b"HEAD")
        transport = Server(answering(Response(200, None, body))).connect()
        transport.send(head)
        self.assertTrue(transport.written.endswith(b"Content-Length: 3\r\n\r\n"))
        self.assertEqual((body.asked, body.closed), (0, 1))
        transport = Server(answering(Response(200, Headers({"Content-Length": "9"})))).connect()
        transport.send(head)
        self.assertIn(b"Content-Length: 9\r\n", transport.written)
        transport = Server(answering(Response(200))).connect()
        transport.send(head)
        self.assertNotIn(b"Content-Length", transport.written)

    def test_no_body_statuses(self) -> None:
        """204 and 304 have no body, whatever the handler gave."""
        for status in (204, 304):
            body = Chunks(b"abc", length=3)
            _, fields, _, closed = self.answer(Response(status, Headers(ETag='"x"'), body))
            self.assertNotIn("content-length", fields)
            self.assertEqual((body.closed, closed), (1, False))

    def test_unknown_length(self) -> None:
        """Chunks for HTTP/1.1, the connection's end for HTTP/1.0."""
        _, fields, data, closed = self.answer(Response(200, None, Chunks(b"ab", b"c")))
        self.assertEqual((fields["transfer-encoding"], data, closed), ("chunked", b"abc", False))
        transport = Server(answering(Response(200, None, Chunks(b"ab", b"c")))).connect()
        transport.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertTrue(transport.written.endswith(b"Connection: close\r\n\r\nabc"))
        self.assertTrue(transport.closed)

    def test_http10_keeps_alive_if_asked(self) -> None:
        """HTTP/1.0 clients that ask for it may send the next request."""
        request = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        _, fields, _, closed = self.answer(Response(200), request)
        self.assertEqual((fields["connection"], closed), ("keep-alive", False))
        _, fields, _, closed = self.answer(Response(200), b"GET /a HTTP/1.0\r\n\r\n")
        self.assertEqual((fields["connection"], closed), ("close", True))

    def test_handlers_hop_by_hop_is_dropped(self) -> None:
        """Framing is ours: what a relayed answer says of its own connection is not passed on."""
        _, fields, body, _ = self.answer(
            Response(
                200,
                Headers(
                    {
                        "Transfer-Encoding": "gzip",
                        "Connection": "close",
                        "Server": "x",
                        "Date": "then",
                        "Content-Length": "3",
                    }
                ),
                Chunks(b"abc", length=3),
            )
        )
        self.assertEqual(body, b"abc")
        self.assertEqual(fields, {"server": "pigpen", "date": "then", "content-length": "3"})

    def test_small_file(self) -> None:
        """A small file in memory is one write; it is given back once."""
        file, released = MemoryFile(b"0123456789"), []
        body = FileBody(file, 2, 5, lambda: released.append(1))
        self.assertEqual(self.answer(Response(206, None, body))[2], b"23456")
        self.assertEqual((released, file.reads), ([1], []))

    def test_slow_file(self) -> None:
        """A file that must be read from disk is read in a thread."""
        file, released = MemoryFile(b"0123456789", cached=False), []
        body = FileBody(file, 2, 5, lambda: released.append(1))
        self.assertEqual(self.answer(Response(206, None, body))[2], b"23456")
        self.assertEqual((released, file.reads), ([1], [(2, 5)]))

    def test_unsafe_fields(self) -> None:
        """No handler can split a response or send what a field cannot hold (F1)."""
        for name, value in [
            ("X", "a\r\nY: b"), ("X", "a\nb"), ("X", "a\0b"), ("X", "a\rb"), ("X", "☃"),
            ("X Y", "a"), ("X:", "a"), ("", "a"), ("Content-Length", "x"), ("Content-Length", "7"),
        ]:  # fmt: skip
            body = Chunks(b"abc", length=3)
            status, _, text, _ = self.answer(Response(200, Headers([(name, value)]), body))
            self.assertEqual((status, body.closed), (500, 1))
            self.assertNotIn(b"splitting", text)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 10)

    def test_impossible_responses(self) -> None:
        """A handler that returns no final response is a 500, not a hang."""
        for wrong in (Response(100), Response(99), None):
            self.assertEqual(self.answer(wrong)[0], 500)  # type: ignore[arg-type]
        self.assertEqual(len(self.flushLoggedErrors()), 3)
