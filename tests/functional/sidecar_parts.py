"""A store in one process, a gateway with a sidecar over it in another, so that either can die.

python -m tests.functional.sidecar_parts store PORT
python -m tests.functional.sidecar_parts gateway PORT FOLDER STORE_URL    "listening" when ready
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
from pigpen.http.message import Handler  # noqa: E402
from pigpen.stores.memory import MemoryStore  # noqa: E402
from pigpen.stores.remote import RemoteStore  # noqa: E402
from pigpen.stores.sidecar.database import open_records  # noqa: E402
from pigpen.stores.sidecar.namespace import SidecarNamespace  # noqa: E402
from pigpen.system import SystemEnv  # noqa: E402
from pigpen.web.client import HttpClient  # noqa: E402
from pigpen.web.server import HttpFactory  # noqa: E402

ENV = SystemEnv(reactor)


async def make_gateway(folder: str, url: str) -> Handler:
    os.makedirs(folder, exist_ok=True)
    store = RemoteStore(HttpClient(ENV), url)
    namespace = SidecarNamespace(ENV, store, await open_records(ENV, folder))
    await namespace.start()
    return WebDav(ENV, OpenAdmission(namespace))


async def serve(kind: str, port: int, *more: str) -> None:
    handler = MemoryStore(ENV) if kind == "store" else await make_gateway(*more)
    reactor.listenTCP(port, HttpFactory(ENV, handler), interface="127.0.0.1")  # type: ignore[arg-type]
    sys.stdout.write("listening\n")
    sys.stdout.flush()


def give_up(failure: Failure) -> None:
    sys.stdout.write(failure.getErrorMessage() + "\n")
    reactor.stop()


def main() -> None:
    kind, port, *more = sys.argv[1:]
    Deferred.fromCoroutine(serve(kind, int(port), *more)).addErrback(give_up)  # type: ignore[unused-awaitable]
    reactor.run()


if __name__ == "__main__":
    main()
