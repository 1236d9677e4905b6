"""What was refused far away is refused here, in the same words."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from pigpen import errors
from pigpen.client.refusals import raised
from pigpen.errors import PigpenError, Refused
from pigpen.http.key import Key


def refused(status: int, code: str, **facts: Any) -> PigpenError:
    return raised(Refused(message="Because.", status=status, code=code, **facts))


class RefusalTests(SynchronousTestCase):
    def test_known(self) -> None:
        """Each class comes back as itself, with the sentence of whoever refused."""
        for kind in (
            errors.BadField, errors.Forbidden, errors.NotFound, errors.MethodNotAllowed,
            errors.Conflict, errors.WrongLock, errors.Superseded, errors.PreconditionFailed,
            errors.TooLarge, errors.KeyTooLong, errors.DigestMismatch, errors.Locked,
            errors.LockConflict, errors.TooManyRequests, errors.NoReplica, errors.NoHost,
            errors.InsufficientStorage, errors.QuotaExceeded, errors.NoRoom,
            errors.ElsewhereDestination, errors.RangeNotSatisfiable, errors.CatalogFull,
        ):  # fmt: skip
            made = refused(kind.status, kind.code)
            self.assertIs(type(made), kind)
            self.assertEqual(made.message, "Because.")

    def test_strange(self) -> None:
        """A code that a newer coordinator may have counts by its status."""
        for status, kind in (
            (400, errors.BadRequest), (403, errors.Forbidden), (404, errors.NotFound),
            (409, errors.Conflict), (418, errors.BadRequest), (423, errors.Locked),
            (500, errors.Unavailable), (502, errors.Unavailable), (503, errors.Unavailable),
            (507, errors.InsufficientStorage), (307, errors.BadAnswer),
        ):  # fmt: skip
            self.assertIs(type(refused(status, "new-code")), kind, status)

    def test_facts(self) -> None:
        """Locks in the way are named, and when to come again; nonsense is left out."""
        made = refused(423, "locked", roots=("/a%20b", "/c/", "nonsense"))
        self.assertEqual(made.facts["roots"], (Key(("a b",)), Key(("c",), True)))
        self.assertEqual(refused(503, "no-host", retry_after=7).facts["retry_after"], 7)

    def test_own_words(self) -> None:
        """What speaks to somebody at a command line is said otherwise to a WebDAV client."""
        for error in (
            errors.FileFailed(action="read again", path="the pipe", reason="x"),
            errors.WrongContent(reason="x"),
        ):
            self.assertIs(type(raised(error)), errors.Unavailable)
        lost = errors.ConnectionLost(peer="x", phase="y")
        self.assertIs(raised(lost), lost)
