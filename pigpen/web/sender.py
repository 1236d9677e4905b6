"""Sender: what coordinator, hosts and sessions need of an HTTP client."""

from __future__ import annotations

from typing import Protocol

from pigpen.http.body import Body
from pigpen.http.message import Headers, Response


class Sender(Protocol):
    """Sends one request and follows no redirect; `web.client.HttpClient` is one."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers | None = None,
        body: Body | None = None,
        pin: str | None = None,
        repeatable: bool = False,
    ) -> Response:
        """Returns when the head of the answer is there.

        :param pin: what an https peer must show, see `web.client.HttpClient.request`.
        :param repeatable: sending it twice does no harm.
        :raises NoAnswer: connecting failed, the peer was silent, or it broke off.
        """
