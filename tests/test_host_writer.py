"""BlobWriter: uploads whose bytes come faster than the disk takes them hold little memory."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.host.batches import Batches
from pigpen.host.folder import Folder
from pigpen.host.writer import (
    MAX_PENDING_BYTES,
    SHARED_PENDING_BYTES,
    START_BYTES,
    BlobWriter,
    Pending,
    WriterTools,
)
from pigpen.testing import SimEnv
from tests.host_kit import id_of

CHUNK = bytes(64 * 1024)


class StuckDisk(SimEnv):
    """An Env whose threads begin when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Deferred[None]] = []

    def in_thread(self, function, *args, **kwargs):  # type: ignore[no-untyped-def, override]
        step: Deferred[None] = Deferred()
        self.steps.append(step)
        return step.addCallback(lambda _: function(*args, **kwargs))

    def go(self) -> None:
        """Do what waits, and what comes of it."""
        while self.steps:
            self.steps.pop(0).callback(None)
            self.world.clock.advance(0.01)


class PendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = StuckDisk()
        folder = Folder(self.env.disk, "/pool")
        self.env.disk.make_folder("/pool")
        folder.make_folders()
        self.pending = Pending()
        self.tools = WriterTools(
            self.env, folder, Batches(self.env, folder), lambda _: None, self.pending
        )

    def writers(self, count: int) -> list[BlobWriter]:
        return [BlobWriter(self.tools, id_of(number)) for number in range(count)]

    def pour(self, writer: BlobWriter) -> Deferred[None]:
        """Write until it must wait."""
        while True:
            written = Deferred.fromCoroutine(writer.write(CHUNK))
            if not written.called:
                return written

    def test_one(self) -> None:
        """One upload runs a MiB ahead of the disk, beside what is being written."""
        [writer] = self.writers(1)
        waiting = self.pour(writer)
        self.assertEqual(writer.offset, START_BYTES + MAX_PENDING_BYTES)
        self.env.go()
        self.successResultOf(waiting)
        self.finish([writer])

    def test_many(self) -> None:
        """Many at once share what may wait, and each goes on when the disk has taken its own."""
        writers = self.writers(30)
        waiting = [self.pour(writer) for writer in writers]
        most = SHARED_PENDING_BYTES + len(writers) * START_BYTES
        self.assertLessEqual(self.pending.size, most)
        self.assertLessEqual(sum(writer.offset for writer in writers), most + 30 * START_BYTES)
        self.env.go()
        for one in waiting:
            self.successResultOf(one)
        self.finish(writers)

    def finish(self, writers: list[BlobWriter]) -> None:
        """All that was written is there, and nothing is counted as waiting."""
        ends = [Deferred.fromCoroutine(writer.finish(None)) for writer in writers]
        self.env.go()
        for writer, end in zip(writers, ends, strict=True):
            self.assertEqual(self.successResultOf(end).length, writer.offset)
        self.assertEqual(self.pending.size, 0)

    def test_given_up(self) -> None:
        """What waited for an upload that is dropped or parked is not counted any more, also if it
        was cancelled while it waited."""
        writers = self.writers(2)
        for writer in writers:
            waiting = self.pour(writer)
            waiting.cancel()
            self.failureResultOf(waiting)
        ends = [writers[0].drop(), writers[1].park()]
        self.env.go()
        for end in ends:
            self.successResultOf(end)
        self.assertEqual(self.pending.size, 0)
