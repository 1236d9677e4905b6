"""Lease: which coordinator writes to a database, among all that could (CLD-92).

One row of ``leases``. Its holder gives it a new ``expires`` in every commit, so

* one that was taken for dead finds the row another's, and can change nothing more;
* when a connection is lost in a COMMIT, the row says whether it happened.

No clocks are compared: a lease has ended if it did not change for LEASE_SECONDS of the one who
waits for it.
"""

from __future__ import annotations

from typing import Final

from pigpen.database.transaction import Row, Transaction
from pigpen.errors import Unavailable

#: after which the lease of a process that was killed is another's
LEASE_SECONDS: Final = 10
#: of a holder that has nothing to commit
RENEW_SECONDS: Final = 3
#: ``expires`` of a lease that was given back
FREE: Final = 0


class LeaseLost(Unavailable):
    """Another coordinator has taken the catalog over."""


class Lease:
    """The claim of one process. The methods are rules, for a transaction each."""

    def __init__(self, name: str, holder: str) -> None:
        """:param holder: nobody else's."""
        self._name = name
        self._holder = holder
        self._stamp = 0
        self.is_lost = False

    def take(self, tx: Transaction, ended: Row | None = None) -> Row | None:
        """Take it if it is free.

        :param ended: what another process left: taken from it if it is still so.
        :return: None: it is ours; else what there is, for a later try.
        """
        row = tx.one("SELECT holder, expires FROM leases WHERE name = ?", self._name)
        if row is None:
            tx.run("INSERT INTO leases (name, holder, expires) VALUES (?, '', 0)", self._name)
        elif row[1] != FREE and row != ended:
            return row
        tx.run(
            "UPDATE leases SET holder = ?, expires = ? WHERE name = ?",
            self._holder,
            self._next(tx),
            self._name,
        )
        return None

    def renew(self, tx: Transaction) -> None:
        """Once in every transaction that changes something. :raises LeaseLost: for good."""
        kept = tx.run(
            "UPDATE leases SET expires = ? WHERE name = ? AND holder = ?",
            self._next(tx),
            self._name,
            self._holder,
        )
        if not kept:
            self.is_lost = True
            raise LeaseLost

    def is_done(self, tx: Transaction) -> bool:
        """Whether the transaction that renewed it last has been committed.

        One that the server is still committing is waited for.
        """
        row = tx.one(
            "SELECT expires FROM leases WHERE name = ? AND holder = ? FOR UPDATE",
            self._name,
            self._holder,
        )
        return row is not None and row[0] == self._stamp

    def give_back(self, tx: Transaction) -> None:
        """The next one need not wait."""
        tx.run(
            "UPDATE leases SET expires = ? WHERE name = ? AND holder = ?",
            FREE,
            self._name,
            self._holder,
        )

    def _next(self, tx: Transaction) -> int:
        """A number of ``expires`` that no transaction of ours had before."""
        self._stamp = max(tx.now + LEASE_SECONDS * 1000, self._stamp + 1)
        return self._stamp
