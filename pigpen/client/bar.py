"""How the progress bar looks; imported only where there is one, as rich takes its time."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pigpen.config import format_size


class _Amounts(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = None if task.total is None else int(task.total)
        return Text(amounts(int(task.completed), total, task.speed))


def make_bar(stream: TextIO, *, endless: bool) -> Progress:
    """:param endless: nobody knows how much is to come."""
    label = TextColumn("{task.description}", markup=False)
    if endless:
        columns: list[ProgressColumn] = [SpinnerColumn("line"), label, _Amounts()]
    else:
        columns = [label, BarColumn(), _Amounts(), TimeRemainingColumn()]
    return Progress(
        *columns,
        console=Console(file=stream),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def amounts(done: int, total: int | None, speed: float | None) -> str:
    """ "0.3 of 1.0 GiB, 480.0 MiB/s" """
    text = format_size(done)
    if total is not None:
        end = format_size(total)
        number, _, unit = text.partition(" ")
        text = f"{number if end.endswith(unit) and unit != 'B' else text} of {end}"
    return text if not speed else f"{text}, {format_size(int(speed))}/s"
