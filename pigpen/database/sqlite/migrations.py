"""Numbered schema files, applied in order, each in one transaction, after a backup (REL-U1)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from pigpen.database.schema import statements


def schema_number(connection: sqlite3.Connection) -> int:
    """The schema a database has; 0: none yet."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"
    if connection.execute(query).fetchone() is None:
        return 0
    number: int | None = connection.execute("SELECT max(number) FROM schema_version").fetchone()[0]
    return number or 0


def migrate(connection: sqlite3.Connection, path: str, files: Mapping[int, str]) -> str | None:
    """Bring a database to the newest schema.

    :return: the path of the backup made before; None if there was nothing to keep or to do.
    """
    number = schema_number(connection)
    missing = [step for step in sorted(files) if step > number]
    if not missing:
        return None
    backup = _back_up(connection, path, number) if number else None
    for step in missing:
        _apply(connection, step, files[step])
    return backup


def _back_up(connection: sqlite3.Connection, path: str, number: int) -> str:
    attempt = 0
    while True:
        name = f"{path}.backup-{number}" + (f".{attempt}" if attempt else "")
        try:
            connection.execute("VACUUM INTO ?", (name,))
        except sqlite3.OperationalError as error:
            if "already exists" not in str(error):  # an earlier, interrupted migration's
                raise
            attempt += 1
        else:
            return name


def _apply(connection: sqlite3.Connection, step: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements(script):
            connection.execute(statement)
        connection.execute("INSERT INTO schema_version (number) VALUES (?)", (step,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
