"""The register check, against a search through all orders. Nothing waits here."""

from __future__ import annotations

import math
import random

from twisted.trial.unittest import SynchronousTestCase

from pigpen.testing.register import History

#: (began, ended, value, whether it is a write); a write that ended never may never have happened
Operation = tuple[float, float, int, bool]


def explained(left: list[Operation], value: int) -> bool:
    """Whether the operations can have happened one by one, from `value` on."""
    if all(write and end == math.inf for _, end, _, write in left):
        return True
    first_end = min(end for _, end, _, _ in left)
    for operation in left:
        began, _, found, write = operation
        if began < first_end and (write or found == value):
            rest = [other for other in left if other is not operation]
            if explained(rest, found):
                return True
    return False


def played(source: random.Random) -> tuple[list[Operation], History[int]]:
    """Some clients at work on a key that mostly, but not always, does what it should."""
    history = History(0)
    done: list[Operation] = []
    running: list[tuple[float, int, bool]] = []
    written, now = 0, 0
    for _ in range(source.randint(4, 16)):
        if running and source.random() < 0.5:
            began, value, write = running.pop(source.randrange(len(running)))
            if write and source.random() < 0.2:
                done.append((began, math.inf, value, True))  # its end is not known
                continue
            if write:
                history.wrote(value)
                now = value
            else:
                value = now if source.random() < 0.7 else source.randint(0, written)
                history.read(value, began)
            done.append((began, history._turn, value, write))
        elif source.random() < 0.4:
            written += 1
            history.writing(written)
            running.append((history._turn, written, True))
        else:
            running.append((history.turn(), 0, False))
    done += [(began, math.inf, value, True) for began, value, write in running if write]
    return done, history


class RegisterTests(SynchronousTestCase):
    def test_like_a_search(self) -> None:
        """It finds fault with those histories that no order explains, and with no others."""
        source = random.Random(1)
        verdicts = {True: 0, False: 0}
        for _ in range(3000):
            operations, history = played(source)
            expected = explained(operations, 0)
            verdicts[expected] += 1
            try:
                history.check()
            except AssertionError:
                self.assertFalse(expected, operations)
            else:
                self.assertTrue(expected, operations)
        self.assertGreater(min(verdicts.values()), 300)

    def test_never_written(self) -> None:
        """A value out of nowhere is named at once; so is one that was refused."""
        history = History(b"")
        self.assertRaises(AssertionError, history.read, b"x", history.turn())
        history.writing(b"y")
        history.read(b"y", history.turn())
        self.assertRaises(AssertionError, history.refused, b"y")

    def test_refused(self) -> None:
        """A write that was refused, and that nobody saw, says nothing."""
        history = History(b"")
        history.writing(b"y")
        history.refused(b"y")
        history.read(b"", history.turn())
        history.check()
