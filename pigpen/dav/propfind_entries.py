"""PROPFIND entries: what is said of each node, one column for each property."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pigpen.dav import live_properties
from pigpen.dav.call import Call
from pigpen.dav.live_properties import Getter, Values
from pigpen.dav.multistatus import escape, name_element, propstat, status_element
from pigpen.dav.xml_bodies import Asked, Name
from pigpen.http.key import Key
from pigpen.http.namespace import Ability, Node, Quota, Want

#: Windows lists with an empty PROPFIND, and no folder whose answer is over 1,000,000 bytes: these
#: and what it set itself make 330 bytes an entry (DAV-71)
_WINDOWS: Final = "Microsoft-WebDAV-MiniRedir/"
_WINDOWS_NAMES: Final = (
    live_properties.CREATED,
    live_properties.LENGTH,
    live_properties.MODIFIED,
    live_properties.KIND,
)
_OK: Final = status_element(200)
_NO_VALUES: Final[Values] = {}

#: the XML of one node
Entry = Callable[[Node], str]


def names_of_all(call: Call) -> tuple[Name, ...]:
    """The live properties that allprop gives."""
    agent = call.request.headers.get("User-Agent", "")
    return _WINDOWS_NAMES if agent.startswith(_WINDOWS) else live_properties.ORDINARY


def want_of(call: Call, asked: Asked) -> Want:
    """What nodes must carry for this answer, and no more."""
    abilities = call.namespace.abilities
    with_properties = Ability.PROPERTIES in abilities
    if asked.names_only:
        return Want(names=with_properties)
    names = {*asked.names, *(names_of_all(call) if asked.all else ())}
    alive = live_properties.getters(call).keys() - {live_properties.NAME} | live_properties.QUOTAS
    return Want(
        properties=with_properties and (asked.all or not names <= alive),
        locks=Ability.LOCKS in abilities and live_properties.LOCKS in names,
    )


def entry_of(call: Call, asked: Asked, quota: Quota | None) -> Entry:
    """The function that writes the nodes of an answer."""
    getters = live_properties.getters(call, quota)
    hrefs = _Hrefs(call)
    if asked.names_only:
        return _NamesOnly(getters, hrefs).entry
    if asked.all:
        return _All(getters, hrefs, names_of_all(call), asked.names).entry
    return _Named(getters, hrefs, asked.names).entry


class _Hrefs:
    """Escaped hrefs; members of one collection share its part, which is made once."""

    __slots__ = ("_base", "_call", "_parent")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._parent: tuple[str, ...] | None = None
        self._base = ""

    def of(self, key: Key) -> str:
        parent = key.names[:-1]
        if parent != self._parent:
            self._parent = parent
            self._base = escape(self._call.href(Key(parent, True)))[:-1]
        if not key.names:
            return self._base + "/"
        return self._base + escape(Key(key.names[-1:], key.collection).to_path())


class _Named:
    """Each asked property: its value, or that there is none (RFC 4918 9.1)."""

    __slots__ = ("_columns", "_hrefs", "_missing", "_missing_text")

    def __init__(self, getters: dict[Name, Getter], hrefs: _Hrefs, names: tuple[Name, ...]) -> None:
        self._hrefs = hrefs
        self._columns = [
            (getters.get(name) or _dead_getter(name), name_element(*name)) for name in names
        ]
        # mostly the same from entry to entry
        self._missing: list[str] = []
        self._missing_text = ""

    def entry(self, node: Node) -> str:
        return self.written(node, _values(node))

    def written(self, node: Node, values: Values, more: str = "") -> str:
        """:param more: elements beside the asked ones."""
        found: list[str] = []
        missing: list[str] = []
        for getter, absent in self._columns:
            text = getter(node, values)
            if text:
                found.append(text)
            else:
                missing.append(absent)
        if missing != self._missing:
            self._missing = missing
            self._missing_text = propstat(404, "".join(missing)) if missing else ""
        head = f"<D:response><D:href>{self._hrefs.of(node.key)}</D:href>"
        if not (found or more) and missing:
            return f"{head}{self._missing_text}</D:response>"
        return (
            f"{head}<D:propstat><D:prop>{''.join(found)}{more}</D:prop>{_OK}</D:propstat>"
            f"{self._missing_text}</D:response>"
        )


class _All:
    """All there is but what costs extra, and what is included by name."""

    __slots__ = ("_included", "_ordinary", "_taken")

    def __init__(
        self,
        getters: dict[Name, Getter],
        hrefs: _Hrefs,
        ordinary: tuple[Name, ...],
        included: tuple[Name, ...],
    ) -> None:
        rest = tuple(name for name in included if name not in ordinary)
        self._ordinary = [getters[name] for name in ordinary]
        self._included = _Named(getters, hrefs, rest)
        self._taken = frozenset((*ordinary, *rest, live_properties.NAME))

    def entry(self, node: Node) -> str:
        values = _values(node)
        more = "".join([getter(node, values) for getter in self._ordinary])
        if values:
            more += "".join([text for name, text in values.items() if name not in self._taken])
        return self._included.written(node, values, more)


class _NamesOnly:
    """The names of what a node has (propname)."""

    __slots__ = ("_hrefs", "_live")

    def __init__(self, getters: dict[Name, Getter], hrefs: _Hrefs) -> None:
        self._hrefs = hrefs
        self._live = [(getters[name], name_element(*name)) for name in live_properties.ORDINARY]

    def entry(self, node: Node) -> str:
        names = [element for getter, element in self._live if getter(node, _NO_VALUES)]
        names += [
            name_element(dead.namespace, dead.name)
            for dead in node.properties or ()
            if (dead.namespace, dead.name) != live_properties.NAME
        ]
        href = self._hrefs.of(node.key)
        stat = propstat(200, "".join(names))
        return f"<D:response><D:href>{href}</D:href>{stat}</D:response>"


def _dead_getter(name: Name) -> Getter:
    return lambda node, values: values.get(name, "")


def _values(node: Node) -> Values:
    if not node.properties:
        return _NO_VALUES
    return {
        (dead.namespace, dead.name): dead.value
        for dead in node.properties
        if dead.value is not None
    }
