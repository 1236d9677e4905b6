"""More gateways beside solo's, each with options of its own, and servers of other namespaces.

Each is started for the first test that wants it, and stopped when all tests have ended.
"""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from pathlib import Path

from pigpen.dav.users import user_lines
from tests.functional.cloud import Part
from tests.functional.processes import shared_solo
from tests.functional.solo import free_ports

USER, PASSWORD = "ann", "correct horse"

_shared: dict[tuple[str, ...], Part] = {}


class Program(Part):
    """A module of the tests that serves something: told a folder and a port."""

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", self.name, str(self.folder), str(self.port)]


def gateway_to(home: Path, *options: str) -> Part:
    """A gateway to the cloud of ``~/.pigpen``, not started yet."""
    [port] = free_ports(1)
    gateway = Part(home, "runserver", port, "Listening on")
    gateway.folder = None
    gateway.options = list(options)
    gateway.log_to(f"runserver{port}.log")
    return gateway


def shared_gateway(*options: str) -> Part:
    """To the shared solo."""
    if options not in _shared:
        _start(options, gateway_to(shared_solo().home, *options))
    return _shared[options]


def shared_program(name: str) -> Part:
    """:param name: of a module here."""
    if (name,) not in _shared:
        folder = Path(tempfile.mkdtemp(prefix="pigpen-test-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        [port] = free_ports(1)
        _start((name,), Program(folder, f"tests.functional.{name}", port, "listening"))
    return _shared[(name,)]


def users_file() -> Path:
    """With one user, as htdigest makes it."""
    path = shared_solo().home / "users"
    if not path.exists():
        path.touch(0o600)
        path.write_text(user_lines(USER, PASSWORD))
    return path


def _start(name: tuple[str, ...], part: Part) -> None:
    atexit.register(part.kill)
    part.start()
    _shared[name] = part
