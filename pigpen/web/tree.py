"""ResourceTree: path prefixes and the handlers mounted under them."""

from __future__ import annotations

from pigpen.errors import NotFound
from pigpen.http.key import Key
from pigpen.http.message import Handler, Request, Response


class ResourceTree:
    """Hands each request to the handler mounted under the longest prefix of its path.

    A mounted handler sees keys relative to its prefix: ``/x/a`` is ``a`` below ``/x/``. Prefixes
    are whole names, so ``/x`` and ``/x/`` are the same mount and never match ``/xy``.
    """

    def __init__(self) -> None:
        self._mounts: dict[tuple[str, ...], tuple[Handler, int]] = {}
        self._depths: list[int] = []

    def mount(self, prefix: str, handler: Handler, more: int = 0) -> None:
        """Serve a path and all below it; a later mount replaces an earlier one.

        :param prefix: ``/api/``, ``/status``, ``/``: absolute, percent-encoded.
        :param more: names before the key that the handler takes off, as the login of ``/api/``.
        :raises BadKey: it is no path.
        """
        self._mounts[Key.from_path(prefix).names] = handler, more
        self._depths = sorted({len(names) for names in self._mounts}, reverse=True)

    async def handle(self, request: Request) -> Response:
        """:raises NotFound: nothing is mounted there."""
        names = request.key.names
        for depth in self._depths:
            mount = self._mounts.get(names[:depth]) if len(names) >= depth else None
            if mount is not None:
                handler, more = mount
                return await handler.handle(request.below(depth, more) if depth else request)
        raise NotFound


_is_handler: type[Handler] = ResourceTree
