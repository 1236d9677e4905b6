"""The figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.cases import Case

#: no server of pigpen may need more, in any case
MEMORY_AIM_MIB = 80.0


@dataclass(slots=True)
class Figure:
    """One peer in one case: the numbers of all rounds, or why there are none."""

    peer: str
    numbers: list[float] = field(default_factory=list)
    memory_mib: float = 0.0
    remark: str = ""
    not_measured: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.numbers) if self.numbers else 0.0


@dataclass(slots=True)
class Outcome:
    """A case with the figures of all its peers."""

    case: Case
    figures: list[Figure]

    def ours(self) -> Figure | None:
        return next((each for each in self.figures if each.peer == "pigpen" and each.numbers), None)

    def ratio(self, figure: Figure) -> float | None:
        """Pigpen's number in units of another's."""
        ours = self.ours()
        if ours is None or not figure.numbers:
            return None
        return ours.median / figure.median

    def aim(self, figure: Figure) -> str:
        """What was aimed for beside this peer, and whether it was reached."""
        if figure.peer == "pigpen":
            aim, seen = self.case.aims.get(""), figure.median
        else:
            aim, seen = self.case.aims.get(figure.peer), self.ratio(figure) or 0.0
        if aim is None or not figure.numbers or self.ours() is None:
            return ""
        return f"{'reached' if seen >= aim else 'MISSED'} (aim {aim:g})"


def table(outcomes: Sequence[Outcome]) -> str:
    """Plain text, at most 100 columns wide but for remarks."""
    lines = []
    for outcome in outcomes:
        lines += ["", f"{outcome.case.title}  [{outcome.case.name}]"]
        lines.append(f"  {'':12}{outcome.case.unit:>12}{'pigpen is':>12}{'memory':>12}   ")
        lines += [_row(outcome, figure) for figure in outcome.figures]
    return "\n".join(lines)


def _row(outcome: Outcome, figure: Figure) -> str:
    if not figure.numbers:
        return f"  {figure.peer:12}not measured: {figure.not_measured}"
    ratio = outcome.ratio(figure) if figure.peer != "pigpen" else None
    times = f"{ratio:.2f}x" if ratio is not None else ""
    memory = f"{figure.memory_mib:.0f} MiB"
    if figure.peer == "pigpen" and figure.memory_mib > MEMORY_AIM_MIB:
        memory += "!"
    remarks = "; ".join(part for part in (outcome.aim(figure), figure.remark) if part)
    return f"  {figure.peer:12}{figure.median:>12,.0f}{times:>12}{memory:>12}   {remarks}".rstrip()


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def write_json(path: Path, outcomes: Sequence[Outcome], facts: dict[str, object]) -> None:
    cases = [
        {
            "name": outcome.case.name,
            "title": outcome.case.title,
            "unit": outcome.case.unit,
            "figures": [
                {**asdict(figure), "median": figure.median, "pigpen_ratio": outcome.ratio(figure)}
                for figure in outcome.figures
            ],
        }
        for outcome in outcomes
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **facts, "cases": cases}, indent=2) + "\n")
