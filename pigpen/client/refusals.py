"""Refusals of the coordinator and of hosts as the errors they were raised as (DAV-4)."""

from __future__ import annotations

from typing import Final

from pigpen import errors
from pigpen.errors import (
    BadAnswer,
    BadKey,
    FileFailed,
    KeyTooLong,
    NoAnswer,
    PigpenError,
    Refused,
    Unavailable,
    WrongContent,
)
from pigpen.http.key import Key

#: what only programs say, about themselves
_OWN: Final = frozenset({"config", "refused", "file", "wrong-content", "unknown"})


def _known() -> list[type[PigpenError]]:
    """Every class of errors, a general one before those that are more special."""
    found = [one for one in vars(errors).values() if isinstance(one, type)]
    kinds = [one for one in found if issubclass(one, PigpenError)]
    return [one for one in kinds if one.code not in _OWN and not issubclass(one, NoAnswer)]


_BY_CODE: Final = {(kind.status, kind.code): kind for kind in _known()}
_BY_STATUS: Final = {
    kind.status: kind
    for kind in reversed(_known())
    if kind.status < 500 or kind in {Unavailable, errors.InsufficientStorage}
}


def raised(error: PigpenError) -> PigpenError:
    """What a caller of a namespace is told, with the sentence of whoever refused.

    A 5xx that is nothing special is Unavailable: nobody knows more. An error that is no refusal is
    given back, but for those that speak to somebody who runs `pigpen get` or `put`.
    """
    if isinstance(error, FileFailed):
        return Unavailable(reason="the connection to a host was cut, and nothing was stored")
    if isinstance(error, WrongContent):
        return Unavailable(reason="what hosts sent is not this version, or not all of it")
    if not isinstance(error, Refused):
        return error
    status, code = int(str(error.facts["status"])), str(error.facts["code"])
    if not 400 <= status <= 599:
        return BadAnswer(peer="The coordinator", reason=f"it says {status}")
    kind = _BY_CODE.get((status, code)) or _BY_STATUS.get(status)
    if kind is None:
        kind = Unavailable if status >= 500 else errors.BadRequest
    made = kind(said=error.message, allow=error.facts.get("allow", ""), length="*")
    if error.facts.get("retry_after") is not None:
        made.facts["retry_after"] = error.facts["retry_after"]
    if error.facts.get("roots"):
        made.facts["roots"] = _keys(error.facts["roots"])
    return made


def _keys(paths: object) -> tuple[Key, ...]:
    found: list[Key] = []
    for path in paths if isinstance(paths, tuple) else ():
        try:
            found.append(Key.from_path(path))
        except (BadKey, KeyTooLong):
            continue
    return tuple(found)
