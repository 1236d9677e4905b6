"""Downloads: one version, whole and right, or an error and no file."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.download import open_download
from pigpen.client.outputs import Threaded, pour, save
from pigpen.client.session import Session
from pigpen.errors import ConnectFailed, FileFailed, PigpenError, Refused, WrongContent
from pigpen.http.body import Body, PushBody
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.http.ranges import ByteRange
from pigpen.testing.env import SimEnv
from pigpen.testing.world import World
from tests.client_kit import COORDINATOR, KEY, FakeCloud, problem

BIG = bytes(range(256)) * 100  # 25,600 bytes


class DownloadCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = FakeCloud()
        self.env = SimEnv()
        self.session = Session(self.env, self.cloud, COORDINATOR, KEY)
        self.cloud.put("big", BIG)
        self.cloud.put("small", b"hello")
        self.got = b""

    async def get(self, key: str, part: ByteRange | None = None) -> bytes:
        download = await open_download(self.session, Key.from_text(key))
        async for chunk in download.body(part):
            self.got += chunk
        return self.got

    def fails(self, kind: type[Exception], key: str = "big") -> str:
        return str(self.assertRaises(kind, self.env.run, self.get(key)))

    def hosts(self) -> list[str]:
        return [line for line in self.cloud.log if line.startswith("h")]


class ReadTests(DownloadCase):
    def test_small(self) -> None:
        """A small file comes with the first answer."""
        self.assertEqual(self.env.run(self.get("small")), b"hello")
        self.assertEqual(self.hosts(), [])

    def test_large(self) -> None:
        """A large one comes from the host that the coordinator prefers; no host sees the key."""
        self.assertEqual(self.env.run(self.get("big")), BIG)
        self.assertEqual(self.hosts(), ["h1 GET"])
        self.assertEqual(self.cloud.secrets_at_hosts, [])

    def test_slow_reader(self) -> None:
        """Who reads slowly does not keep what was read in memory until enough is to be hashed; who
        leaves early leaves nothing behind."""
        self.cloud.put("long", BIG * 20)

        async def begin() -> Body:
            download = await open_download(self.session, Key.from_text("long"))
            body = download.body()
            self.got += await anext(body)
            return body

        clock = self.env.world.clock
        before = len(clock.getDelayedCalls())
        body = self.env.run(begin())
        self.assertEqual(len(clock.getDelayedCalls()), before + 1)
        clock.advance(1)
        self.assertEqual(len(clock.getDelayedCalls()), before)
        self.got += self.env.run(anext(body))
        self.env.run(body.aclose())
        self.assertEqual(len(clock.getDelayedCalls()), before)

    def test_part(self) -> None:
        for key, whole in (("big", BIG), ("small", b"hello")):
            self.got = b""
            self.assertEqual(self.env.run(self.get(key, ByteRange(1, 3))), whole[1:4])

    def test_missing(self) -> None:
        self.assertEqual(self.fails(Refused, "none"), "There is nothing under this key.")

    def test_busy(self) -> None:
        """No host for a moment: asked again."""
        self.cloud.coordinator_says = [problem(503, "no-replica")]
        self.assertEqual(self.env.run(self.get("big")), BIG)

    def test_small_rot(self) -> None:
        wrong = Headers({"ETag": '"x"', "Repr-Digest": "sha-256=:" + "A" * 43 + "=:"})
        self.cloud.coordinator_says = [Response(200, wrong)]
        self.assertIn("SHA-256", self.fails(WrongContent, "small"))


class FaultTests(DownloadCase):
    def test_cut(self) -> None:
        """A cut goes on at the next host with the byte after the last one."""
        self.cloud.cut_gets = [5000, 3000]
        self.assertEqual(self.env.run(self.get("big")), BIG)
        self.assertEqual(
            self.hosts(), ["h1 GET", "h2 GET bytes=5000-25599", "h1 GET bytes=8000-25599"]
        )

    def test_first_host_down(self) -> None:
        self.cloud.down = {"h1"}
        self.assertEqual(self.env.run(self.get("big")), BIG)

    def test_all_down(self) -> None:
        """No host answers: an error after a bounded time."""
        self.cloud.down = {"h1", "h2"}
        self.fails(ConnectFailed)
        self.assertLess(self.env.clock.seconds(), 60)

    def test_never_ends(self) -> None:
        """Hosts that always break off without a byte end it."""
        self.cloud.cut_gets = [0] * 100
        self.fails(PigpenError)
        self.assertLess(len(self.hosts()), 20)

    def test_replaced(self) -> None:
        """A file that is replaced while it is read is never a mixture of both."""
        self.cloud.cut_gets = [5000, 0]
        real = self.cloud._send

        def then_replaced(*args: object) -> Response:
            answer = real(*args)  # type: ignore[arg-type]
            self.cloud.put("big", BIG[::-1])
            return answer

        self.cloud._send = then_replaced  # type: ignore[method-assign, assignment]
        self.assertIn("replaced", self.fails(WrongContent))
        self.assertEqual(self.got, BIG[: len(self.got)])

    def test_other_version(self) -> None:
        """A host that has another version than the coordinator says is passed over."""
        old = type(self.cloud.objects["big"])(BIG[::-1], '"old"')
        real, answers = self.cloud._send, [old]

        def stale_once(found: object, headers: Headers) -> Response:
            return real(answers.pop() if answers else found, headers)  # type: ignore[arg-type]

        self.cloud._send = stale_once  # type: ignore[method-assign, assignment]
        self.assertEqual(self.env.run(self.get("big")), BIG)
        self.assertEqual(self.hosts(), ["h1 GET", "h2 GET"])

    def test_rot(self) -> None:
        """Wrong bytes never come to a clean end: the last ones are not given out."""
        self.cloud.rot = True
        self.assertIn("SHA-256", self.fails(WrongContent))
        self.assertLess(len(self.got), len(BIG))

    def test_too_long(self) -> None:
        """A host that sends more than there is has other bytes."""
        etag = self.cloud.objects["big"].etag
        real = self.cloud._send

        def longer(found: object, headers: Headers) -> Response:
            return real(type(self.cloud.objects["big"])(BIG + b"more", etag), headers)

        self.cloud._send = longer  # type: ignore[method-assign, assignment]
        self.fails(PigpenError)


class SaveTests(DownloadCase):
    def setUp(self) -> None:
        super().setUp()
        self.env.disk.make_folder("/home")
        self.modes: list[str] = []

    async def save(self, path: str = "/home/out", body: Body | None = None) -> None:
        if body is None:
            body = (await open_download(self.session, Key.from_text("big"))).body()
        await save(self.env, body, path, self.modes.append)

    def names(self) -> list[str]:
        return [entry.name for entry in self.env.disk.entries("/home")]

    def read(self) -> bytes:
        return self.env.disk.read("/home/out", 2**20)

    def older(self) -> None:
        file = self.env.disk.create("/home/out")
        file.write(b"older")
        file.close()

    def test_saved(self) -> None:
        """The file has its name, its bytes, and survives a power cut."""
        self.env.run(self.save())
        self.assertEqual(self.read(), BIG)
        self.assertEqual(self.names(), ["out"])
        self.assertTrue(self.modes[0].startswith("/home/.out."))

    def test_rot(self) -> None:
        """Wrong bytes never get the name; what was there stays."""
        self.older()
        self.cloud.rot = True
        self.assertRaises(WrongContent, self.env.run, self.save())
        self.assertEqual((self.names(), self.read()), (["out"], b"older"))

    def test_cancelled(self) -> None:
        """Ctrl-C leaves nothing, whenever it comes."""
        for turns in range(40):
            self.older() if turns == 0 else None
            body = PushBody()
            body.push(b"part")
            saving = Deferred.fromCoroutine(self.save(body=body))
            for _ in range(turns):
                self.env.world.clock.advance(0)
            saving.cancel()
            self.env.world.clock.advance(1)
            self.failureResultOf(saving, CancelledError)
            self.assertEqual((self.names(), self.read()), (["out"], b"older"))

    def test_no_folder(self) -> None:
        error = self.assertRaises(FileFailed, self.env.run, self.save("/nowhere/out"))
        self.assertIn("/nowhere/out", str(error))


class ThreadedTests(SynchronousTestCase):
    def test_rest(self) -> None:
        """A file is not closed while a thread still writes to it, whoever was cancelled."""
        env = SimEnv(world=World(thread_seconds=(1, 1)))
        steps, done = Threaded(env), []
        step = Deferred.fromCoroutine(steps.run(done.append, "written"))
        step.cancel()
        self.failureResultOf(step, CancelledError)
        self.assertEqual(done, [])
        env.run(steps.rest())
        self.assertEqual(done, ["written"])


class PourTests(SynchronousTestCase):
    def test_closed(self) -> None:
        """If nobody reads any more, the download stops."""
        env = SimEnv()
        body = PushBody()
        body.push(b"x")

        def closed(_: bytes) -> None:
            raise BrokenPipeError

        self.assertRaises(BrokenPipeError, env.run, pour(env, body, closed))
        self.assertTrue(body.ended)
