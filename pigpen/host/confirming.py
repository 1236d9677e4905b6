"""Confirmation: what follows a durable blob: its receipt, the coordinator's answer, the client's.

Whether a client still waits or not, the receipt is delivered, and the expectation remembers how it
ended.
"""

from __future__ import annotations

from dataclasses import dataclass

from pigpen.errors import DiskFailed, PigpenError, Unavailable
from pigpen.host.durable import Written
from pigpen.host.expectations import Expectations
from pigpen.host.live import Live
from pigpen.host.outbox import Delivery, Outbox
from pigpen.http.answers import json_answer
from pigpen.http.fields import format_digest
from pigpen.http.message import Headers, Response
from pigpen.http.wire import Problem, Receipt, ReceiptAnswer, Stored, WriteState


def etag_of(blob: str) -> str:
    """CLD-13: all hosts agree."""
    return f'"{blob[:32]}"'


@dataclass(slots=True)
class ConfirmTools:
    """What all confirmations of a host share."""

    table: Expectations
    outbox: Outbox


class Confirmation:
    """Of one upload."""

    __slots__ = ("_delivery", "_expected", "_left", "_live", "_tools", "_uuid")

    def __init__(self, tools: ConfirmTools, uuid: str, live: Live) -> None:
        self._tools = tools
        self._uuid = uuid
        self._live = live
        self._expected = live.expectation  # as it was announced: later `live` has less
        self._delivery: Delivery | None = None
        self._left = False

    def leave(self) -> None:
        """The client has gone."""
        self._left = True
        if self._delivery is not None:
            self._delivery.leave()

    async def answer(self, written: Written, data: bytes | None) -> Response:
        """Deliver the receipt and wait for what comes back.

        :param data: the blob's bytes, if it is small."""
        if self._expected.write is None:
            return self.answered(None, written.sha256)
        await self._tools.outbox.when_told(self.deliver(written, data))
        return self.response(written.sha256) or await self.late(written.sha256)

    def deliver(self, written: Written, data: bytes | None) -> Delivery:
        """Hand the receipt to the outbox. The expectation must be of a write."""
        expected = self._expected
        assert expected.write is not None
        late = self._left or expected.late
        receipt = Receipt(
            write=expected.write,
            blob=expected.blob,
            length=written.length,
            sha256=written.sha256,
            epoch=0,  # of the session it is sent in
            late=late,
            data=None if late else data,
        )
        self._delivery = self._tools.outbox.add(receipt)
        self._delivery.on_answer = self._remember
        return self._delivery

    def response(self, sha256: str) -> Response | None:
        """What the client gets; None: the coordinator has not answered."""
        answer = None if self._delivery is None else self._delivery.answer
        return None if answer is None else self.answered(answer, sha256)

    async def late(self, sha256: str) -> Response:
        """The coordinator is silent: durable here, but not visible yet."""
        delivery = self._delivery
        assert delivery is not None
        try:
            await self._tools.outbox.keep(delivery)
        except DiskFailed:
            raise
        except PigpenError:
            reason = "the coordinator is silent, so whether this is stored is not known; ask it"
            raise Unavailable(reason=reason) from None
        if delivery.answer is not None:
            return self.answered(delivery.answer, sha256)
        self._tools.table.extend(self._live)
        headers = Headers({"Location": f"/x/{self._uuid}"})
        return json_answer(202, WriteState("open", 202), headers)

    def answered(self, answer: ReceiptAnswer | None, sha256: str) -> Response:
        """What the client gets.

        :param answer: None: no coordinator has to know. :param sha256: of the bytes stored here, so
            that the sender can compare."""
        if answer is None:
            answer = ReceiptAnswer("", 201)
            self._remember(answer)
        if answer.status >= 400:
            message = answer.message or "the coordinator refused this write"
            return json_answer(answer.status, Problem(answer.error or "refused", message))
        etag = answer.etag or etag_of(self._expected.blob)
        replaced = answer.status == 204
        stored = Stored(etag, answer.version or "", replaced, answer.modified)
        digest = format_digest(bytes.fromhex(sha256))
        return json_answer(201, stored, Headers({"ETag": etag, "Repr-Digest": digest}))

    def _remember(self, answer: ReceiptAnswer) -> None:
        if answer.status < 400:
            etag = answer.etag or etag_of(self._expected.blob)
            self._live.state = WriteState("committed", 201, etag)
        else:
            self._live.state = WriteState(
                "refused", answer.status, None, answer.error, answer.message
            )
