"""Peers from PyPI, each in a virtual environment of its own: their pins need not fit ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.process import NotMeasured

FOLDER = Path(__file__).parent / ".venvs"
INSTALL_SECONDS = 900


def program(package: str, name: str) -> str:
    """The path of a package's program; the package is installed if it is not there yet.

    :raises NotMeasured: it cannot be installed.
    """
    folder = FOLDER / package
    path = folder / "bin" / name
    if not path.exists():
        _run([sys.executable, "-m", "venv", str(folder)], package)
        _run([str(folder / "bin" / "pip"), "install", "--quiet", package], package)
    if not path.exists():
        raise NotMeasured(f"the package {package} has no program {name}")
    return str(path)


def _run(command: list[str], package: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise NotMeasured(f"{package} cannot be installed: {last}") from None
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"{package} was not installed in {INSTALL_SECONDS} s") from None
