"""What every namespace does when many change it at once (DAV-130 to 135)."""

# mypy: allow-untyped-calls
from __future__ import annotations

from typing import Any

from pigpen.env import sleep
from pigpen.errors import (
    Conflict,
    Forbidden,
    Locked,
    MethodNotAllowed,
    NotFound,
    PigpenError,
    PreconditionFailed,
)
from pigpen.http.namespace import LockWish, Written
from pigpen.testing.namespace_case import AskedBody, NamespaceCase

MANY = 8


def kinds(outcomes: list[Any]) -> list[type]:
    """What came out, sorted: results first."""
    return sorted((type(one) for one in outcomes),
                  key=lambda kind: (issubclass(kind, PigpenError), kind.__name__))  # fmt: skip


class RaceTests(NamespaceCase):
    """One order of the changes explains every outcome."""

    def test_first_writers(self) -> None:
        """Of many who create a name one is told so, the others 412 (DAV-130)."""
        puts = [self.writing("a", self.slow(b"%d" % n * 8), none_match="*") for n in range(MANY)]
        outcomes = self.outcomes(*puts)
        self.assertEqual(kinds(outcomes), [Written] + [PreconditionFailed] * (MANY - 1))
        (winner,) = [n for n, one in enumerate(outcomes) if isinstance(one, Written)]
        self.assertEqual(self.read("a"), b"%d" % winner * 8)

    def test_editors(self) -> None:
        """Of many who edit the same version one wins, nothing is overwritten unseen."""
        etag = self.write("a", b"0").node.etag
        puts = [self.writing("a", self.slow(b"%d" % n * 8), match=etag) for n in range(MANY)]
        outcomes = self.outcomes(*puts)
        self.assertEqual(kinds(outcomes), [Written] + [PreconditionFailed] * (MANY - 1))

    def test_writers_and_readers(self) -> None:
        """Each read is one whole version with its ETag; the last commit stays (DAV-131)."""
        self.write("a", b"start")
        versions = {self.stat("a").etag: b"start"}

        async def write(number: int) -> None:
            data = b"%d" % number * 2000
            written = await self.writing("a", self.slow(data, seconds=0.3 + number / 10))
            versions[written.node.etag] = data

        async def read() -> list[Any]:
            found = []
            for _ in range(12):
                found.append(await self.reading_version("a"))
                await sleep(self.env, 0.25)
            return found

        outcomes = self.outcomes(*(write(n) for n in range(5)), *(read() for _ in range(3)))
        for one in outcomes[:5]:
            self.assertIsNone(one)
        for reads in outcomes[5:]:
            for node, data in reads:
                self.assertEqual(versions[node.etag], data)
                self.assertEqual(node.length, len(data))
        last = self.stat("a")
        self.assertEqual(versions[last.etag], self.read("a"))

    def test_readers_of_what_is_written_over(self) -> None:
        """While MOVE and COPY write over a file its readers see the old or the new one."""
        self.write("a", b"old" * 1000)
        for n in range(3):
            self.write(f"n{n}", b"%d" % n * 2000)
        known = {self.read("a"), *(self.read(f"n{n}") for n in range(3))}

        async def read() -> set[bytes]:
            found = set()
            for _ in range(20):
                found.add((await self.reading_version("a"))[1])
                await sleep(self.env, 0.01)
            return found

        works = [read(), self.moving("n0", "a"), read(), self.copying("n1", "a"), read(),
                 self.moving("n2", "a")]  # fmt: skip
        outcomes = self.outcomes(*works)
        for found in outcomes[::2]:
            self.assertLessEqual(found, known)
        self.assertEqual(outcomes[1::2], [False, False, False])
        self.assertEqual(self.names(), ["a", "n1"])

    def test_makers_and_removers(self) -> None:
        """One 201 and one 204 each (DAV-132)."""
        made = self.outcomes(*(self.making("d") for _ in range(MANY)))
        self.assertEqual(kinds(made), [type(None)] + [MethodNotAllowed] * (MANY - 1))
        for key in ("d", "a"):
            self.outcomes(self.writing("a"))
            gone = self.outcomes(*(self.deleting(key) for _ in range(MANY)))
            self.assertEqual(kinds(gone), [type(None)] + [NotFound] * (MANY - 1))

    def test_members_of_what_goes(self) -> None:
        """What is put into a collection that goes is gone with it, or 409 (DAV-133)."""
        for number, take in enumerate((lambda: self.deleting("d"), lambda: self.moving("d", "e"))):
            for seconds in (0, 0.1):
                self.make_collection("d")
                self.write("d/old")
                works = [
                    self.writing("d/slow", self.slow(b"slow", seconds)),
                    self.making("d/made"),
                    take(),
                    self.writing("d/late", b"late"),
                    self.making("d/too"),
                    self.writing("d/old", self.slow(b"new!", seconds)),
                ]
                *_, taken, _, _, _ = outcomes = self.outcomes(*works)
                self.assertNotIsInstance(taken, PigpenError)
                for one in outcomes:
                    if isinstance(one, PigpenError):
                        self.assertIsInstance(one, Conflict)
                self.assertFalse(self.is_there("d"), f"{number} {self.names(deep=True)}")
                for top in self.names():
                    self.run_now(self.deleting(top))

    def test_moves_into_each_other(self) -> None:
        """No cycle, nothing lost (DAV-134)."""
        self.make_collection("a", "b", "c")
        for key in ("a", "b", "c"):
            self.write(f"{key}/{key}")
        moves = [("a", "b/x"), ("b", "c/y"), ("c", "a/z"), ("b", "a/w")]
        for one in self.outcomes(*(self.moving(*move) for move in moves)):
            if isinstance(one, PigpenError):
                self.assertIsInstance(one, Forbidden | NotFound | Conflict)
        names = self.names(deep=True)
        files = sorted(name.rpartition("/")[2] for name in names if not name.endswith("/"))
        self.assertEqual(files, ["a", "b", "c"])

    def test_lockers(self) -> None:
        """One takes an exclusive lock, on a free name too (DAV-135)."""
        self.write("a")
        for key in ("a", "free"):
            outcomes = self.outcomes(*(self.locking(key) for _ in range(MANY)))
            refused = [one for one in outcomes if isinstance(one, PigpenError)]
            self.assertEqual(len(refused), MANY - 1)
            for one in refused:
                self.assertIsInstance(one, Locked)
        outcomes = self.outcomes(*(self.locking("b", LockWish(exclusive=False)) for _ in range(4)))
        self.assertEqual(kinds(outcomes), [tuple] * 4)
        self.assertEqual(sum(made for _, made in outcomes), 1)

    def test_lock_during_an_upload(self) -> None:
        """After LOCK's answer no PUT without its token commits (DAV-135)."""
        self.write("a", b"old")
        self.make_collection("d")
        puts = [self.start(self.writing("a", self.slow(b"new!"))),
                self.start(self.writing("d/new", self.slow(b"new!")))]  # fmt: skip
        self.wait(1.5)
        self.lock("a")
        self.lock("d", infinite=False)
        for put in puts:
            self.assertIsInstance(self.outcome(put), Locked)
        self.assertEqual((self.read("a"), self.names("d")), (b"old", []))

    def test_judged_again_at_the_end(self) -> None:
        """A condition that no longer holds when the last byte is there is 412 (DAV-3)."""
        etag = self.write("a", b"old").node.etag
        terms = ({"match": etag}, {"If": f"([{etag}])"})
        puts = [self.start(self.writing("a", self.slow(b"new!"), **term)) for term in terms]
        self.wait(1.5)
        self.write("a", b"quick")
        for put in puts:
            self.assertIsInstance(self.outcome(put), PreconditionFailed)
        self.assertEqual(self.read("a"), b"quick")

    def test_parent_goes_during_an_upload(self) -> None:
        """What it would lie in was deleted meanwhile: 409, and nothing is left."""
        self.make_collection("d")
        put = self.start(self.writing("d/a", self.slow(b"data")))
        self.wait(1.5)
        self.run_now(self.deleting("d"))
        self.assertIsInstance(self.outcome(put), Conflict)
        self.assertEqual(self.names(), [])

    def test_body_is_asked_for_after_the_verdict(self) -> None:
        """The first byte is asked for when all that can be judged was judged."""
        self.make_collection("d")
        seen: list[bool] = []
        body = AskedBody(on_ask=lambda: seen.append(True))
        self.write("d/a", body)
        self.assertEqual(seen, [True])
