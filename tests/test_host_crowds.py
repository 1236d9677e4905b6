"""Many uploads at once, on threads that take their time, until the machine dies at a random moment.

Each upload's answer is compared with what is on the disk after the next start.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.host import writer
from pigpen.testing import SimEnv, World, bury, quiet_burial
from tests.host_kit import Kit, chunks, digest_of, id_of

#: blobs that share a leaf, blobs that share an outer folder, and others
BLOBS = [prefix + id_of(number)[4:] for number, prefix in enumerate(["aa01"] * 4 + ["aa02"] * 3)]
BLOBS += [id_of(number) for number in range(100, 107)]


class Crowd:
    """One host, its uploads, and what became of them."""

    def __init__(self, seed: int) -> None:
        bury()
        self.world = World(seed, thread_seconds=(0.0, 0.02))
        self.kit = Kit(SimEnv(name="host", world=self.world)).start()
        self.statuses: dict[str, int] = {}
        self.data: dict[str, bytes] = {}
        for number, blob in enumerate(BLOBS):
            self.data[blob] = self.world.random.randbytes(
                self.world.random.choice([0, 5, 5000, 400_000])
            )
            self.upload(number, blob, self.data[blob])

    def upload(self, number: int, blob: str, data: bytes) -> None:
        path = self.kit.expect_put(number, blob=blob, length=len(data), digest=digest_of(data))
        wait = self.world.random.random() * 0.3
        self.kit.env.clock.callLater(wait, self.send, path, blob, data)

    def send(self, path: str, blob: str, data: bytes) -> None:
        done = self.kit.ask("PUT", path, body=chunks(data, 65_536, len(data)))
        done.addCallback(lambda response: self.statuses.update({blob: response.status}))


class CrowdTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.enterContext(quiet_burial())
        self.patch(writer, "NOTE_BYTES", 200_000)

    def check(self, crowd: Crowd, why: str) -> None:
        """Each acknowledged blob is whole; each blob that is there is whole."""
        kit = Kit(crowd.kit.env.boot(), crowd.kit.coordinator).start()
        files = kit.files()
        acknowledged = {receipt.blob for receipt in kit.coordinator.receipts}
        acknowledged |= {blob for blob, status in crowd.statuses.items() if status == 201}
        for blob in BLOBS:
            path = kit.blob_path(blob)
            if path in files:
                self.assertEqual(kit.disk.peek(path), crowd.data[blob], f"{why} {blob}")
            else:
                self.assertNotIn(blob, acknowledged, f"{why} {blob}")
        room = kit.host.room
        self.assertEqual(room.reserved, 0, why)

    def test_all_stored(self) -> None:
        """Left alone, all are stored, and a power cut takes none."""
        for seed in range(3):
            crowd = Crowd(seed)
            crowd.world.settle(5)
            self.assertEqual(set(crowd.statuses.values()), {201}, seed)
            self.assertEqual(len(crowd.statuses), len(BLOBS))
            crowd.kit.disk.crash()
            self.check(crowd, f"seed {seed}")

    def test_power_cut(self) -> None:
        """Whenever the power fails, what was acknowledged is there."""
        acknowledged = []
        for seed in range(40):
            crowd = Crowd(seed)
            crowd.kit.disk.kill_at(crowd.world.random.randint(1, 160))
            crowd.world.settle(5)
            crowd.kit.disk.crash()
            acknowledged.append(len(crowd.statuses))
            crowd.kit.disk.clear()
            self.check(crowd, f"seed {seed}")
        self.assertGreater(len(set(acknowledged)), 5, "the cuts came at different moments")

    def test_errors(self) -> None:
        """One disk error among many uploads spoils none of the others' bytes."""
        for seed in range(20):
            crowd = Crowd(seed)
            crowd.kit.disk.fail_at(crowd.world.random.randint(1, 160), OSError(5, "I/O error"))
            crowd.world.settle(5)
            self.assertEqual(len(crowd.statuses), len(BLOBS), f"seed {seed}: one never ended")
            crowd.kit.disk.crash()
            crowd.kit.disk.clear()
            self.check(crowd, f"seed {seed}")
