"""Clock readings: our own, told to hosts and said back to us, so that no old write buries a newer.

A host sends a receipt while its client waits. If the network holds that up, the client gets 202
and may store something newer, perhaps through another host, before the receipt comes in. So every
answer to a host carries a reading of our monotonic clock, and a receipt says which reading its host
heard last, and for how long after hearing it the client waits. We took the reading before it was
heard: what we count from it ends before the client's wait does, and no two clocks are compared.
"""

from __future__ import annotations

from pigpen.env import Env, random_id
from pigpen.http import wire

#: a commit that begins this close to the end is late: it would be done too late
MARGIN_SECONDS = 0.5


class Readings:
    """Of one process: another one's mean nothing here."""

    __slots__ = ("_clock", "_name")

    def __init__(self, env: Env) -> None:
        self._clock = env.clock
        self._name = random_id(env)[:16]

    def take(self) -> str:
        return f"{self._name}:{int(self._clock.seconds() * 1000)}"

    def is_late(self, receipt: wire.Receipt) -> bool:
        """Whether its client may have stopped waiting (CLD-34). Safe to call in a thread."""
        if receipt.late or receipt.heard is None or receipt.waits is None:
            return receipt.late
        name, _, taken = receipt.heard.partition(":")
        if name != self._name or not taken.isdecimal():
            return True
        ends = int(taken) / 1000 + receipt.waits
        return self._clock.seconds() > ends - MARGIN_SECONDS
