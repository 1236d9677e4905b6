"""Setup: the tables of a database at a server, and what durability rests on there (REL 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from psycopg.errors import DuplicateTable, SerializationFailure, UniqueViolation
from twisted.logger import Logger

from pigpen.database import schema as schema_files
from pigpen.database.postgresql.dialect import translate_schema
from pigpen.database.schema import check_known, statements
from pigpen.database.transaction import Transaction
from pigpen.errors import ConfigError

#: a commit that returned does not survive a power cut if one of them is off
_DURABLE: Final = ("fsync", "synchronous_commit", "full_page_writes")


class Setup:
    """Rules that are run once, when a database is opened."""

    def __init__(self, name: str, schema: Mapping[int, str], user: str, log: Logger) -> None:
        """:param name: for messages. :param user: the service that uses it."""
        self._name = name
        self._schema = schema
        self._user = user
        self._log = log

    def prepare(self, tx: Transaction) -> None:
        """Look at the server, and make the tables if there are none.

        :raises ConfigError: a newer program made them, or texts are not kept as UTF-8.
        """
        encoding = tx.one("SHOW server_encoding")
        if encoding is not None and encoding[0].upper() not in {"UTF8", "UTF-8"}:
            reason = f"it keeps texts as {encoding[0]}; make one with ENCODING 'UTF8'"
            raise ConfigError(path=self._name, reason=reason)
        for setting in _DURABLE:
            # a server that does not know a setting gives NULL
            row = tx.one("SELECT current_setting(?, true)", setting)
            if row is not None and row[0] == "off":
                self._log.warn(
                    "{name} has {setting} off: a power cut there loses what was acknowledged",
                    name=self._name,
                    setting=setting,
                )
        if not self._number(tx):
            try:
                self.migrate(tx)
            except (DuplicateTable, UniqueViolation):
                # somebody else makes them in the same moment: see what came of it
                raise SerializationFailure from None
        check_known(self._number(tx), self._name, self._schema)

    def check_old_enough(self, tx: Transaction) -> None:
        """:raises ConfigError: the service that may run on it is of an older program."""
        schema_files.check_old_enough(self._number(tx), self._name, self._schema, self._user)

    def migrate(self, tx: Transaction) -> None:
        """Bring the tables to the newest schema, in this one transaction (REL-U1)."""
        number = self._number(tx)
        for step in sorted(self._schema):
            if step > number:
                for statement in statements(self._schema[step]):
                    tx.run(translate_schema(statement))
                tx.run("INSERT INTO schema_version (number) VALUES (?)", step)

    def _number(self, tx: Transaction) -> int:
        """The schema it has; 0: none yet."""
        there = tx.one(
            "SELECT 1 FROM information_schema.tables"
            " WHERE table_schema = current_schema() AND table_name = 'schema_version'"
        )
        row = None if there is None else tx.one("SELECT max(number) FROM schema_version")
        return 0 if row is None else row[0] or 0
