"""Changes: the transactions of one connection that change something, and when to try them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import psycopg

from pigpen.database.postgresql.lease import Lease
from pigpen.database.postgresql.link import Link, Unreachable, is_lost, is_met
from pigpen.database.transaction import Transaction
from pigpen.errors import Unavailable

T = TypeVar("T")

#: of one transaction, the first included (CLD-101)
TRIES: Final = 5


class CommitUnknown(Unavailable):
    """The {noun} went away in the middle of a change: look whether it was done."""


class Changes:
    """Blocks: called in one thread at a time."""

    def __init__(
        self, link: Link, make_transaction: Callable[[Link], Transaction], noun: str
    ) -> None:
        """:param noun: what users know the database as."""
        self.link = link
        #: None: another process may change the database too
        self.lease: Lease | None = None
        self._make_transaction = make_transaction
        self._noun = noun

    @property
    def is_over(self) -> bool:
        """Whether another process has taken over: nothing can be changed any more."""
        return self.lease is not None and self.lease.is_lost

    def run(self, rule: Callable[[Transaction], T]) -> T:
        """Run a rule in a transaction of its own; it happened once, or not at all.

        :raises psycopg.Error: it failed for good. :raises Unreachable: the server is away.
        :raises LeaseLost: see `is_over`. :raises CommitUnknown: the server went away meanwhile.
        """

        def attempt() -> T:
            result = rule(self._begin())
            self._commit()
            return result

        return self._tried(attempt)

    def begin_again(self) -> None:
        """In a rule that `run` runs: undo all so far.

        The lease is renewed once more: else nobody would know that it is ours still, nor what
        became of the COMMIT.
        """
        self.link.rollback()
        self._begin()

    def _tried(self, attempt: Callable[[], T]) -> T:
        """Until it neither meets another transaction nor loses its connection."""
        for number in range(TRIES):
            try:
                return attempt()
            except psycopg.Error as error:
                if number == TRIES - 1 or not (is_met(error) or is_lost(error)):
                    raise
            finally:
                self.link.rollback()
        raise AssertionError("the last attempt returns or raises")

    def _begin(self) -> Transaction:
        self.link.begin()
        transaction = self._make_transaction(self.link)
        if self.lease is not None:
            self.lease.renew(transaction)
        return transaction

    def _commit(self) -> None:
        try:
            self.link.commit()
        except psycopg.Error as error:
            if not is_lost(error):
                raise  # it did not happen
            self.link.drop()
            if not self._was_done(error):
                raise

    def _was_done(self, error: psycopg.Error) -> bool:
        """Whether a COMMIT that lost its connection happened."""
        lease = self.lease
        unknown = CommitUnknown(noun=self._noun)
        if lease is None:
            raise unknown from error

        def ask() -> bool:
            self.link.begin()
            return lease.is_done(self._make_transaction(self.link))

        try:
            return self._tried(ask)
        except (psycopg.Error, Unreachable):
            raise unknown from error
