"""The bodies of PROPFIND, PROPPATCH, MKCOL and LOCK as values (RFC 4918 14, RFC 5689).

What is not known inside them is ignored (RFC 4918 17); what is needed and missing is 400.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pigpen.dav.xml import (
    XmlElement,
    check_root,
    children,
    dav,
    element_text,
    qualified_name,
)
from pigpen.errors import BadRequest, InsufficientStorage
from pigpen.http.namespace import Changes, Property
from pigpen.http.namespace_rules import check_owner

#: of all names that a PROPFIND asks for: each entry of the answer repeats them with their
#: namespaces, which the body may say once for a thousand names
MAX_NAMES_BYTES: Final = 64 * 1024
#: of all properties that one request sets, names too: each value is kept with the namespaces around
#: it
MAX_CHANGES_BYTES: Final = 512 * 1024

#: the namespace and local name of a property
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a PROPFIND asks for: these names; or all, and ``names`` too; or the names there are."""

    names: tuple[Name, ...] = ()
    all: bool = False
    names_only: bool = False


EVERYTHING: Final = Asked(all=True)


def propfind(root: XmlElement | None) -> Asked:
    """:raises BadRequest: it is no propfind, or asks for nothing, or for two kinds of answer."""
    if root is None:
        return EVERYTHING
    check_root(root, "propfind")
    parts = {child.tag: child for child in children(root)}
    kinds = [kind for kind in ("prop", "propname", "allprop") if dav(kind) in parts]
    if len(kinds) != 1:
        raise BadRequest(reason="a propfind has one of prop, propname and allprop")
    if kinds[0] == "propname":
        return Asked(names_only=True)
    if kinds[0] == "prop":
        return Asked(_names(parts[dav("prop")]))
    include = parts.get(dav("include"))
    return Asked(() if include is None else _names(include), all=True)


def _names(element: XmlElement) -> tuple[Name, ...]:
    names = tuple(dict.fromkeys(map(qualified_name, children(element))))
    if sum(len(namespace) + len(name) for namespace, name in names) > MAX_NAMES_BYTES:
        raise BadRequest(reason="the names it asks for are too long: ask for fewer at once")
    return names


def propertyupdate(root: XmlElement | None) -> Changes:
    """What to set and remove, in document order. :raises BadRequest: it is no propertyupdate."""
    if root is None:
        raise BadRequest(reason="a PROPPATCH needs a body")
    check_root(root, "propertyupdate")
    return _changes(root, remove=True)


def mkcol(root: XmlElement) -> Changes:
    """The first properties of a collection (RFC 5689). :raises BadRequest: it is no mkcol."""
    check_root(root, "mkcol")
    return _changes(root, remove=False)


def _changes(root: XmlElement, *, remove: bool) -> Changes:
    """:raises InsufficientStorage: they are more than any node keeps."""
    changes: list[Property] = []
    size = 0
    steps = {dav("set"), dav("remove")} if remove else {dav("set")}
    found = [child for child in children(root) if child.tag in steps]
    if not found:
        raise BadRequest(reason="the body names no property to set")
    for step in found:
        for prop in children(step):
            if prop.tag == dav("prop"):
                for element in children(prop):
                    change = _change(element, is_set=step.tag == dav("set"))
                    size += len(change.namespace) + len(change.name) + len(change.value or "")
                    if size > MAX_CHANGES_BYTES:
                        raise InsufficientStorage(reason="set fewer properties at once")
                    changes.append(change)
    return tuple(changes)


def _change(element: XmlElement, *, is_set: bool) -> Property:
    namespace, name = qualified_name(element)
    return Property(namespace, name, element_text(element) if is_set else None)


@dataclass(frozen=True, slots=True)
class LockInfo:
    """The body of a LOCK: a write lock of this scope. ``owner``: XML as sent."""

    exclusive: bool
    owner: str


def lockinfo(root: XmlElement | None) -> LockInfo | None:
    """:return: None: there is no body: a lock is to be refreshed.
    :raises BadRequest: it is no lockinfo, or wishes for something else than a write lock.
    :raises InsufficientStorage: its owner is over 4 KiB.
    """
    if root is None:
        return None
    check_root(root, "lockinfo")
    parts = {child.tag: child for child in children(root)}
    scope = _only(parts.get(dav("lockscope")), "lockscope")
    kind = _only(parts.get(dav("locktype")), "locktype")
    if kind != dav("write") or scope not in {dav("exclusive"), dav("shared")}:
        raise BadRequest(reason="a lock is a write lock, exclusive or shared")
    owner = parts.get(dav("owner"))
    text = "" if owner is None else element_text(owner)
    check_owner(text)
    return LockInfo(scope == dav("exclusive"), text)


def _only(element: XmlElement | None, name: str) -> str:
    inside = [] if element is None else children(element)
    if len(inside) != 1:
        raise BadRequest(reason=f"a lockinfo needs one {name}")
    return str(inside[0].tag)
