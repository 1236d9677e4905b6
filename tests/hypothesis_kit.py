"""Hypothesis as all tests use it: the same examples each time, and few of them."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

__all__ = ["assume", "example", "given", "settings", "st", "tokens"]

settings.register_profile(
    "pigpen",
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    # the tests of the catalog's rules run over SQLite and, as another class, over PostgreSQL
    suppress_health_check=[HealthCheck.differing_executors],
)
settings.load_profile("pigpen")

#: RFC 9110 5.6.2
tokens = st.text("abcxyzABC019!#$&+.^_`|~*-", min_size=1, max_size=10)
