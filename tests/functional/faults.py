"""Faults of the operating system: calls that fail or kill, disks that are small or lose power.

They need root and strace; a machine that does not let us skips the test and says why.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest


@contextlib.contextmanager
def strace(pid: int, call: str, fault: str) -> Iterator[None]:
    """Meddle with a running process: `fault` as ``signal=KILL:when=2``, counted from now on."""
    if shutil.which("strace") is None:
        raise SkipTest("strace is not installed")
    tracer = subprocess.Popen(
        ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{fault}",
         "-p", str(pid)],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert tracer.stderr is not None
    try:
        said = tracer.stderr.readline()
        if b"attached" not in said:
            raise SkipTest(f"strace cannot be used here: {said.decode()}")
        yield
    finally:
        tracer.terminate()
        try:
            tracer.communicate(timeout=0.3)
        except subprocess.TimeoutExpired:  # it waits for threads that died under it
            tracer.kill()
            tracer.communicate()


def strace_from_start(call: str, fault: str) -> list[str]:
    """What to set before a command, to meddle with it; calls are counted in each thread."""
    if shutil.which("strace") is None:
        raise SkipTest("strace is not installed")
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
            "-e", f"inject={call}:{fault}"]  # fmt: skip


def mount_small(folder: Path, size: str) -> None:
    """A disk in memory."""
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "pigpen-test", str(folder))


def mount_full(folder: Path) -> None:
    """A disk without room for a single byte."""
    mount_small(folder, "64k")
    with (folder / "all").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def mount_image(image: Path, folder: Path) -> None:
    """A disk in a file, made if it is not there. Nothing is written to it unasked for a minute."""
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(96 * 2**20)
        _run("mkfs.ext4", "-qF", str(image))
    folder.mkdir(parents=True)
    _mount("-o", "loop,commit=60", str(image), str(folder))


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def cut_power(image: Path, copy: Path) -> None:
    """What a power cut now would leave of a mounted image; the copy is what to go on with."""
    _run("cp", "--sparse=always", str(image), str(copy))


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        raise SkipTest(f"nothing can be mounted here: {done.stderr.decode()}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
