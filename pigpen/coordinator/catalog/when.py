"""When: what must hold for a change, judged in the transaction that makes it (CLD-12, DAV-3)."""

from __future__ import annotations

import msgspec

from pigpen.errors import PreconditionFailed
from pigpen.http.conditions import Conditions, Validators


class When(msgspec.Struct, frozen=True, omit_defaults=True):
    """The terms of one call.

    They are kept with an open write, as JSON, and judged again when it is committed.
    """

    conditions: Conditions = Conditions()
    #: the If field as sent (RFC 4918 10.4), its tags paths of the API; joined by ", " if several
    if_field: str | None = None
    #: who sends lock tokens: a token counts only from the user who took the lock (DAV-46)
    principal: str = ""
    #: also find other Unicode spellings of a name (DAV-62)
    loose: bool = False
    #: a PUT makes missing collections
    parents: bool = True


ALWAYS = When()


def check_conditions(when: When, method: str, current: Validators | None) -> None:
    """:raises PreconditionFailed: If-Match and its kin do not hold for what is stored now."""
    if when.conditions.empty:
        return
    if when.conditions.verdict(method, current) is not None:
        raise PreconditionFailed
