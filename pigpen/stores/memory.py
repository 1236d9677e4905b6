"""MemoryStore: values in memory; the store that all others are compared with (CMB-54)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterator
from typing import Literal

from pigpen.env import Env
from pigpen.errors import (
    BadRequest,
    DigestMismatch,
    InsufficientStorage,
    MethodNotAllowed,
    NotFound,
    TooLarge,
)
from pigpen.http import wire
from pigpen.http.answers import check_method
from pigpen.http.body import read_all
from pigpen.http.conditions import Validators
from pigpen.http.fields import OCTET_STREAM, parse_digest
from pigpen.http.key import Key
from pigpen.http.message import Capability, Headers, Request, Response, Store
from pigpen.http.representation import not_modified
from pigpen.stores.answering import answering
from pigpen.stores.listing import asks_for_list, list_answer
from pigpen.stores.value import Value

#: fields of a PUT that a GET gives back
_KEPT = ("Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition")


class MemoryStore:
    """Keeps values in memory up to a size; the least recently used give way to new ones.

    A PUT counts at its end, all at once. Who reads a value keeps the version it began.
    """

    capabilities = frozenset(Capability) - {Capability.DURABLE}

    def __init__(
        self,
        env: Env,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        max_object_bytes: int = 16 * 1024 * 1024,
        evict: Literal["lru", "none"] = "lru",
    ) -> None:
        """:param evict: ``none``: what does not fit is refused with 507."""
        self._env = env
        self._max_bytes = max_bytes
        self._max_object_bytes = min(max_object_bytes, max_bytes)
        self._evicts = evict == "lru"
        self._values: OrderedDict[tuple[str, ...], Value] = OrderedDict()
        self._size = 0
        #: the keys in the order of listings, each after what it sorts by
        self._order: list[tuple[str, tuple[str, ...]]] = []

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return self._size

    @answering
    async def handle(self, request: Request) -> Response:
        if asks_for_list(request):
            return list_answer(request, self._lines(request.key))
        check_method(request, "GET", "HEAD", "PUT", "DELETE")
        if request.key.collection:
            raise MethodNotAllowed(method=request.method, allow="GET, HEAD")
        if request.method == "PUT":
            return await self._put(request)
        value = self._values.get(request.key.names)
        if request.method == "DELETE":
            return self._delete(request, value)
        if value is None:
            not_modified(request, None)  # a condition that fails is said first
            raise NotFound
        self._values.move_to_end(request.key.names)
        return value.answer(request)

    async def _put(self, request: Request) -> Response:
        names = request.key.names
        if "Content-Range" in request.headers:
            raise BadRequest(reason="a part of a value cannot be stored; leave Content-Range out")
        digest = parse_digest(request.headers.get("Repr-Digest", ""))
        length = request.body.length
        if length is not None:
            self._check_size(names, length)
        not_modified(request, self._validators(names))
        data = await read_all(request.body, self._max_object_bytes)
        self._check_size(names, len(data))
        # another PUT may have ended meanwhile
        not_modified(request, self._validators(names))
        value = Value.of(data, int(self._env.wall()), _kept(request.headers))
        if digest is not None and digest != value.sha256:
            raise DigestMismatch
        created = self._store(names, value)
        return Response(201 if created else 204, Headers({"ETag": value.validators.etag}))

    def _delete(self, request: Request, value: Value | None) -> Response:
        not_modified(request, None if value is None else value.validators)
        if value is None:
            raise NotFound
        self._drop(request.key.names)
        return Response(204)

    def _validators(self, names: tuple[str, ...]) -> Validators | None:
        value = self._values.get(names)
        return None if value is None else value.validators

    def _check_size(self, names: tuple[str, ...], length: int) -> None:
        if length > self._max_object_bytes:
            raise TooLarge(limit=self._max_object_bytes)
        old = self._values.get(names)
        used = self._size - (0 if old is None else len(old.data))
        if not self._evicts and used + length > self._max_bytes:
            raise InsufficientStorage(reason="the memory store is full; delete something first")

    def _store(self, names: tuple[str, ...], value: Value) -> bool:
        created = names not in self._values
        if not created:
            self._drop(names)
        self._values[names] = value
        self._size += len(value.data)
        insort(self._order, ("/".join(names), names))
        while self._size > self._max_bytes:
            self._drop(next(iter(self._values)))
        return created

    def _drop(self, names: tuple[str, ...]) -> None:
        self._size -= len(self._values.pop(names).data)
        del self._order[bisect_left(self._order, ("/".join(names), names))]

    def _lines(self, collection: Key) -> Iterator[wire.ListLine]:
        """Values below a collection, as they are when their turn comes."""
        depth = len(collection.names)
        prefix = "".join(f"{name}/" for name in collection.names)
        last: tuple[str, tuple[str, ...]] = (prefix, ())
        while (place := bisect_right(self._order, last)) < len(self._order):
            last = self._order[place]  # by value, as others come and go meanwhile
            text, names = last
            if not text.startswith(prefix):
                break
            if names[:depth] == collection.names:
                yield self._values[names].line("/".join(names[depth:]))


def _kept(headers: Headers) -> tuple[tuple[str, str], ...]:
    fields = {name: headers[name] for name in _KEPT if name in headers}
    fields.setdefault("Content-Type", OCTET_STREAM)
    return tuple(fields.items())


_is_store: type[Store] = MemoryStore
