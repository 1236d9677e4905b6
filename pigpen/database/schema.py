"""Numbered schema files: the SQL of each step, in SQLite's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from importlib import resources

from pigpen.errors import ConfigError


def read_schema(package: str) -> dict[int, str]:
    """The SQL of each schema number that a package has in its folder ``schema``."""
    folder = resources.files(package) / "schema"
    return {
        int(file.name.removesuffix(".sql")): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


def check_known(number: int, name: str, files: Mapping[int, str]) -> None:
    """:raises ConfigError: a newer program made this database; nothing was touched."""
    if number > max(files):
        reason = f"its schema {number} is newer than this program: install a newer pigpen"
        raise ConfigError(path=name, reason=reason)


def check_old_enough(number: int, name: str, files: Mapping[int, str], user: str) -> None:
    """:raises ConfigError: a service runs on an older schema, so nothing may be done beside it."""
    if number < max(files):
        reason = f"the {user} that runs is older than this program: start it again first"
        raise ConfigError(path=name, reason=reason)


def statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
