"""Answerer: asks the handler and sends what it answers, on one connection.

Most handlers answer at once and most responses fit the socket: then no Deferred is made.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pigpen.errors import PigpenError
from pigpen.http.answers import error_answer
from pigpen.http.body import Body, BytesBody, FileBody
from pigpen.http.message import Request, Response
from pigpen.web.outlet import Outlet
from pigpen.web.responding import (
    Exchange,
    Plan,
    begin_file,
    body_now,
    plan_response,
    send_body,
)
from pigpen.web.serving import Serving


class Connection(Protocol):
    """What an answerer must know of its connection."""

    outlet: Outlet
    exchange: Exchange

    @property
    def closed(self) -> bool:
        """Whether nobody can be answered any more."""

    @property
    def body_pending(self) -> bool:
        """Whether part of the request's body has not come."""

    def answered(self) -> None:
        """A response is out."""

    def abort(self) -> None:
        """Close at once, so that the peer sees that something is missing."""


@types.coroutine
def _resumed(
    coroutine: Coroutine[Deferred[Any], Any, Response], waiting: Deferred[Any]
) -> Generator[Deferred[Any], Any, Response]:
    """Go on with a coroutine whose first step was taken by hand."""
    try:
        while True:
            try:
                value = yield waiting
            except Exception as error:  # noqa: BLE001 - passed on, CancelledError too
                waiting = coroutine.throw(error)
            else:
                waiting = coroutine.send(value)
    except StopIteration as done:
        response: Response = done.value
        return response
    finally:
        coroutine.close()


class Answerer:
    """One response at a time."""

    log = Logger()

    def __init__(self, server: Serving, connection: Connection) -> None:
        self._server = server
        self._connection = connection
        self._task: Deferred[None] | None = None
        #: keeps the end of the last task in sight
        self._last: Deferred[None] | None = None
        #: whether a final response has begun
        self.begun = False
        #: when a `FileBody` must have been sent
        self.cut_at: float | None = None
        #: in which its reader must take something; None: as every reader
        self.reader_seconds: float | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._task is None

    def cancel(self) -> None:
        """The client left: end what is under way for it."""
        if self._task is not None:
            self._task.cancel()

    def ask(self, request: Request) -> None:
        """Have the handler answer; what it answers, or raises, is sent."""
        coroutine: Any = self._server.handler.handle(request)
        try:
            waiting = coroutine.send(None)
        except StopIteration as done:
            response = done.value
        except Exception as error:  # noqa: BLE001 - every failure of a handler becomes an answer
            response = self._failed(error)
        else:
            if isinstance(waiting, Deferred):
                self._task = waiting
                self._last = waiting.addBoth(self._resume, coroutine)
            else:
                self._start(self._later(coroutine, waiting))
            return
        self.respond(response)

    def _resume(self, result: object, coroutine: Any) -> None:
        """What a handler waited for is there: many wait once only, which is not worth a task."""
        self._task = None
        try:
            if isinstance(result, Failure):
                waiting = coroutine.throw(result.value)
            else:
                waiting = coroutine.send(result)
        except StopIteration as done:
            response = done.value
        except Exception as error:  # noqa: BLE001 - as in `ask`
            if self._connection.closed:
                self._judge_end(Failure(error))  # type: ignore[no-untyped-call]
                return
            response = self._failed(error)
        else:
            self._start(self._later(coroutine, waiting))
            return
        self._respond_late(response)

    def _respond_late(self, response: Response) -> None:
        try:
            if self._connection.closed:
                self._release(response.body)
            else:
                self.respond(response)
        except Exception:  # noqa: BLE001 - nobody above would answer for it
            self._judge_end(Failure())  # type: ignore[no-untyped-call]

    def _start(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        task = Deferred.fromCoroutine(coroutine)
        if not task.called:
            self._task = task
        self._last = task.addBoth(self._task_over, task)

    def _task_over(self, result: object, task: Deferred[None]) -> None:
        if self._task is task:  # else the next request's has begun
            self._task = None
        self._judge_end(result)

    def _judge_end(self, result: object) -> None:
        if isinstance(result, Failure) and not (
            self._connection.closed and isinstance(result.value, CancelledError | PigpenError)
        ):
            self.log.failure("a response could not be sent", failure=result)
            self._connection.abort()

    async def _later(
        self, coroutine: Coroutine[Deferred[Any], Any, Response], waiting: Deferred[Any]
    ) -> None:
        try:
            response = await _resumed(coroutine, waiting)
        except Exception as error:
            if self._connection.closed:
                raise
            response = self._failed(error)
        plan, response = self._plan(response)
        data = self._data_now(response, plan)
        await self._deliver(response, plan, data)

    def _failed(self, error: Exception) -> Response:
        """The one place where an exception becomes an answer."""
        if isinstance(error, PigpenError):
            return error_answer(error)
        self.log.failure("a handler failed", failure=Failure(error))  # type: ignore[no-untyped-call]
        return error_answer(PigpenError())

    # -- output -----------------------------------------------------------------------------------

    def respond(self, response: Response) -> None:
        plan, response = self._plan(response)
        data = self._data_now(response, plan)
        if data is not None and not self._connection.outlet.blocked:
            self._connection.outlet.write(plan.head + data if data else plan.head)
        elif data is not None or not begin_file(self._connection.outlet, response.body, plan):
            self._start(self._deliver(response, plan, data))
            return
        if self._connection.outlet.blocked:
            self._start(self._flush())
        else:
            self._over()

    def _plan(self, response: Response) -> tuple[Plan, Response]:
        self.begun = True
        exchange = self._connection.exchange
        if self._connection.body_pending or self._server.draining:
            exchange.keep_alive = False  # the rest of the body would be taken for a request
        common = self._server.common_lines
        try:
            plan = plan_response(response, exchange, common)
        except Exception as error:  # noqa: BLE001 - whatever a handler returned, we answer
            if isinstance(response, Response):
                self._release(response.body)
            response = self._failed(error)
            plan = plan_response(response, exchange, common)
        exchange.keep_alive = plan.keep_alive
        return plan, response

    def _data_now(self, response: Response, plan: Plan) -> bytes | None:
        """The body's bytes if it needs no waiting."""
        if plan.body:
            return body_now(response.body)
        self._release(response.body)
        return b""

    def _release(self, body: Body) -> None:
        """Close a body that is not sent."""
        if type(body) is BytesBody:
            return
        closed = Deferred.fromCoroutine(body.aclose())
        self._last = closed.addErrback(self._close_failed)

    def _close_failed(self, failure: Failure) -> None:
        self.log.failure("a body could not be closed", failure=failure)

    async def _deliver(self, response: Response, plan: Plan, data: bytes | None) -> None:
        outlet = self._connection.outlet
        try:
            if self._connection.closed:
                return
            if outlet.blocked:
                await outlet.ready()
            if plan.head:  # else `begin_file` has sent it
                outlet.write(plan.head + data if data else plan.head)
            if data is None:
                await self._send(response.body, plan)
        finally:
            if data is None:
                await response.body.aclose()
        await self._flush()

    async def _send(self, body: Body, plan: Plan) -> None:
        if isinstance(body, FileBody):
            self.cut_at, self.reader_seconds = body.deadline, body.idle
        try:
            await send_body(self._connection.outlet, body, plan)
        except (PigpenError, OSError) as error:
            # too late for another answer: only an abort tells the client (P3)
            self.log.info("a response was cut: {reason}", reason=str(error))
            self._connection.abort()
        except Exception:
            self._connection.abort()
            raise
        finally:
            self.cut_at = self.reader_seconds = None

    async def _flush(self) -> None:
        if self._connection.outlet.blocked and not self._connection.closed:
            await self._connection.outlet.ready()
        self._over()

    def _over(self) -> None:
        self._task = None
        self.begun = False
        self._connection.answered()
