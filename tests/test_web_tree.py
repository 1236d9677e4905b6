"""ResourceTree: no clock, nothing to flush."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import NotFound
from pigpen.http.key import Key
from pigpen.http.message import Request, Response
from pigpen.web.tree import ResourceTree


class Recorder:
    """A handler that notes the keys it sees."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def handle(self, request: Request) -> Response:
        self.keys.append(request.key.to_path())
        return Response(200)


class ResourceTreeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = ResourceTree()

    def get(self, path: str) -> None:
        request = Request("GET", Key.from_path(path))
        self.successResultOf(Deferred.fromCoroutine(self.tree.handle(request)))

    def mounted(self, prefix: str) -> list[str]:
        recorder = Recorder()
        self.tree.mount(prefix, recorder)
        return recorder.keys

    def test_longest_prefix(self) -> None:
        """A path goes to its most specific mount, which sees the rest of it."""
        root, x, deep = self.mounted("/"), self.mounted("/x/"), self.mounted("/x/y/z/")
        for path in ("/x/a", "/x/y/z/b/c/", "/x/y", "/other/x", "/"):
            self.get(path)
        self.assertEqual(root, ["/other/x", "/"])
        self.assertEqual(x, ["/a", "/y"])
        self.assertEqual(deep, ["/b/c/"])

    def test_the_mount_itself(self) -> None:
        """A mount's own path, with or without slash, is its root."""
        status = self.mounted("/status")
        for path in ("/status", "/status/"):
            self.get(path)
        self.assertEqual(status, ["/", "/"])

    def test_whole_names_only(self) -> None:
        """``/x/`` does not catch ``/xy``, and an encoded name is the same name."""
        x = self.mounted("/x/")
        self.get("/%78/a")
        self.assertEqual(x, ["/a"])
        self.failureResultOf(self.handle("/xy"), NotFound)

    def test_nothing_there(self) -> None:
        """Without a mount for it, a path is 404, the shorter prefixes of a mount too."""
        self.mounted("/a/b/")
        self.failureResultOf(self.handle("/a"), NotFound)
        self.failureResultOf(self.handle("/"), NotFound)

    def test_later_mount_replaces(self) -> None:
        old, new = self.mounted("/x"), self.mounted("/x/")
        self.get("/x/a")
        self.assertEqual((old, new), ([], ["/a"]))

    def handle(self, path: str) -> "Deferred[Response]":
        return Deferred.fromCoroutine(self.tree.handle(Request("GET", Key.from_path(path))))
