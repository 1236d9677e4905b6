"""The changes of one commit: each whole or not at all, whatever becomes of the others.

A savepoint for each change costs a copy of every page that it touches, and most changes judge first
and change rows then. So they run without; if one is refused after it has changed some rows, the
transaction begins anew, with savepoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from pigpen.database.batches import Call
from pigpen.database.transaction import Transaction


class Writer(Protocol):
    """A connection that changes rows, in a transaction that has begun."""

    @property
    def changes(self) -> int:
        """Rows changed so far; any number that grows with them."""

    def mark(self) -> None:
        """Begin a savepoint."""

    def keep(self) -> None:
        """End the savepoint."""

    def undo(self) -> None:
        """Forget what was done since `mark`."""

    def is_fatal(self, error: Exception) -> bool:
        """Whether the whole transaction failed by an error."""

    def spoils(self, error: Exception) -> bool:
        """Whether an error that is not fatal ends the transaction all the same."""


def run_changes(
    writer: Writer,
    transaction: Transaction,
    taken: Iterable[Call],
    begin_again: Callable[[], None],
) -> None:
    """Run changes as they are asked for, and set the result or error of each.

    :param begin_again: undoes all so far, in the same transaction or a new one.
    :raises Exception: what is fatal to all of them.
    """
    calls: list[Call] = []
    whole = True
    for call in taken:
        calls.append(call)
        if not whole:
            _run_marked(writer, transaction, call)
        elif not _run_whole(writer, transaction, call):
            whole = False
            _run_again(writer, transaction, calls, begin_again)


def _run_whole(writer: Writer, transaction: Transaction, call: Call) -> bool:
    """:return: whether the transaction can go on with all the change did."""
    before = writer.changes
    _run(writer, transaction, call)
    if call.error is None:
        return True
    return writer.changes == before and not writer.spoils(call.error)


def _run_again(
    writer: Writer, transaction: Transaction, calls: list[Call], begin_again: Callable[[], None]
) -> None:
    begin_again()
    for call in calls:
        _run_marked(writer, transaction, call)


def _run_marked(writer: Writer, transaction: Transaction, call: Call) -> None:
    writer.mark()
    _run(writer, transaction, call)
    if call.error is not None:
        writer.undo()
    writer.keep()


def _run(writer: Writer, transaction: Transaction, call: Call) -> None:
    call.result = call.error = None
    try:
        call.result = call.function(transaction, *call.arguments)
    except Exception as error:
        if writer.is_fatal(error):
            raise
        call.error = error
