"""Serving: what a connection needs of its server; `web.server` is the real one."""

from __future__ import annotations

from typing import Protocol, TypeVar

from pigpen.http.field_lines import FieldLines
from pigpen.http.message import Handler
from pigpen.web.limits import ServerLimits

C = TypeVar("C", contravariant=True)


class Serving(Protocol):
    """For the answers of one connection."""

    handler: Handler
    #: whether no more requests are taken
    draining: bool

    def common_lines(self, fields: FieldLines) -> str:
        """The header lines that every response has."""


class Owner(Serving, Protocol[C]):
    """For its whole life."""

    limits: ServerLimits
    #: the clock, at most a second old
    now: float

    def opened(self, channel: C) -> float:
        """:return: now."""

    def used(self, channel: C) -> None:
        """It has answered a request."""

    def lost(self, channel: C) -> None:
        """It is closed."""
