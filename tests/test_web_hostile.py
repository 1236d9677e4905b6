"""Hostile HTTP: each input whole, by 7 bytes and by 1 has the same, harmless end (I1).

R: refused with 4xx or 5xx, closed, and no handler reads a body to its end. An: n requests complete.
Sn: at most n, and none is made of a body.
"""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.web_kit import Recorder, Server, responses

G = b"GET / HTTP/1.1\r\nHost: a\r\n"
P = b"PUT /x HTTP/1.1\r\nHost: a\r\n"
C = b"Transfer-Encoding: chunked\r\n"
END = b"\r\n"
SMUGGLED = b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n"
EMPTY_CHUNKED = b"0\r\n\r\n"


def line(text: bytes) -> bytes:
    return text + b"\r\nHost: a\r\n\r\n"


def get(fields: bytes) -> bytes:
    return G + fields + b"\r\n\r\n"


def host(*values: bytes, version: bytes = b"1.1") -> bytes:
    fields = b"".join(b"Host: " + value + b"\r\n" for value in values)
    return b"GET / HTTP/" + version + b"\r\n" + fields + END


def length(value: bytes, body: bytes = b"abc") -> bytes:
    return P + b"Content-Length: " + value + b"\r\n\r\n" + body


def coding(fields: bytes, body: bytes = EMPTY_CHUNKED + SMUGGLED) -> bytes:
    return P + fields + END + body


def chunk(body: bytes) -> bytes:
    return P + C + END + body


UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
CL = b"Content-Length: %d\r\n"

TABLE: dict[str, list[tuple[str, bytes]]] = {
    "line": [
        ("R", line(b"GET  / HTTP/1.1")),
        ("R", line(b"GET\t/\tHTTP/1.1")),
        ("R", line(b"GET /a b HTTP/1.1")),
        ("R", line(b"GET / HTTP/2.0")),
        ("R", line(b"GET / HTTP/0.9")),
        ("R", line(b"GET / HTTP/1.01")),
        ("R", line(b"GET / http/1.1")),
        ("R", line(b"get / HTTP/1.1")),
        ("R", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("R", b"\x80" * 512),
        ("R", b"\xef\xbb\xbf" + G + END),
        ("R", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32),
        ("R", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + G + END),
        ("R", (G + END).replace(b"\r\n", b"\n")),
        ("R", (G + END).replace(b"\r\n", b"\r")),
        ("R", b"GET /\r\n"),
        ("A1", END + G + END),
        ("S1", END * 3 + G + END),
    ],
    "target": [
        ("R", line(b"GET * HTTP/1.1")),
        ("R", line(b"GET x HTTP/1.1")),
        ("R", line(b"GET /\x00 HTTP/1.1")),
        ("R", line(b"GET /\ta HTTP/1.1")),
        ("R", line(b"GET /\x7f HTTP/1.1")),
        ("R", line("GET /é HTTP/1.1".encode())),
        ("R", line(b"TRACE / HTTP/1.1")),
        ("R", line(b"CONNECT a:1 HTTP/1.1")),
        ("R", line(b"GET http://u:p@a/ HTTP/1.1")),
        ("R", line(b"GET ftp://a/ HTTP/1.1")),
        ("A1", line(b"GET http://a/x HTTP/1.1")),
        ("A1", line(b"OPTIONS * HTTP/1.1")),
        ("S1", line(b"GET http://evil/x HTTP/1.1")),
        ("S1", line(b"GET /a#b HTTP/1.1")),
        ("S1", line(b"GET //evil/x HTTP/1.1")),
        ("S1", line(b"GET /%zz HTTP/1.1")),
    ],
    "host": [
        ("R", host()),
        ("R", host(b"a", b"b")),
        ("R", host(b"a", b"a")),
        ("R", host(b"a/b")),
        ("R", host(b"u@a")),
        ("R", host(b"a, b")),
        ("R", host(b"")),
        ("R", host(b"a", b"b", version=b"1.0")),
        ("A1", host(version=b"1.0")),
        ("A1", host(b"[::1]:80")),
    ],
    "field": [
        ("R", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("R", b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n"),
        ("R", get(b": v")),
        ("R", get(b"nocolon")),
        ("R", get(b"X[]: v")),
        ("R", get(b"X Y: v")),
        ("R", get(b"X: a\x00b")),
        ("R", get(b"X: a\rb")),
        ("R", get(b"X: a\nb")),
        ("R", get(b"X: a\x1bb")),
        ("R", get(b"X: a\x7fb")),
        ("S1", get(b"X: a\r\n b")),
    ],
    "length": [
        *(("R", length(value)) for value in (b"+3", b"-3", b"0x3", b"1_0", b"3, 3", b"3 0", b"")),
        ("R", length("٣".encode())),
        ("R", length(b"3\r\nContent-Length: 4")),
        ("R", length(b"3\r\nContent-Length: 3")),
        ("R", length(b"9" * 30)),
        ("R", length(b"9" * 4301)),
        ("A1", length(b"0003")),
        ("A1", length(b"3 ")),
    ],
    "coding": [
        ("R", coding(CL % 5 + C)),
        ("R", coding(C + CL % 5)),
        ("R", coding(C + b"Transfer-Encoding: x\r\n")),
        ("R", coding(C + C)),
        *(
            ("R", coding(b"Transfer-Encoding: " + value + END))
            for value in (
                b"chunked, chunked",
                b"chunked, gzip",
                b"gzip, chunked",
                b",chunked",
                b"",
                b"\x0bchunked",
            )
        ),
        *(
            ("R", coding(b"Transfer-Encoding: " + value + END, SMUGGLED))
            for value in (b"gzip", b"identity", b"xchunked", b"chunked;q=1")
        ),
        ("R", b"PUT /x HTTP/1.0\r\nHost: a\r\n" + C + END + EMPTY_CHUNKED),
        ("A1", coding(b"Transfer-Encoding: CHUNKED\r\n", EMPTY_CHUNKED)),
        ("A1", coding(b"Transfer_Encoding: chunked\r\nContent-Length: 0\r\n", b"")),
    ],
    "chunk": [
        ("A1", chunk(b"3\r\nabc\r\n0\r\n\r\n")),
        ("A1", chunk(b"A\r\n0123456789\r\n0\r\n\r\n")),
        ("A1", chunk(b"3;a=b\r\nabc\r\n0\r\n\r\n")),
        ("A1", chunk(b"3\r\nabc\r\n0\r\nX: y\r\nAuthorization: z\r\n\r\n")),
        *(
            ("R", chunk(size + b"\r\nabc\r\n0\r\n\r\n"))
            for size in (b"0x3", b"+3", b"-3", b"0_3", b" 3", b"3 ", b"", b"0" * 16 + b"3")
        ),
        ("R", chunk(b"3\nabc\n0\n\n")),
        ("R", chunk(b"3;a\nb\r\nabc\r\n0\r\n\r\n")),
        ("R", chunk(b'3;a="b\r\nabc\r\n0\r\n\r\n')),
        ("R", chunk(b"3\r\nabcd\r\n0\r\n\r\n")),
        ("R", chunk(b"3\r\nabc0\r\n\r\n")),
        ("R", chunk(b"0\r\n" + SMUGGLED)),
        ("R", chunk(b"0\r\nContent-Length: 3\r\n\r\n")),
        ("S1", chunk(b"0" * 5000 + b"\r\n\r\n" + SMUGGLED)),
        ("S1", chunk(b"3;" + b"a" * 3000 + b"\r\nabc\r\n0\r\n\r\n")),
        ("R", chunk(b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n")),
    ],
    "upgrade": [
        ("A1", G + UPGRADE + END),
        ("A3", (G + UPGRADE + END) * 2 + G + END),
        ("S1", P + UPGRADE + CL % len(SMUGGLED) + END + SMUGGLED),
        ("S1", P + UPGRADE + C + END + b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    ],
    "pipeline": [
        ("A2", (G + END) * 2),
        ("A1", G + b"Connection: close\r\n\r\n" + G + END),
        ("S1", G + CL % len(SMUGGLED) + END + SMUGGLED),
        ("A2", length(b"3") + G + END),
        ("A2", chunk(b"3\r\nabc\r\n0\r\n\r\n") + G + END),
        ("A200", (G + END) * 200),
    ],
    "repeat": [  # the same fields again, which are read once
        ("A2", (G + END).replace(b" / ", b" /a?b ") + G + END),
        ("A2", line(b"GET http://b/ HTTP/1.1") + G + END),
        ("S1", G + END + line(b"GET /\x00 HTTP/1.1")),
        ("S1", G + END + line(b"GET  / HTTP/1.1")),
        ("S1", G + END + line(b"GET /a#b HTTP/1.1")),
        ("S1", G + END + line(b"GET / HTTP/1.0 ")),
        ("S1", G + END + line(b"CONNECT / HTTP/1.1")),
        ("S1", G + END + line(b"TRACE / HTTP/1.1")),
        ("S1", G + END + line(b"BREW / HTTP/1.1")),
        ("S1", G + END + line(b"UNLOCK  / HTTP/1.1")),
        ("A3", G + END + line(b"LOCK /a HTTP/1.1") + line(b"PROPFIND /b HTTP/1.1")),
        ("S1", G + END + b"Host: a\r\n\r\n"),
        ("S1", G + END + END + b"Host: a\r\n\r\n"),
        ("A3", (P + CL % len(SMUGGLED) + END + SMUGGLED) * 3),
        ("A3", (P + CL % 3 + END + b"abc") * 2 + P + CL % 2 + END + b"ab"),
        ("A2", chunk(b"3\r\nabc\r\n0\r\n\r\n") * 2),
        ("A2", P + CL % 3 + END + b"abc" + G + CL % 3 + END + b"abc"),
        ("S1", P + CL % 3 + END + b"abc" + line(b"PUT /x HTTP/1.0 ")),
    ],
    "size": [
        ("R", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("R", get(b"X: " + b"a" * 70_000)),
        ("R", get(b"\r\n".join([b"a:"] * 5000))),
        ("R", get(b"\r\n".join([b"a:"] * 101))),
        ("A1", get(b"\r\n".join([b"a:"] * 99))),
    ],
    "expect": [
        ("R", P + b"Expect: 200-maybe\r\n" + CL % 3 + END + b"abc"),
        ("A1", P + b"Expect: 100-Continue\r\n" + CL % 3 + END + b"abc"),
    ],
}


PIECES = (b"", b"\0", b"\n", b"\r", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b";", b"#", b"?", b"/",
          b"0", b"\xff", b"chunked", b"Content-Length: 3\r\n")  # fmt: skip


def serve(data: bytes, step: int) -> tuple[list[int], list[tuple[str, str, bytes]], bool]:
    """Send `data` in pieces, then wait for every limit.

    :return: the statuses, the requests that were read to their end, and whether it was closed."""
    handler = Recorder()
    server = Server(handler)
    transport = server.connect()
    for start in range(0, len(data), step):
        transport.send(data[start : start + step])
    server.pass_time(200, transport)
    statuses = [status for status, _, _ in responses(bytes(transport.written))]
    return [status for status in statuses if status != 100], handler.seen, transport.closed


class HostileTests(SynchronousTestCase):
    """A hostile client gets a refusal, and never another client's answer or a crash."""

    def check(self, kind: str, data: bytes) -> None:
        ends = [serve(data, step) for step in (len(data), 7, 1)]
        statuses, seen, closed = ends[0]
        self.assertEqual(ends[1], ends[0], "by 7 bytes it ends otherwise")
        self.assertEqual(ends[2], ends[0], "by 1 byte it ends otherwise")
        self.assertTrue(closed)
        self.assertNotIn(500, statuses)
        self.assertNotIn("/s", [path for _, path, _ in seen])
        if kind == "R":
            self.assertEqual(seen, [])
            self.assertEqual([status // 100 in {4, 5} for status in statuses], [True])
        elif kind[0] == "A":
            self.assertEqual(len(seen), int(kind[1:]))
            self.assertEqual(statuses, [200] * len(seen))
        else:
            self.assertLessEqual(len(seen), int(kind[1:]))
            self.assertTrue(statuses)


class MutationTests(SynchronousTestCase):
    """Inputs between the rows of the table."""

    def test_mutations(self) -> None:
        """Damaged requests end the same whole and by bytes, never with a 500 or an exception."""
        source = random.Random(1)
        rows = [data for group in TABLE.values() for _, data in group if len(data) < 1000]
        for _ in range(300):
            data = bytearray(source.choice(rows) + source.choice(rows))
            for _ in range(source.randint(1, 4)):
                place = source.randrange(len(data))
                data[place : place + source.randint(0, 3)] = source.choice(PIECES)
            whole = serve(bytes(data), len(data))
            self.assertEqual(serve(bytes(data), 1), whole, bytes(data))
            self.assertNotIn(500, whole[0])


def _add_tests() -> None:
    for group, rows in TABLE.items():
        for number, (kind, data) in enumerate(rows):

            def test(self: Any, kind: str = kind, data: bytes = data) -> None:
                self.check(kind, data)

            test.__doc__ = f"{group}: {data[:60]!r}: {kind}"
            setattr(HostileTests, f"test_{group}_{number:02}", test)


_add_tests()
