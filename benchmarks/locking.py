"""The load of locks: LOCK every path, then UNLOCK every path, over some connections.

python -m benchmarks.locking URL PATHS CONNECTIONS HEADER...: one line of JSON with the seconds.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

_BODY = (
    b'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner><D:href>bench</D:href></D:owner></D:lockinfo>"
)


class Client:
    """One connection and its share of the paths."""

    def __init__(self, url: str, paths: Sequence[str], headers: Sequence[str]) -> None:
        parts = urlsplit(url)
        self._paths = paths
        self._common = "".join(f"{line}\r\n" for line in (f"Host: {parts.netloc}", *headers))
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._tokens: list[str] = []

    def lock(self) -> None:
        fields = f"Timeout: Second-600\r\nDepth: 0\r\nContent-Length: {len(_BODY)}\r\n"
        for path in self._paths:
            self._tokens.append(self._ask("LOCK", path, fields, _BODY, 200))

    def unlock(self) -> None:
        for path, token in zip(self._paths, self._tokens, strict=True):
            self._ask("UNLOCK", path, f"Lock-Token: {token}\r\n", b"", 204)

    def _ask(self, method: str, path: str, fields: str, body: bytes, expected: int) -> str:
        head = f"{method} {path} HTTP/1.1\r\n{self._common}{fields}\r\n"
        self._socket.sendall(head.encode() + body)
        status, token = _read_answer(self._file)
        if status != expected:
            raise ValueError(f"{method} {path} answered {status}")
        return token


def _read_answer(file: BinaryIO) -> tuple[int, str]:
    """:return: its status and Lock-Token; the body is passed over."""
    status = int(file.readline().split()[1])
    fields: dict[str, str] = {}
    while line := file.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip()
    if fields.get("transfer-encoding") == "chunked":
        while size := int(file.readline(), 16):
            file.read(size + 2)
        file.readline()
    else:
        file.read(int(fields.get("content-length", 0)))
    return status, fields.get("lock-token", "")


def main(arguments: Sequence[str]) -> None:
    url, listing, connections, *headers = arguments
    count = int(connections)
    paths = Path(listing).read_text().split()
    clients = [Client(url, paths[start::count], headers) for start in range(count)]
    began = time.perf_counter()
    with ThreadPool(count) as pool:
        pool.map(Client.lock, clients, chunksize=1)
        pool.map(Client.unlock, clients, chunksize=1)
    print(json.dumps({"seconds": time.perf_counter() - began, "pairs": len(paths)}))


if __name__ == "__main__":
    main(sys.argv[1:])
