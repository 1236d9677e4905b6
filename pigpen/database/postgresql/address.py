"""Where a PostgreSQL database is, as people write it: postgresql://user@host:5432/name."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("postgresql", "postgres")


def is_address(text: str) -> bool:
    """Whether it names a PostgreSQL database, not a file."""
    return text.partition("://")[0] in SCHEMES


def without_password(address: str) -> str:
    """As it may be shown: no login, no password, no options."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def has_password(address: str) -> bool:
    parts = urlsplit(address)
    return parts.password is not None or "password=" in parts.query
