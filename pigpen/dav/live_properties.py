"""Live properties: what a node says of itself as XML (DAV-50, 51, 53)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from pigpen.dav.call import Call
from pigpen.dav.multistatus import active_lock, escape
from pigpen.dav.xml import DAV
from pigpen.dav.xml_bodies import Name
from pigpen.http.fields import OCTET_STREAM, format_date
from pigpen.http.namespace import Ability, Node, Quota

#: dead properties of one node, by name
Values = Mapping[Name, str]
#: the whole element; "": this node has no such property
Getter = Callable[[Node, Values], str]

WIN32: Final = "urn:schemas-microsoft-com:"

CREATED: Final = (DAV, "creationdate")
NAME: Final = (DAV, "displayname")
LENGTH: Final = (DAV, "getcontentlength")
CONTENT_TYPE: Final = (DAV, "getcontenttype")
ETAG: Final = (DAV, "getetag")
MODIFIED: Final = (DAV, "getlastmodified")
KIND: Final = (DAV, "resourcetype")
LOCK_KINDS: Final = (DAV, "supportedlock")
LOCKS: Final = (DAV, "lockdiscovery")
AVAILABLE: Final = (DAV, "quota-available-bytes")
USED: Final = (DAV, "quota-used-bytes")
#: Last-Modified by another name: Windows sets it
WIN32_MODIFIED: Final = (WIN32, "Win32LastModifiedTime")

#: what allprop gives, as RFC 4918 15 defines them all
ORDINARY: Final = (
    CREATED, NAME, LENGTH, CONTENT_TYPE, ETAG, MODIFIED, KIND, LOCK_KINDS, LOCKS
)  # fmt: skip
QUOTAS: Final = frozenset({AVAILABLE, USED})
#: the server's alone to say
PROTECTED: Final = frozenset(ORDINARY) - {NAME, MODIFIED} | QUOTAS

_COLLECTION = "<D:resourcetype><D:collection/></D:resourcetype>"
_LOCK_KINDS = "".join(
    f"<D:lockentry><D:lockscope><D:{scope}/></D:lockscope>"
    "<D:locktype><D:write/></D:locktype></D:lockentry>"
    for scope in ("exclusive", "shared")
)


# one second is asked for again and again, as files are written many at a time
@lru_cache(maxsize=4096)
def _created(second: int) -> str:
    moment = datetime.fromtimestamp(second, UTC)
    text = moment.replace(tzinfo=None).isoformat()  # RFC 3339
    return f"<D:creationdate>{text}Z</D:creationdate>"


@lru_cache(maxsize=4096)
def _modified(second: int) -> str:
    return f"<D:getlastmodified>{format_date(second)}</D:getlastmodified>"


@lru_cache(maxsize=256)
def _content_type(value: str) -> str:
    return f"<D:getcontenttype>{escape(value)}</D:getcontenttype>"


def _of_created(node: Node, _: Values) -> str:
    return "" if node.created is None else _created(node.created // 1000)


def _of_name(node: Node, values: Values) -> str:
    names = node.key.names
    return (
        values.get(NAME) or f"<D:displayname>{escape(names[-1]) if names else ''}</D:displayname>"
    )


def _of_length(node: Node, _: Values) -> str:
    if node.etag is None:
        return ""
    return f"<D:getcontentlength>{node.length}</D:getcontentlength>"


def _of_content_type(node: Node, _: Values) -> str:
    return "" if node.etag is None else _content_type(node.content_type or OCTET_STREAM)


def _of_etag(node: Node, _: Values) -> str:
    return "" if node.etag is None else f"<D:getetag>{escape(node.etag)}</D:getetag>"


def _of_modified(node: Node, _: Values) -> str:
    return _modified(node.modified // 1000)


def _of_win32_modified(node: Node, _: Values) -> str:
    date = format_date(node.modified // 1000)
    return f'<Z:{WIN32_MODIFIED[1]} xmlns:Z="{WIN32}">{date}</Z:{WIN32_MODIFIED[1]}>'


def _of_kind(node: Node, _: Values) -> str:
    return _COLLECTION if node.key.collection else "<D:resourcetype/>"


def getters(call: Call, quota: Quota | None = None) -> dict[Name, Getter]:
    """The live properties of this call's nodes. :param quota: if it is asked for."""
    abilities = call.namespace.abilities
    kinds = _LOCK_KINDS if Ability.LOCKS in abilities else ""
    lock_kinds = f"<D:supportedlock>{kinds}</D:supportedlock>"
    found: dict[Name, Getter] = {
        CREATED: _of_created,
        NAME: _of_name,
        LENGTH: _of_length,
        CONTENT_TYPE: _of_content_type,
        ETAG: _of_etag,
        MODIFIED: _of_modified,
        KIND: _of_kind,
        LOCK_KINDS: lambda node, values: lock_kinds,
        LOCKS: _of_locks(call),
    }
    if Ability.MODIFIED in abilities:
        found[WIN32_MODIFIED] = _of_win32_modified
    if quota is not None:
        found[USED] = _of_quota(USED, quota.used)
    if quota is not None and quota.available is not None:
        found[AVAILABLE] = _of_quota(AVAILABLE, max(0, quota.available))
    return found


def _of_locks(call: Call) -> Getter:
    now = call.env.wall()

    def of_locks(node: Node, _: Values) -> str:
        if not node.locks:
            return "<D:lockdiscovery/>"
        active = (active_lock(lock, call.href(lock.root), now) for lock in node.locks)
        return f"<D:lockdiscovery>{''.join(active)}</D:lockdiscovery>"

    return of_locks


def _of_quota(name: Name, size: int) -> Getter:
    text = f"<D:{name[1]}>{size}</D:{name[1]}>"
    return lambda node, values: text if node.key.collection else ""
