"""Downloads: GET and HEAD of objects (CLD-40 to CLD-42).

small object                  200, 206 from the catalog
any client                    307 to a host that has confirmed; Link: the other copies
?redirect=false               the same as JSON, with pins
?redirect=never, wget, Java   the bytes pass through here, one bounded window at a time
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pigpen.coordinator.announcer import Announcer, Confirmed
from pigpen.coordinator.counted_body import CountedBody
from pigpen.coordinator.hosts import Host, Hosts
from pigpen.coordinator.metrics import Metrics
from pigpen.coordinator.request_terms import found_at
from pigpen.coordinator.settings import MAX_DUPLICATES, TOO_MANY_STREAMS
from pigpen.coordinator.user_agents import may_redirect, never_redirect
from pigpen.coordinator.verified_body import VerifiedBody
from pigpen.env import Env, random_id
from pigpen.errors import BadAnswer, NoAnswer, NoReplica, TooManyRequests, Unavailable
from pigpen.http import wire
from pigpen.http.answers import json_answer
from pigpen.http.body import Body, BytesBody
from pigpen.http.fields import Link, format_date, format_digest, format_links, format_modified
from pigpen.http.message import Headers, Request, Response
from pigpen.http.ranges import ByteRange
from pigpen.http.representation import answer_get, not_modified, select
from pigpen.web.sender import Sender

if TYPE_CHECKING:
    from pigpen.coordinator.catalog.nodes import Node

#: requests that one expectation allows: a client may ask for many pieces in the JSON form
JSON_REQUESTS = 64


class Downloads:
    """Answers reads of objects that were found and whose readers were let in."""

    def __init__(
        self, env: Env, client: Sender, hosts: Hosts, announcer: Announcer, metrics: Metrics
    ) -> None:
        self._env = env
        self._client = client
        self._hosts = hosts
        self._announcer = announcer
        self._metrics = metrics

    async def answer(
        self, request: Request, node: Node, account: str, mode: str | None, *, secure: bool
    ) -> Response:
        """:param mode: the query's ``redirect``. :param secure: the client came by TLS.

        :raises PreconditionFailed: a condition does not hold. :raises NoReplica: no host that
            keeps it confirms now.
        """
        begun = self._env.clock.seconds()
        if not_modified(request, node.validators):
            return _not_modified(node)
        if node.data is not None:
            return self._inline(request, node, node.data)
        if mode == "false":
            if request.method == "GET":
                return await self._offer(request, node, account, secure=secure)
            return _describe(request, node)
        if mode != "never":
            hosts = self._redirectable(request, node, secure=secure)
            if hosts:
                response = await self._redirect(request, node, account, hosts, secure=secure)
                self._metrics.redirect_seconds.observe(self._env.clock.seconds() - begun)
                return response
        if request.method == "HEAD":
            return _describe(request, node)
        return await self._stream(request, node, account)

    def _inline(self, request: Request, node: Node, data: bytes) -> Response:
        def part(offset: int, length: int) -> Body:
            return self._part(data, offset, length)

        return answer_get(request, node.validators, node.length, part, _headers(request, node))

    def _part(self, data: bytes, offset: int, length: int) -> Body:
        self._metrics.bytes_out.inc(length)
        return BytesBody(data[offset : offset + length])

    # -- redirects --------------------------------------------------------------------------------

    def _keepers(self, node: Node) -> list[Host]:
        """Who has it and is online: in a random order, so that all share the readers."""
        host_ids = list(node.hosts)
        if len(host_ids) > 1:
            self._env.random.shuffle(host_ids)
        return self._hosts.in_order(host_ids)

    def _redirectable(self, request: Request, node: Node, *, secure: bool) -> list[Host]:
        """Keepers that this client reaches by a plain redirect, its key staying behind."""
        agent = request.headers.get("User-Agent", "")
        if never_redirect(agent):
            return []
        name = request.headers.get("Host", "")
        keepers = self._keepers(node)
        if not keepers:
            raise NoReplica
        return [
            host
            for host in keepers
            if (url := host.client_url(secure=secure)) and may_redirect(agent, name, url)
        ]

    async def _redirect(
        self, request: Request, node: Node, account: str, hosts: Sequence[Host], *, secure: bool
    ) -> Response:
        urls = await self._urls(request, node, account, hosts, secure=secure)
        headers = Headers(
            {
                "Location": urls[0],
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "ETag": node.validators.etag,
                "Repr-Digest": format_digest(node.sha256),
            }
        )
        if len(urls) > 1:
            headers["Link"] = format_links(
                Link(url, {"rel": "duplicate", "pri": str(place)})
                for place, url in enumerate(urls[1:], start=2)
            )
        return Response(307, headers)

    async def _urls(
        self, request: Request, node: Node, account: str, hosts: Sequence[Host], *, secure: bool
    ) -> list[str]:
        confirmed = await self._confirm(
            hosts, node, account, method=request.method, at_once=1 + MAX_DUPLICATES
        )
        return [_transfer_url(one.host.client_url(secure=secure), one) for one in confirmed]

    async def locations(
        self, request: Request, node: Node, account: str, *, secure: bool
    ) -> tuple[str, ...]:
        """Where this client may read a version instead of here; empty: nowhere now."""
        if node.data is not None:
            return ()
        try:
            hosts = self._redirectable(request, node, secure=secure)
            if not hosts:
                return ()
            return tuple(await self._urls(request, node, account, hosts, secure=secure))
        except NoReplica:
            return ()

    async def _offer(self, request: Request, node: Node, account: str, *, secure: bool) -> Response:
        hosts = [host for host in self._keepers(node) if host.pinned_url(secure=secure)]
        confirmed = await self._confirm(
            hosts, node, account, at_once=1 + MAX_DUPLICATES, requests=JSON_REQUESTS
        )
        sources: list[wire.Source] = []
        for place, one in enumerate(confirmed, start=1):
            url = one.host.pinned_url(secure=secure)
            pin = one.host.pin_of(url) if url is not None else None
            uuid = one.expectation.uuid
            sources.append(wire.Source(url=_transfer_url(url, one), uuid=uuid, pri=place, pin=pin))
        offer = wire.DownloadOffer(
            length=node.length,
            etag=node.validators.etag,
            digest=node.sha256.hex(),
            content_type=node.content_type,
            modified=node.modified,
            sources=sources,
            same_second=node.same_second,
        )
        return json_answer(200, offer, Headers(found_at(request, node.key)))

    async def _confirm(
        self,
        hosts: Sequence[Host],
        node: Node,
        account: str,
        *,
        method: str = "GET",
        at_once: int = 1,
        requests: int | None = None,
    ) -> tuple[Confirmed, ...]:
        """:raises NoReplica: none of them confirms. :raises TooManyRequests: as the account has
        too many transfers open (CLD-23)."""

        def make(_: Host) -> wire.Expectation:
            return wire.Expectation(
                uuid=random_id(self._env),
                method="HEAD" if method == "HEAD" else "GET",
                blob=node.blob,
                # a shortened copy is no copy, and a long one takes its time
                length=node.length,
                requests=requests,
                content_type=node.content_type,
                # a date that two versions have tells a host nothing (DAV-32)
                modified=None if node.same_second else node.modified,
                account=account,
            )

        # asking one host needs no race
        at_once = min(at_once, len(hosts)) or 1
        outcome = await self._announcer.confirm(hosts, make, at_once=at_once)
        if not outcome.confirmed:
            if outcome.all_refused(429):
                raise TooManyRequests(reason="over 1,000 transfers of this account wait to begin")
            raise NoReplica
        return outcome.confirmed

    # -- through here -----------------------------------------------------------------------------

    async def _stream(self, request: Request, node: Node, account: str) -> Response:
        selection = select(request, node.validators, node.length)
        body = await self.body(node, account, selection.offset, selection.length)
        return selection.answer(node.validators, _headers(request, node), body)

    async def body(self, node: Node, account: str, offset: int, length: int) -> Body:
        """A part of a version: out of the catalog, or from the first host that gives it. All of
        it is checked against its digest, a part cannot be.

        :raises NoReplica: no host does. :raises Unavailable: too many streams.
        """
        if node.data is not None or length == 0:
            return self._part(node.data or b"", offset, length)
        part = ByteRange(offset, offset + length - 1) if length < node.length else None
        keepers = self._keepers(node)
        left = [host for host in keepers if host.takes_streams]
        if keepers and not left:
            raise Unavailable(reason=TOO_MANY_STREAMS)
        while left:
            [confirmed] = await self._confirm(left, node, account)
            release = confirmed.host.begin_stream()
            body = None
            try:
                response = await self._fetch(confirmed, part, length)
                body = CountedBody(response.body, self._metrics.bytes_out, release)
                return body if part is not None else VerifiedBody(body, node.sha256)
            except NoAnswer:
                self._hosts.suspect(confirmed.host)
            finally:
                if body is None:
                    release()
            left = left[left.index(confirmed.host) + 1 :]
        raise NoReplica

    async def _fetch(self, confirmed: Confirmed, part: ByteRange | None, length: int) -> Response:
        """:param part: None: the whole, `length` bytes.
        :raises NoAnswer: it does not give exactly these bytes."""
        url = confirmed.host.control_url
        headers = Headers()
        if part is not None:
            headers["Range"] = f"bytes={part.first}-{part.last}"
        response = await self._client.request(
            "GET",
            _transfer_url(url, confirmed),
            headers=headers,
            pin=confirmed.host.pin_of(url),
        )
        status = 200 if part is None else 206
        if response.status != status or response.body.length != length:
            await response.body.aclose()
            raise BadAnswer(peer=url, reason=f"it says {response.status} to a confirmed transfer")
        return response


def _transfer_url(base: str | None, confirmed: Confirmed) -> str:
    assert base is not None, "hosts that cannot be reached were left out"
    return f"{base}/x/{confirmed.expectation.uuid}"


def _headers(request: Request, node: Node) -> Headers:
    return Headers(
        {
            **found_at(request, node.key),
            wire.MODIFIED: format_modified(node.modified, same_second=node.same_second),
            "Content-Type": node.content_type,
            "Repr-Digest": format_digest(node.sha256),
            # a browser must never run what somebody stored (REL-F3)
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox",
            "Cache-Control": "no-store",
        }
    )


def _describe(request: Request, node: Node) -> Response:
    """HEAD, out of the catalog alone."""
    return select(request, node.validators, node.length).answer(
        node.validators, _headers(request, node), None
    )


def _not_modified(node: Node) -> Response:
    validators = node.validators
    return Response(
        304,
        Headers(
            {
                "ETag": validators.etag,
                "Last-Modified": format_date(validators.modified),
                "Cache-Control": "no-store",
            }
        ),
    )
