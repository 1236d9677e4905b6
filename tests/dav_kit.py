"""A WebDAV face over a namespace in memory, and requests to it: what tests of it share."""

from __future__ import annotations

from typing import Any

from lxml import etree
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.admission import OpenAdmission
from pigpen.dav.face import WebDav
from pigpen.dav.settings import DavSettings
from pigpen.http.body import BaseBody, Body, BytesBody, read_all
from pigpen.http.key import Key
from pigpen.http.message import Headers, Request, Response
from pigpen.http.namespace import Admission, Namespace
from pigpen.testing import SimEnv
from pigpen.testing.namespace import make_namespace

HOST = "dav.example:2574"
LOCKINFO = (
    b'<lockinfo xmlns="DAV:"><lockscope><%b/></lockscope><locktype><write/></locktype>'
    b"<owner><href>http://ann</href></owner></lockinfo>"
)


class Answer:
    """A response with its body read."""

    def __init__(self, response: Response, data: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.data = data

    def __repr__(self) -> str:
        return f"<{self.status} {dict(self.headers)} {self.data[:200]!r}>"

    @property
    def xml(self) -> Any:
        return etree.fromstring(self.data)

    def texts(self, name: str) -> list[str]:
        """The text of each element of this DAV: name, in order."""
        return [element.text or "" for element in self.xml.iter(f"{{DAV:}}{name}")]

    def names(self, parent: str) -> list[str]:
        """The DAV: names of what lies in each element of this DAV: name."""
        return [
            etree.QName(child).localname
            for element in self.xml.iter(f"{{DAV:}}{parent}")
            for child in element
        ]

    @property
    def hrefs(self) -> list[str]:
        """What each response of a multistatus is about."""
        return [element.text for element in self.xml.findall("{DAV:}response/{DAV:}href")]

    @property
    def token(self) -> str:
        """What LOCK said, without its <>."""
        return self.headers["Lock-Token"].strip("<>")


class SlowBody(BaseBody):
    """A body whose chunks come when the test says so; it notes being asked and closed."""

    def __init__(self, length: int | None = None, *, held_back: bool = True) -> None:
        self.length = length
        self.held_back = held_back  # type: ignore[misc]
        self.asked = 0
        self.closed = False
        self._waiting: Deferred[bytes] | None = None
        self._chunks: list[bytes | Exception] = []

    def push(self, chunk: bytes | Exception) -> None:
        """:param chunk: b"": the end."""
        self._chunks.append(chunk)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(b"")

    async def __anext__(self) -> bytes:
        self.asked += 1
        while not self._chunks:
            self._waiting = Deferred()
            await self._waiting
        chunk = self._chunks[0]
        if isinstance(chunk, Exception):
            raise chunk
        if not chunk:
            raise StopAsyncIteration
        return bytes(self._chunks.pop(0))  # type: ignore[arg-type]

    async def aclose(self) -> None:
        self.closed = True


class DavCase(SynchronousTestCase):
    """Requests through `WebDav.handle`; at the end no timer is left."""

    settings = DavSettings()

    def setUp(self) -> None:
        self.env = SimEnv()
        self.namespace = self.make_namespace()
        self.face = WebDav(self.env, self.admission(), self.settings)

    def make_namespace(self) -> Namespace:
        return make_namespace(self.env)

    def admission(self) -> Admission:
        return OpenAdmission(self.namespace)

    def request(
        self, method: str, path: str = "/", data: bytes | Body = b"", **fields: str
    ) -> Request:
        """:param fields: a field's name with _ for -; `If_` is If."""
        path, _, query = path.partition("?")
        headers = Headers(
            {name.rstrip("_").replace("_", "-"): value for name, value in fields.items()}
        )
        headers.setdefault("Host", HOST)
        body = BytesBody(data) if isinstance(data, bytes) else data
        key = Key.from_path(path)
        return Request(method, key, query_string=query, headers=headers, body=body)

    def ask(self, method: str, path: str = "/", data: bytes | Body = b"", **fields: str) -> Answer:
        return self.env.run(self.asking(self.request(method, path, data, **fields)))

    async def asking(self, request: Request) -> Answer:
        response = await self.face.handle(request)
        return Answer(response, await read_all(response.body, 2**30))

    def begin(self, request: Request) -> Deferred[Answer]:
        """Send it and let everything happen that needs no time."""
        with self.env.world.watching():
            asked = Deferred.fromCoroutine(self.asking(request))
            self.pass_time(0)
        return asked

    def pass_time(self, seconds: float) -> None:
        with self.env.world.watching():
            self.env.clock.advance(seconds)

    def expect(
        self, status: int, method: str, path: str = "/", *args: Any, **fields: str
    ) -> Answer:
        answer = self.ask(method, path, *args, **fields)
        self.assertEqual(answer.status, status, answer)
        return answer

    # -- what tests begin with --------------------------------------------------------------------

    def tree(self, *paths: str) -> None:
        """Collections, ending in a slash, and objects that hold their own path."""
        for path in paths:
            if path.endswith("/"):
                self.expect(201, "MKCOL", path)
            else:
                self.expect(201, "PUT", path, path.encode())

    def lock(self, path: str, *, scope: bytes = b"exclusive", **fields: str) -> str:
        """:return: the token."""
        answer = self.ask("LOCK", path, LOCKINFO % scope, **fields)
        self.assertIn(answer.status, (200, 201), answer)
        return answer.token

    def exists(self, path: str) -> bool:
        status = self.ask("HEAD", path).status
        self.assertIn(status, (200, 404))
        return status == 200

    def content(self, path: str) -> bytes:
        return self.expect(200, "GET", path).data
