"""A process that serves what the functional tests of the HTTP server ask for.

python -m tests.functional.file_server FOLDER    prints the plain port and the TLS port
python -m tests.functional.file_server FOLDER --hasty    with deadlines of a few seconds
python -m tests.functional.file_server FOLDER --few    for two connections at once
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator

import trustme
from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import reactor, ssl  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402

from pigpen.errors import TooLarge, Unauthorized  # noqa: E402
from pigpen.http.body import BytesBody, FileBody, StreamBody  # noqa: E402
from pigpen.http.message import Headers, Request, Response  # noqa: E402
from pigpen.system import SystemEnv  # noqa: E402
from pigpen.web.limits import ServerLimits  # noqa: E402
from pigpen.web.server import HttpFactory  # noqa: E402

ENV = SystemEnv(reactor)
FOLDER = sys.argv[1]
HASTY = ServerLimits(
    header_seconds=2, idle_seconds=2, body_rate_seconds=2, reader_seconds=4, linger_seconds=1
)
CHOICES = {"--hasty": HASTY, "--few": ServerLimits(connections=2)}
LIMITS = CHOICES[sys.argv[2]] if len(sys.argv) > 2 else ServerLimits(linger_seconds=1)


async def _zeros(length: int) -> AsyncGenerator[bytes, None]:
    for _ in range(length // 65536):
        yield bytes(65536)


def _file(name: str, extra: int = 0) -> Response:
    path = os.path.join(FOLDER, name)
    file = ENV.disk.open_read(path)
    size = os.path.getsize(path) + extra
    return Response(200, None, FileBody(file, 0, size, lambda: ENV.disk.close_read(file)))


class FileServer:
    """One action a name."""

    async def handle(self, request: Request) -> Response:
        action, *arguments = request.key.names
        if action == "sink":
            count = 0
            async for chunk in request.body:
                count += len(chunk)
            return Response(201, None, BytesBody(b"%d" % count))
        if action == "stuck":
            await Deferred()
        if action == "file":
            return _file(arguments[0])
        if action == "short":
            return _file(arguments[0], extra=1)
        if action == "zeros":
            return Response(200, None, StreamBody(_zeros(int(arguments[0])), int(arguments[0])))
        if action == "401":
            raise Unauthorized
        if action == "413":
            raise TooLarge(limit=1)
        return Response(int(action), Headers(Location="http://127.0.0.1:9/"), BytesBody(b"no"))


def main() -> None:
    factory = HttpFactory(ENV, FileServer(), LIMITS)
    certificate = trustme.CA().issue_cert("localhost")
    for name, blobs in (
        ("key", [certificate.private_key_pem]),
        ("chain", certificate.cert_chain_pems),
    ):
        with open(os.path.join(FOLDER, name), "wb") as target:
            target.write(b"".join(blob.bytes() for blob in blobs))
    context = ssl.DefaultOpenSSLContextFactory(
        os.path.join(FOLDER, "key"), os.path.join(FOLDER, "chain")
    )
    plain = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")  # type: ignore[attr-defined]
    secure = reactor.listenSSL(0, factory, context, interface="127.0.0.1")  # type: ignore[attr-defined]
    sys.stdout.write(f"{plain.getHost().port} {secure.getHost().port}\n")
    sys.stdout.flush()
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
