"""Property changes: what becomes of what a PROPPATCH or MKCOL sets: all, or none (DAV-17).

Where one fails, it says why, and the others that they depend on it (424).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pigpen.dav import live_properties
from pigpen.dav.multistatus import name_element, propstat
from pigpen.dav.xml import children, dav, inner_text
from pigpen.dav.xml_bodies import Name
from pigpen.errors import PigpenError
from pigpen.http.elements import parse_element
from pigpen.http.fields import parse_date
from pigpen.http.namespace import MAX_VALUE_BYTES, Ability, Changes, Property

#: of a namespace, and of a name: the coordinator's API takes no longer ones
MAX_NAME_CHARACTERS: Final = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one property cannot be set. ``condition``: the RFC 4918 element, if one fits."""

    status: int
    condition: str | None = None

    @classmethod
    def of(cls, error: PigpenError) -> Failure:
        return cls(error.status, error.condition)


PROTECTED = Failure(403, "cannot-modify-protected-property")
#: nothing but collections is made by MKCOL (RFC 5689 3.3)
NO_COLLECTION = Failure(403, "valid-resourcetype")
#: the value makes no sense (RFC 4918 9.2.1)
SENSELESS = Failure(409)
UNSUPPORTED = Failure(403)
TOO_LARGE = Failure(507)
DEPENDENT = Failure(424)


@dataclass(slots=True)
class Plan:
    """What a namespace is asked for, or which properties keep that from being done.

    ``modified``: the Last-Modified that is set, ms since 1970.
    """

    names: dict[Name, None] = field(default_factory=dict)
    kept: list[Property] = field(default_factory=list)
    modified: int | None = None
    failures: dict[Name, Failure] = field(default_factory=dict)

    @property
    def changes(self) -> Changes:
        return tuple(self.kept)

    def fail_all_set(self, failure: Failure) -> None:
        """The namespace refused them, and cannot say which."""
        for change in self.kept:
            if change.value is not None:
                self.failures[change.namespace, change.name] = failure

    def propstats(self) -> str:
        """What became of each property, those with one fate together."""
        rest = DEPENDENT if self.failures else Failure(200)
        fates: dict[Failure, list[str]] = {}
        for name in self.names:
            elements = fates.setdefault(self.failures.get(name, rest), [])
            elements.append(name_element(*name))
        if not fates:
            return propstat(200, "")
        return "".join(
            propstat(fate.status, "".join(elements), fate.condition)
            for fate, elements in fates.items()
        )


def plan_of(changes: Changes, abilities: frozenset[Ability], *, making: bool = False) -> Plan:
    """:param making: for a collection that is about to be made."""
    plan = Plan()
    for change in changes:
        name = change.namespace, change.name
        plan.names[name] = None
        failure = _add(plan, change, abilities, making=making)
        if failure is not None:
            plan.failures.setdefault(name, failure)
    return plan


def _add(
    plan: Plan, change: Property, abilities: frozenset[Ability], *, making: bool
) -> Failure | None:
    name = change.namespace, change.name
    can_set_time = Ability.MODIFIED in abilities
    if making and name == live_properties.KIND:
        return _judge_kind(change)
    if name == live_properties.MODIFIED or (
        name == live_properties.WIN32_MODIFIED and can_set_time
    ):
        return _add_time(plan, name, change) if can_set_time and not making else PROTECTED
    if name in live_properties.PROTECTED:
        return PROTECTED
    if Ability.PROPERTIES not in abilities:
        return UNSUPPORTED
    if max(map(len, name)) > MAX_NAME_CHARACTERS:
        return TOO_LARGE
    if len((change.value or "").encode()) > MAX_VALUE_BYTES:
        return TOO_LARGE
    plan.kept.append(change)
    return None


def _judge_kind(change: Property) -> Failure | None:
    assert change.value is not None, "MKCOL removes nothing"
    kinds = children(parse_element(change.value))
    return None if [kind.tag for kind in kinds] == [dav("collection")] else NO_COLLECTION


def _add_time(plan: Plan, name: Name, change: Property) -> Failure | None:
    if change.value is None:  # Last-Modified cannot be without; of the other nothing was kept
        return PROTECTED if name == live_properties.MODIFIED else None
    seconds = parse_date(inner_text(parse_element(change.value)))
    if seconds is None:
        return SENSELESS
    plan.modified = seconds * 1000
    return None
