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

from pigpen.client.progress import amounts


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
