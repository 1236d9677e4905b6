"""The connection that changes rows of an SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3

#: the file can be used after these: only the call that met one fails
_OWN_FAULTS = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_MISUSE,
    None,
}


class SqliteWriter:
    """A `Writer` over SQLite."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def changes(self) -> int:
        return self._connection.total_changes

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        self._connection.execute("ROLLBACK")

    def begin_again(self) -> None:
        self.rollback()
        self.begin()

    def end(self) -> None:
        """Whatever happened, leave no transaction open."""
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.rollback()

    def mark(self) -> None:
        self._connection.execute("SAVEPOINT change")

    def keep(self) -> None:
        self._connection.execute("RELEASE change")

    def undo(self) -> None:
        self._connection.execute("ROLLBACK TO change")

    def is_fatal(self, error: Exception) -> bool:
        return is_fatal(error)

    def spoils(self, error: Exception) -> bool:
        return False


def is_fatal(error: Exception) -> bool:
    """Whether it says something of the file, not of the statement that met it."""
    return isinstance(error, sqlite3.Error) and primary_code(error) not in _OWN_FAULTS


def primary_code(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
