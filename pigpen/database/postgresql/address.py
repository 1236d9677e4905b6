"""Where a PostgreSQL database is, as people write it: postgresql://user@host:5432/name.

libpq takes all up to an "@" before the first slash for login and password, "?" and "#" too, which
other readers of URLs do not.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

SCHEMES: Final = ("postgresql", "postgres")


def is_address(text: str) -> bool:
    """Whether it names a PostgreSQL database, not a file."""
    return text.partition("://")[0] in SCHEMES


def without_password(address: str) -> str:
    """As it may be shown: no login, no password, no options."""
    scheme, _, rest = address.partition("://")
    _, place, _ = _parts(rest)
    return f"{scheme}://{place}"


def has_password(address: str) -> bool:
    _, _, rest = address.partition("://")
    login, _, options = _parts(rest)
    named = (name for name, _ in parse_qsl(options, keep_blank_values=True))
    return ":" in login or any("password" in name.lower() for name in named)


def _parts(rest: str) -> tuple[str, str, str]:
    """Login with password, place, options."""
    login = ""
    if "@" in rest.partition("/")[0]:
        login, _, rest = rest.partition("@")
    place, _, options = rest.partition("?")
    if "@" in place:
        # a password with a slash, which should be %2F: no place, but still a secret
        more, _, place = place.rpartition("@")
        login += more
    return login, place, options
