"""A host that lets one account have any number of waiting transfers.

    python -m benchmarks.roomy_host FOLDER PORT COORDINATOR ACCESS-KEY

A client that asks for redirects and follows none would soon be refused by `pigpen host`, so a
coordinator's redirects could not be counted.
"""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pigpen.config import HostConfig
from pigpen.host.host import Host
from pigpen.host.settings import HostSettings
from pigpen.system import SystemEnv, settle_memory
from pigpen.web.client import HttpClient
from pigpen.web.server import HttpFactory

NO_LIMIT = 10_000_000


def main(folder: str, port: str, coordinator: str, access_key: str) -> None:
    env = SystemEnv(reactor)
    settings = HostSettings(
        folder=folder,
        coordinator=coordinator,
        target_size=int(HostConfig().target_size) * 10,
        addresses=[f"http://127.0.0.1:{port}"],
        access_key=access_key,
        max_expectations=NO_LIMIT,
        max_account_expectations=NO_LIMIT,
    )
    host = Host(env, HttpClient(env), settings)
    _ = env.server_endpoint(f"tcp:{port}:interface=127.0.0.1").listen(
        HttpFactory(env, host.handler)
    )
    _ = Deferred.fromCoroutine(host.start()).addErrback(Failure.printTraceback)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(host.stop()))
    settle_memory()
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
