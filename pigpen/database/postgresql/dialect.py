"""Dialect: the SQL of rules, which is SQLite's, in PostgreSQL's words.

No sequences, notifications or advisory locks: it is for YugabyteDB and CockroachDB too.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

#: inner parentheses are in none of them
_WORDS: Final = (
    (
        re.compile(r"json_group_array\(json_array\(([^()]*)\)\)"),
        r"coalesce(CAST(json_agg(json_build_array(\1)) AS TEXT), '[]')",
    ),
    (re.compile(r"group_concat\(([^()]*)\)"), r"string_agg(CAST(\1 AS TEXT), ',')"),
    (re.compile(r"length\(CAST\(([^()]*) AS BLOB\)\)"), r"octet_length(\1)"),
    (
        re.compile(r"SELECT value FROM json_each\(\?\)"),
        "SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(? AS JSON)) AS l(value)",
    ),
)
_PLACE = re.compile(r"\?([0-9]*)")

#: numbers have 64 bits, texts are compared by their bytes
_TYPES: Final = {"INTEGER": "BIGINT", "BLOB": "BYTEA", "TEXT": 'TEXT COLLATE "C"'}
_TYPE = re.compile(r"\b(INTEGER|BLOB|TEXT)\b")
_TABLE_OPTIONS = re.compile(r"\) STRICT(, WITHOUT ROWID)?;")


@lru_cache(maxsize=1024)
def translate(sql: str) -> str:
    """A statement with ``$1``, ``$2``... for its values."""
    for words, others in _WORDS:
        sql = words.sub(others, sql)
    count = 0

    def place(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f"${match[1] or count}"

    return _PLACE.sub(place, sql)


def translate_schema(statement: str) -> str:
    """A statement of a schema file."""
    typed = _TYPE.sub(lambda match: _TYPES[match[1]], statement)
    return _TABLE_OPTIONS.sub(");", typed)
