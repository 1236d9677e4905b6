"""Faults to come: which operation fails, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class Killed(BaseException):
    """The simulated process died inside this operation: no code of it may go on."""


@dataclass(slots=True)
class _Rule:
    kind: str | None
    skip: int
    times: int | None
    effect: Callable[[], BaseException | None]


class Faults:
    """Counts operations by kind and breaks the ones it was told to break."""

    def __init__(self) -> None:
        #: all operations so far
        self.count = 0
        self._rules: list[_Rule] = []

    def fail_at(
        self, n: int, error: BaseException, kind: str | None = None, times: int | None = 1
    ) -> None:
        """The n-th operation from now on raises `error`.

        :param n: 1 is the next one. :param kind: count operations of this kind only.
        :param times: how many fail from there; None: all.
        """
        assert n >= 1
        self._rules.append(_Rule(kind, n - 1, times, lambda: error))

    def fail_next(self, error: BaseException, kind: str | None = None) -> None:
        self.fail_at(1, error, kind)

    def fail_always(self, error: BaseException, kind: str | None = None) -> None:
        self.fail_at(1, error, kind, None)

    def call_at(self, n: int, action: Callable[[], object], kind: str | None = None) -> None:
        """Call `action` in place of doing nothing just before the n-th operation."""

        def effect() -> None:
            action()

        self._rules.append(_Rule(kind, n - 1, 1, effect))

    def clear(self) -> None:
        """No more faults."""
        self._rules.clear()

    def check(self, kind: str) -> BaseException | None:
        """Count one operation; the error it must end with."""
        self.count += 1
        found: BaseException | None = None
        for rule in list(self._rules):
            if rule.kind is not None and rule.kind != kind:
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            if rule.times is not None:
                rule.times -= 1
                if rule.times == 0:
                    self._rules.remove(rule)
            found = rule.effect() or found
        return found
