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
from pigpen.http.message import Handler, Store  # noqa: E402
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


async def make_gateway(folder: str, url: str = "") -> Handler:
    os.makedirs(folder, exist_ok=True)
    store: Store = RemoteStore(HttpClient(ENV), url) if url else make_store()
    namespace = SidecarNamespace(ENV, store, await open_records(ENV, folder))
    await namespace.start()
    return WebDav(ENV, OpenAdmission(namespace))


async def serve(folder: str, port: str, *url: str) -> None:
    handler = make_store() if folder == "--store" else await make_gateway(folder, *url)
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
