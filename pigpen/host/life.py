"""Life: a host's session with its coordinator (CLD-70, CLD-71).

Pure: what happens is an input, what is to be done a call of `Effects`. The table:

    new          start -> registering
    registering  accepted -> online · failed -> registering, later
    online       beat -> online · failed -> cut off · fenced -> registering · changed: beats at once
    cut off      beat -> online · failed -> cut off · fenced -> registering
    any          stop -> stopped, for good
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from automat import TypeMachineBuilder

if TYPE_CHECKING:
    from automat._typed import TypedState


class Life(Protocol):
    """What happens to a host."""

    def start(self) -> None: ...

    def accepted(self) -> None:
        """The coordinator opened a session."""

    def failed(self) -> None:
        """It gave no answer, or cannot help now."""

    def fenced(self) -> None:
        """It knows our session no more: another start, or the other side of a restore."""

    def beat(self) -> None:
        """It acknowledged a heartbeat."""

    def changed(self) -> None:
        """Our own state changed: it should hear at once."""

    def stop(self) -> None: ...


class Effects(Protocol):
    """What is to be done about it."""

    def register(self) -> None: ...

    def register_later(self) -> None: ...

    def come_online(self) -> None: ...

    def go_offline(self) -> None: ...

    def beat_now(self) -> None: ...

    def beat_later(self) -> None: ...

    def be_still(self) -> None:
        """Stop all timers."""


def _come_online(life: Life, effects: Effects) -> None:
    effects.come_online()
    effects.beat_later()


def _go_offline(life: Life, effects: Effects) -> None:
    effects.go_offline()
    effects.beat_later()


def _begin_again(life: Life, effects: Effects) -> None:
    effects.go_offline()
    effects.register()


def _build() -> Callable[[Effects], Life]:
    # type-abstract: a Protocol tells Automat's annotations as much as a class does
    builder = TypeMachineBuilder(Life, Effects)  # type: ignore[type-abstract]
    new = builder.state("new")
    registering = builder.state("registering")
    online = builder.state("online")
    cut_off = builder.state("cut off")
    stopped = builder.state("stopped")

    new.upon(Life.start).to(registering)(lambda life, effects: effects.register())
    registering.upon(Life.accepted).to(online)(_come_online)
    registering.upon(Life.failed).loop()(lambda life, effects: effects.register_later())
    online.upon(Life.beat).loop()(lambda life, effects: effects.beat_later())
    online.upon(Life.failed).to(cut_off)(_go_offline)
    online.upon(Life.changed).loop()(lambda life, effects: effects.beat_now())
    online.upon(Life.fenced).to(registering)(_begin_again)
    cut_off.upon(Life.beat).to(online)(_come_online)
    cut_off.upon(Life.failed).loop()(lambda life, effects: effects.beat_later())
    cut_off.upon(Life.fenced).to(registering)(_begin_again)
    for state in (new, registering, online, cut_off):
        state.upon(Life.stop).to(stopped)(lambda life, effects: effects.be_still())

    def ignore(what: Callable[[Life], None], *states: TypedState[Life, Effects]) -> None:
        for state in states:
            state.upon(what).loop().returns(None)

    # what comes late, or says nothing new
    ignore(Life.start, registering, online, cut_off, stopped)
    ignore(Life.accepted, new, online, cut_off, stopped)
    ignore(Life.failed, new, stopped)
    ignore(Life.fenced, new, registering, stopped)
    ignore(Life.beat, new, registering, stopped)
    ignore(Life.changed, new, registering, cut_off, stopped)
    ignore(Life.stop, stopped)
    return builder.build()


make_life = _build()
