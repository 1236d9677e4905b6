"""What an operator may set for a WebDAV face."""

from __future__ import annotations

from typing import Final

import msgspec

from pigpen.http.key import Key

#: beginnings of User-Agent that follow a 307 of a GET without losing anything (DAV-83)
REDIRECTED_AGENTS: Final = ("rclone/", "gvfs/", "python-httpx/", "python-requests/")


class DavSettings(msgspec.Struct, frozen=True):
    """``prefix``: the path under which the namespace's root is (DAV-65)."""

    prefix: Key = Key((), True)
    #: names, with the port unless it is the usual one, lower case, that clients may call this
    #: server by, beside the Host field of a request: in Destination, If and Origin
    aliases: frozenset[str] = frozenset()
    #: PROPFIND with Depth infinity (DAV-27)
    infinity: bool = False
    #: User-Agents whose GET is redirected to a host; empty: all is streamed (DAV-80)
    redirected_agents: tuple[str, ...] = ()
    #: what one page of a collection shows (DAV-90)
    page_entries: int = 1000
