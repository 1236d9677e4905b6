"""A process that serves a store by WebDAV; locks and properties lie in a folder.

python -m tests.functional.sidecar_server FOLDER PORT              over a store in its memory
python -m tests.functional.sidecar_server FOLDER PORT STORE_URL    over one of another process,
python -m tests.functional.sidecar_server --store PORT             which is this, so that either
                                                                   can die
Each says "listening" when it is.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import os
import sys

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402
from twisted.python.failure import Failure  # noqa: E402

from pigpen.dav.admission import OpenAdmission  # noqa: E402
from pigpen.dav.face import WebDav  # noqa: E402
from pigpen.http.body import BytesBody, read_all  # noqa: E402
from pigpen.http.message import Handler, Request, Response, Store  # noqa: E402
from pigpen.stores.memory import MemoryStore  # noqa: E402
from pigpen.stores.remote import RemoteStore  # noqa: E402
from pigpen.stores.sidecar.database import open_records  # noqa: E402
from pigpen.stores.sidecar.namespace import SidecarNamespace  # noqa: E402
from pigpen.system import SystemEnv  # noqa: E402
from pigpen.web.client import HttpClient  # noqa: E402
from pigpen.web.server import HttpFactory  # noqa: E402

ENV = SystemEnv(reactor)


def make_store() -> MemoryStore:
    return MemoryStore(ENV, max_bytes=2**28, max_object_bytes=2**26)


class GatedStore:
    """A store that stands still when a test wants it, so that a gateway can be killed in mid-job.

    POST /-gate with a number lets so many requests in, and no more; with nothing: all. GET /-gate
    names the methods of those that came since, and last "halted" if one waits at the gate.
    """

    def __init__(self, store: Handler) -> None:
        self._store = store
        self._more: int | None = None
        self._came: list[str] = []
        self._waiting: list[Deferred[None]] = []

    async def handle(self, request: Request) -> Response:
        if request.key.names == ("-gate",):
            return await self._control(request)
        self._came.append(request.method)
        if self._more == 0:
            await self._wait()
        elif self._more is not None:
            self._more -= 1
        return await self._store.handle(request)

    async def _wait(self) -> None:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        try:
            await waiting
        finally:
            self._waiting.remove(waiting)

    async def _control(self, request: Request) -> Response:
        if request.method == "POST":
            number = await read_all(request.body, 10)
            self._more = int(number) if number else None
            self._came.clear()
        came = [*self._came, *(["halted"] if self._waiting else [])]
        return Response(200, None, BytesBody(" ".join(came).encode()))


async def make_gateway(folder: str, url: str = "") -> Handler:
    os.makedirs(folder, exist_ok=True)
    store: Store = RemoteStore(HttpClient(ENV), url) if url else make_store()
    namespace = SidecarNamespace(ENV, store, await open_records(ENV, folder))
    await namespace.start()
    return WebDav(ENV, OpenAdmission(namespace))


async def serve(folder: str, port: str, *url: str) -> None:
    handler = GatedStore(make_store()) if folder == "--store" else await make_gateway(folder, *url)
    reactor.listenTCP(int(port), HttpFactory(ENV, handler), interface="127.0.0.1")  # type: ignore[arg-type]
    sys.stdout.write("listening\n")
    sys.stdout.flush()


def give_up(failure: Failure) -> None:
    sys.stdout.write(failure.getErrorMessage() + "\n")
    reactor.stop()


def main() -> None:
    Deferred.fromCoroutine(serve(*sys.argv[1:])).addErrback(give_up)  # type: ignore[unused-awaitable]
    reactor.run()


if __name__ == "__main__":
    main()
