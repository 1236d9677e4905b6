"""Uploads: stored exactly once, or not at all, and the user is told which."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.inputs import BytesInput, FileInput, Input, PipeInput, ThreadBody
from pigpen.client.session import Session
from pigpen.client.upload import RESUME_BYTES, Upload
from pigpen.errors import ConnectFailed, ConnectionLost, FileFailed, OutcomeUnknown, Refused
from pigpen.http import wire
from pigpen.http.body import Body, StreamBody
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.http.wire import Stored
from pigpen.testing.env import SimEnv
from tests.client_kit import COORDINATOR, KEY, FakeCloud, problem

BIG = bytes(range(256)) * 400  # 102,400 bytes


class MemoryFile:
    """A `File` whose bytes are at hand."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def fileno(self) -> int | None:
        return None

    def read_now(self, offset: int, size: int) -> bytes | None:
        return self.data[offset : offset + size]

    async def read_at(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + min(size, 7000)]


def file_of(data: bytes, identity: str | None = None) -> FileInput:
    return FileInput(MemoryFile(data), 0, len(data), identity)


def pipe_of(data: bytes, keep: int = 2**23) -> PipeInput:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(data), 3000):
            yield data[start : start + 3000]

    return PipeInput(StreamBody(chunks()), keep)


class UploadCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = FakeCloud()
        self.env = SimEnv()
        self.session = Session(self.env, self.cloud, COORDINATOR, KEY)
        self.shown: list[int] = []

    def upload(self, data: Input, headers: Headers | None = None) -> Upload:
        return Upload(self.session, Key.from_text("a/b"), data, headers, self.shown.append)

    def put(self, data: Input) -> Stored:
        return self.env.run(self.upload(data).run())

    def refused(self, kind: type[Exception], data: Input) -> Exception:
        return self.assertRaises(kind, self.put, data)

    def stored(self, data: bytes = BIG) -> None:
        self.assertEqual(self.cloud.objects["a/b"].data, data)
        self.assertEqual(self.cloud.secrets_at_hosts, [])

    def told(self, who: str) -> list[str]:
        return [line for line in self.cloud.log if line.startswith(who)]


class SmallTests(UploadCase):
    def test_pipe(self) -> None:
        """A few bytes need one request, and no host."""
        self.put(pipe_of(b"hello"))
        self.stored(b"hello")
        self.assertEqual(self.cloud.log, ["c GET /account", "c PUT /api/me/a/b?redirect"])
        self.assertEqual(self.shown, [5])

    def test_nothing(self) -> None:
        """An empty file is a file."""
        self.put(pipe_of(b""))
        self.stored(b"")

    def test_limits(self) -> None:
        """4,096 bytes go with the request; one more goes to a host."""
        self.put(pipe_of(b"x" * 4096))
        self.assertEqual(self.told("h"), [])
        self.put(pipe_of(b"x" * 4097))
        self.assertEqual(self.told("h"), ["h1 PUT"])
        self.stored(b"x" * 4097)

    def test_lost_answer(self) -> None:
        """An answer that got lost does not store twice, and is not taken for a failure."""
        self.cloud.lose = ["small"]
        self.put(BytesInput(b"hello"))
        self.stored(b"hello")
        self.assertEqual(len([line for line in self.cloud.log if " PUT " in line]), 1)

    def test_refused(self) -> None:
        """What the coordinator says is what the user reads."""
        self.cloud.coordinator_says = [problem(507, "quota", "The quota is used up.")]
        error = self.refused(Refused, BytesInput(b"hello"))
        self.assertEqual(str(error), "The quota is used up.")

    def test_busy(self) -> None:
        """A coordinator that is busy for a moment is asked again, when it says."""
        busy = problem(503, "unavailable")
        busy.headers["Retry-After"] = "3"
        self.cloud.coordinator_says = [busy]
        self.put(BytesInput(b"hello"))
        self.stored(b"hello")
        self.assertGreaterEqual(self.env.clock.seconds(), 3)

    def test_coordinator_full(self) -> None:
        """A coordinator without room has none a moment later: its user is told at once."""
        self.cloud.coordinator_says = [problem(503, "catalog-full", "There is no room.")]
        self.assertEqual(str(self.refused(Refused, BytesInput(b"hello"))), "There is no room.")
        self.assertEqual(self.env.clock.seconds(), 0)


class LargeTests(UploadCase):
    def test_pipe(self) -> None:
        self.put(pipe_of(BIG))
        self.stored()
        self.assertEqual(self.shown[-1], len(BIG))

    def test_file(self) -> None:
        """The coordinator knows a file's length before its first byte."""
        self.put(file_of(BIG))
        self.stored()
        self.assertEqual([write.length for write in self.cloud.writes.values()], [len(BIG)])

    def test_rest_of_file(self) -> None:
        """A file that was read in part already is stored from there."""
        self.put(FileInput(MemoryFile(BIG), 400, len(BIG) - 400))
        self.stored(BIG[400:])

    def test_cut(self) -> None:
        """A cut upload goes on where it was cut, from a file and from a pipe."""
        for data in (file_of(BIG), pipe_of(BIG)):
            self.cloud.__init__()  # type: ignore[misc]
            self.cloud.cut_puts = [50_000, 70_000]
            self.put(data)
            self.stored()
            self.assertEqual(self.told("h"), ["h1 PUT", "h1 HEAD"] * 2 + ["h1 PUT"])

    def test_long_gone(self) -> None:
        """A pipe that cannot be read again fails, says so, and nothing is stored."""
        self.cloud.cut_puts = [10_000]
        self.cloud.forgets = True
        error = self.refused(FileFailed, pipe_of(BIG, keep=5000))
        self.assertIn("run it again", str(error))
        self.assertEqual(self.cloud.objects, {})
        self.assertEqual([write.state for write in self.cloud.writes.values()], ["abandoned"])
        told = [line for line in self.cloud.log if " DELETE" in line]
        self.assertEqual(told, ["c DELETE /api/me/a/b?write", "h1 DELETE", "h2 DELETE"])

    def test_stored_after_all(self) -> None:
        """What is stored is not given up at its host, and an old host may not know how to."""
        upload = self.upload(file_of(BIG))
        self.env.run(upload.run())
        self.env.run(upload.give_up())
        self.stored()
        self.assertEqual(self.told("h"), ["h1 PUT"])
        self.cloud.gives_up = 405
        self.cloud.cut_puts = [0] * 5
        self.refused(ConnectionLost, file_of(BIG))
        self.assertEqual(self.told("h")[-2:], ["h1 DELETE", "h2 DELETE"])

    def test_host_forgets(self) -> None:
        """If the permission is over, the coordinator gives a new one for the rest."""
        upload = self.upload(file_of(BIG))
        self.cloud.cut_puts = [50_000]
        self.cloud.spent = {upload._write.id}
        self.env.run(upload.run())
        self.stored()
        self.assertIn("c PUT /api/me/a/b?redirect?write", self.cloud.log)

    def test_first_host_down(self) -> None:
        """If one host cannot be reached, the next one gets the bytes."""
        self.cloud.down = {"h1"}
        self.put(pipe_of(BIG))
        self.stored()
        self.assertEqual(self.told("h"), ["h1 PUT", "h2 PUT"])

    def test_all_hosts_down(self) -> None:
        """No host at all: an error that names the address, soon; nothing is left open."""
        self.cloud.down = {"h1", "h2"}
        self.refused(ConnectFailed, file_of(BIG))
        self.assertNotIn("open", [write.state for write in self.cloud.writes.values()])
        self.assertLess(self.env.clock.seconds(), 30)

    def test_coordinator_down(self) -> None:
        """Nobody could be reached from the start: it is certain that nothing was stored."""
        self.cloud.down = {"coordinator"}
        for data in (pipe_of(b"small"), pipe_of(BIG), file_of(bytes(RESUME_BYTES), "identity")):
            self.refused(ConnectFailed, data)

    def test_lost_answer(self) -> None:
        """The bytes are not sent twice only because the answer got lost."""
        self.cloud.lose = ["commit"]
        self.put(pipe_of(BIG, keep=5000))
        self.stored()
        self.assertEqual(self.told("h"), ["h1 PUT"])

    def test_lost_offer(self) -> None:
        self.cloud.lose = ["offer"]
        self.put(pipe_of(BIG))
        self.stored()

    def test_late(self) -> None:
        """202: the command waits until the file is visible."""
        self.cloud.late = 3
        self.put(pipe_of(BIG))
        self.stored()

    def test_never_visible(self) -> None:
        """If it does not become visible, the user hears that the outcome is unknown."""
        self.cloud.late = 10_000
        self.refused(OutcomeUnknown, pipe_of(BIG))

    def test_coordinator_gone(self) -> None:
        """If nobody can tell how it ended, nobody claims to know."""
        self.cloud.lose = ["commit"]
        upload = self.upload(pipe_of(BIG))
        real = self.cloud._receive

        async def then_gone(*args: object) -> Response:
            self.cloud.down = {"coordinator"}
            return await real(*args)  # type: ignore[arg-type]

        self.cloud._receive = then_gone  # type: ignore[method-assign, assignment]
        self.assertRaises(OutcomeUnknown, self.env.run, upload.run())

    def test_host_full(self) -> None:
        """A disk that fills up in mid-body: another try; a full quota: the end."""
        self.cloud.host_says = [problem(507, "full")]
        self.put(file_of(BIG))
        self.stored()
        self.cloud.host_says = [problem(507, "quota", "No room is left.")]
        self.assertEqual(str(self.refused(Refused, file_of(BIG))), "No room is left.")

    def test_refused_unheard(self) -> None:
        """The refusal got lost with the host: asked for it, the coordinator says why once more."""
        for message, said in (("The quota is used up.",) * 2, (None, "answered quota.")):
            self.cloud.host_says = [problem(408, "timeout")]
            self.cloud.refusal = wire.WriteState("refused", 507, None, "quota", message)
            text = str(self.refused(Refused, pipe_of(BIG, keep=5000)))
            self.assertTrue(text.startswith("It was not stored: "), text)
            self.assertIn(said, text)

    def test_condition(self) -> None:
        self.cloud.host_says = [problem(412, "precondition", "It exists.")]
        self.assertEqual(str(self.refused(Refused, file_of(BIG))), "It exists.")
        self.assertEqual(self.cloud.objects, {})

    def test_redirected(self) -> None:
        """Nobody may send the access key, or the bytes, elsewhere by a redirect (REL-T3)."""
        for status in (301, 302, 303, 307, 308):
            self.cloud.coordinator_says = [Response(status, Headers({"Location": "http://evil/"}))]
            error = self.refused(Refused, BytesInput(b"x"))
            self.assertIn(str(status), str(error))
        self.assertFalse([line for line in self.cloud.log if "evil" in line])

    def test_unreadable(self) -> None:
        """A file that cannot be read ends it with the reason, and stores nothing."""

        def broken() -> bytes:
            raise OSError(5, "Input/output error")

        data = PipeInput(ThreadBody(self.env, broken, "standard input"))
        error = self.refused(FileFailed, data)
        self.assertEqual(str(error), "Cannot read standard input: Input/output error.")
        self.assertEqual(self.cloud.objects, {})


class LaterRunTests(UploadCase):
    def test_resumed(self) -> None:
        """`put` of a large file was killed: run again, it goes on where it was."""
        data = BIG * 90  # 9 MB
        self.cloud.cut_puts = [3_000_000]
        upload = self.upload(file_of(data, "inode 5"))
        real = upload._after_cut
        stuck: Deferred[None] = Deferred()

        async def killed(*args: object) -> object:
            await stuck
            return await real(*args)  # type: ignore[arg-type]

        upload._after_cut = killed  # type: ignore[method-assign, assignment]
        running = Deferred.fromCoroutine(upload.run())
        self.env.world.clock.advance(1)
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.cloud.log.clear()
        self.put(file_of(data, "inode 5"))
        self.stored(data)
        self.assertEqual([write.status for write in self.cloud.writes.values()], [201])

    def test_stored_again(self) -> None:
        """Storing the same file again is a new version, not the memory of the old one."""
        data = BIG * 90
        self.put(file_of(data, "inode 5"))
        del self.cloud.objects["a/b"]
        self.put(file_of(data, "inode 5"))
        self.stored(data)
        self.assertEqual(len(self.cloud.writes), 2)


class ThreadBodyTests(SynchronousTestCase):
    def test_cancelled_reader(self) -> None:
        """Bytes read while a connection breaks are not lost."""
        env = SimEnv()
        chunks = [b"one", b"two", b""]
        body: Body = ThreadBody(env, lambda: chunks.pop(0), "pipe")
        first = Deferred.fromCoroutine(body.__anext__())
        first.cancel()
        self.failureResultOf(first, CancelledError)

        async def rest() -> list[bytes]:
            return [chunk async for chunk in body]

        self.assertEqual(env.run(rest()), [b"one", b"two"])


class PipeInputTests(SynchronousTestCase):
    def test_window(self) -> None:
        """A pipe's past is kept up to a bound, and not one byte of it is wrong."""
        env = SimEnv()
        pipe = pipe_of(BIG, keep=20_000)

        async def read(offset: int, most: int) -> bytes:
            body = pipe.body(offset)
            assert body is not None
            data = b""
            async for chunk in body:
                data += chunk
                if len(data) >= most:
                    break
            return data

        self.assertEqual(env.run(read(0, 50_000))[:50_000], BIG[:50_000])
        self.assertIsNone(pipe.body(0))
        self.assertEqual(env.run(read(40_001, 2**20)), BIG[40_001:])
        self.assertLess(sum(map(len, pipe._kept)), 25_000)
