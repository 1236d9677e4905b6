"""A process that serves a store in memory by WebDAV; locks and properties lie in a folder.

python -m tests.functional.sidecar_server FOLDER PORT    says when it is listening
"""

from __future__ import annotations

import os
import sys

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402

from pigpen.dav.admission import OpenAdmission  # noqa: E402
from pigpen.dav.face import WebDav  # noqa: E402
from pigpen.stores.memory import MemoryStore  # noqa: E402
from pigpen.stores.sidecar.database import open_records  # noqa: E402
from pigpen.stores.sidecar.namespace import SidecarNamespace  # noqa: E402
from pigpen.system import SystemEnv  # noqa: E402
from pigpen.web.server import HttpFactory  # noqa: E402


async def serve(folder: str, port: int) -> None:
    env = SystemEnv(reactor)
    os.makedirs(folder, exist_ok=True)
    store = MemoryStore(env, max_bytes=2**28, max_object_bytes=2**26)
    namespace = SidecarNamespace(env, store, await open_records(env, folder))
    await namespace.start()
    factory = HttpFactory(env, WebDav(env, OpenAdmission(namespace)))
    reactor.listenTCP(port, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    sys.stdout.write("listening\n")
    sys.stdout.flush()


def main() -> None:
    Deferred.fromCoroutine(serve(sys.argv[1], int(sys.argv[2])))
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
