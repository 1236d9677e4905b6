"""The load: wrk for many small requests, curl for one large one; always on its own core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import LOAD_CORE, NotMeasured, pinned

CONNECTIONS = 32
_SCRIPT = str(Path(__file__).with_name("load.lua"))
_FIVE = (
    '<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/>'
    "<D:getlastmodified/><D:getetag/><D:getcontenttype/></D:prop></D:propfind>"
)


@dataclass(frozen=True, slots=True)
class Rate:
    """What wrk saw."""

    per_second: float
    p50_ms: float
    p99_ms: float


def many(
    url: str,
    paths: Iterable[str],
    *,
    seconds: float,
    method: str = "GET",
    size: int = 0,
    headers: Sequence[str] = (),
    connections: int = CONNECTIONS,
) -> Rate:
    """Requests a second over kept-alive connections, taking the paths in turn.

    :param size: bytes of each request's body.
    :raises NotMeasured: answers of 400 and above, errors, or no answer at all.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".paths") as listing:
        listing.writelines(path + "\n" for path in paths)
        listing.flush()
        script = ["-s", _SCRIPT, url, "--", listing.name, method, str(size), *headers]
        span = f"-d{max(1, round(seconds))}s"
        command = ["wrk", "-t1", f"-c{connections}", span, "--timeout", "60s", *script]
        output = run(command, seconds + 90)
    line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise NotMeasured(f"wrk failed: {output[-300:]}")
    seen = json.loads(line.removeprefix("RESULT "))
    if seen["bad_status"] or seen["errors"] or not seen["requests"]:
        raise NotMeasured(f"of {seen['requests']} answers {seen['bad_status']} had a status of 400 "
                          f"or above; {seen['errors']} connections failed")  # fmt: skip
    rate = seen["requests"] / seen["microseconds"] * 1e6
    return Rate(rate, seen["p50_ms"], seen["p99_ms"])


def download(url: str, size: int, *, headers: Sequence[str] = ()) -> float:
    """Seconds to get `size` bytes to /dev/null, redirects followed."""
    facts = _curl("-L", "-o", "/dev/null", *_header_options(headers), url)
    if facts["size_download"] != size or facts["http_code"] != 200:
        raise NotMeasured(f"got {facts['size_download']} bytes with status {facts['http_code']}")
    return float(facts["time_total"])


def listing(url: str, *, headers: Sequence[str] = ()) -> float:
    """Seconds of a PROPFIND of a collection and its members, five properties each."""
    options = _header_options([*headers, "Depth: 1", "Content-Type: application/xml"])
    facts = _curl("-X", "PROPFIND", "--data-binary", _FIVE, "-o", "/dev/null", *options, url)
    if facts["http_code"] != 207:
        raise NotMeasured(f"PROPFIND answered {facts['http_code']}")
    return float(facts["time_total"])


def locking(
    url: str, paths: Sequence[str], *, headers: Sequence[str] = (), connections: int
) -> float:
    """Seconds to LOCK all paths and then UNLOCK all."""
    with tempfile.NamedTemporaryFile("w", suffix=".paths") as listing:
        listing.writelines(path + "\n" for path in paths)
        listing.flush()
        script = str(Path(__file__).with_name("locking.py"))
        command = [sys.executable, script, url, listing.name, str(connections), *headers]
        output = run(command, 120)
    try:
        return float(json.loads(output.splitlines()[-1])["seconds"])
    except (IndexError, ValueError):
        raise NotMeasured(output[-300:]) from None


def upload(url: str, source: Path, *, headers: Sequence[str] = ()) -> tuple[float, str]:
    """Seconds to PUT a file, redirects followed, and the answer's body."""
    with tempfile.NamedTemporaryFile() as answer:
        options = _header_options(headers)
        facts = _curl("-L", "-T", str(source), "-o", answer.name, *options, url)
        text = answer.read().decode(errors="replace")
    if facts["http_code"] not in {200, 201, 204} or facts["size_upload"] < source.stat().st_size:
        raise NotMeasured(f"PUT ended with status {facts['http_code']}: {text[:200]}")
    return float(facts["time_total"]), text


def synced(path: Path) -> float:
    """Seconds to bring a stored file and its name to stable storage."""
    began = time.perf_counter()
    for target in (path, path.parent):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return time.perf_counter() - began


def run(command: Sequence[str], seconds: float) -> str:
    """What a load program prints, run on the load's core."""
    try:
        done = subprocess.run(
            pinned(LOAD_CORE, command),
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise NotMeasured("taskset is missing (Debian package util-linux)") from None
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"{command[0]} did not end in {seconds:g} s") from None
    if done.returncode == 127:
        raise NotMeasured(f"{command[0]} is not installed")
    return done.stdout + done.stderr


def _header_options(headers: Sequence[str]) -> list[str]:
    return [part for header in headers for part in ("-H", header)]


def _curl(*options: str) -> dict[str, int | float]:
    output = run(["curl", "--silent", "--show-error", "-w", "\n%{json}", *options], 1800)
    try:
        facts: dict[str, int | float] = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        raise NotMeasured(f"curl failed: {output[-300:]}") from None
    return facts
