"""A progress bar on standard error, for people; programs see nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from twisted.internet.interfaces import IReactorTime

#: what is over sooner needs no bar
PATIENCE_SECONDS = 0.3
MAX_LABEL = 30


class ProgressBar:
    """Shows how far a transfer is, if the stream is a terminal; `show` is cheap if not."""

    def __init__(self, stream: TextIO | None, label: str, clock: IReactorTime) -> None:
        """:param stream: None: nobody is to see it."""
        self._stream = stream
        self._label = label if len(label) <= MAX_LABEL else f"...{label[3 - MAX_LABEL :]}"
        self._clock = clock
        self._total: int | None = None
        #: when it is time to show it; None: never
        self._due: float | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def start(self, total: int | None) -> None:
        """:param total: bytes to come; None: unknown."""
        if self._stream is not None and self._stream.isatty():
            self._total = total
            self._due = self._clock.seconds() + PATIENCE_SECONDS

    def show(self, done: int) -> None:
        if self._due is None or (self._bar is None and self._clock.seconds() < self._due):
            return
        if self._bar is None:
            self._open()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)

    def _open(self) -> None:
        from pigpen.client.bar import make_bar

        assert self._stream is not None
        self._bar = make_bar(self._stream, endless=self._total is None)
        self._task = self._bar.add_task(self._label, total=self._total)
        self._bar.start()

    def stop(self) -> None:
        """Take it off the screen; safe to repeat."""
        self._due = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
