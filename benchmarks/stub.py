"""A coordinator that says yes: `python -m benchmarks.stub PORT CONTROL`.

It lets one host be measured alone: it registers it, and commits every receipt at once, so that a
PUT's cost is the host's own.
"""

from __future__ import annotations

import sys

import msgspec
from twisted.internet import reactor

from pigpen.http import wire
from pigpen.http.answers import json_answer, read_json
from pigpen.http.message import Handler, Request, Response
from pigpen.system import SystemEnv
from pigpen.web.server import HttpFactory


class Said(msgspec.Struct):
    """What this coordinator reads of a receipt: checking the rest would be its own time."""

    write: str
    blob: str


class Stub:
    """Answers what a host asks of its coordinator."""

    def __init__(self, control: str) -> None:
        self._control = control
        self._epoch = 0

    async def handle(self, request: Request) -> Response:
        match request.key.names:
            case ("hosts",) | ("hosts", _, "session"):
                await read_json(request, wire.Registration)
                return self._registered()
            case ("hosts", _, "receipts"):
                receipts = await read_json(request, list[Said])
                return json_answer(200, [_committed(receipt) for receipt in receipts])
            case ("hosts", _, "heartbeat"):
                await read_json(request, wire.Heartbeat)
                return Response(204)
        return Response(404)

    def _registered(self) -> Response:
        self._epoch += 1
        value = wire.Registered(1, self._epoch, self._control, host_key="ph_" + "0" * 43)
        return json_answer(201, value)


def _committed(receipt: Said) -> wire.ReceiptAnswer:
    return wire.ReceiptAnswer(
        receipt.write, 201, etag=receipt.blob[:32], version="1", modified=1_700_000_000_000
    )


def main(port: str, control: str) -> None:
    env = SystemEnv(reactor)
    endpoint = env.server_endpoint(f"tcp:{port}:interface=127.0.0.1")
    _ = endpoint.listen(HttpFactory(env, Stub(control)))
    reactor.run()


_is_handler: type[Handler] = Stub

if __name__ == "__main__":
    main(*sys.argv[1:])
