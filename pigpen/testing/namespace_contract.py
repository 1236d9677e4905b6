"""namespace_contract: the behaviour all namespaces share, as tests (DAV-8).

    class MyNamespaceTests(namespace_contract(lambda case: MyNamespace(case.env))):
        pass

``make`` may be a coroutine function, and may bring a world of its own: see `NamespaceCase`. What a
namespace cannot do, by its ``abilities``, is left out.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pigpen.testing.namespace_case import NamespaceCase
from pigpen.testing.namespace_conditions import ConditionTests
from pigpen.testing.namespace_copy_move import TransferTests
from pigpen.testing.namespace_listing import ListingTests
from pigpen.testing.namespace_locks import LockTests
from pigpen.testing.namespace_properties import PropertyTests
from pigpen.testing.namespace_races import RaceTests
from pigpen.testing.namespace_random import RandomTests
from pigpen.testing.namespace_writes import WriteTests

__all__ = ["NamespaceCase", "NamespaceContract", "namespace_contract"]


class NamespaceContract(
    WriteTests,
    ListingTests,
    TransferTests,
    PropertyTests,
    ConditionTests,
    LockTests,
    RaceTests,
    RandomTests,
):
    """All that every namespace does."""


def namespace_contract(
    make: Callable[[NamespaceContract], Any], **settings: Any
) -> type[NamespaceContract]:
    """A base class whose tests a namespace of this kind must pass.

    :param make: gives an empty namespace, or an awaitable of one, and calls ``case.at_end`` for
        what must be closed. :param settings: attributes of `NamespaceCase`: principal, other, many.
    """
    return type("Contract", (NamespaceContract,), {"make": staticmethod(make), **settings})
