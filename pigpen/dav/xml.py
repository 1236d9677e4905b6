"""The XML of WebDAV requests: bounded, without entities or network (DAV-70).

`element_text` is how properties and lock owners are kept: an element that stands for itself, with
the namespaces it uses and the language it inherits (DAV-52).
"""

from __future__ import annotations

import copy
import re
from contextlib import aclosing
from typing import Final, TypeAlias

from lxml import etree

from pigpen.errors import BadRequest, TooLarge
from pigpen.http.body import Body

XmlElement: TypeAlias = etree._Element

MAX_XML_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 32
MAX_ELEMENTS: Final = 1000
# the limits are looked at this often, so that no body gets far past them
_SLICE_BYTES = 8 * 1024
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
# RFC 4918 14 asks for these two; ASCII is a part of the first
_ENCODING = re.compile("(utf-?(8|16|16le|16be)|us-ascii|ascii)", re.IGNORECASE)

DAV: Final = "DAV:"


def dav(name: str) -> str:
    """The full tag of an element of WebDAV's own namespace."""
    return f"{{{DAV}}}{name}"


async def read_xml(body: Body, limit: int = MAX_XML_BYTES) -> XmlElement | None:
    """The root element of a request's body, which is closed on every way out; None: it is empty.

    :raises TooLarge: over ``limit`` bytes. :raises BadRequest: no XML, or not such as is read here.
    """
    parser = _Parser()
    size = 0
    async with aclosing(body):
        if body.length is not None and body.length > limit:
            raise TooLarge(limit=limit)
        async for chunk in body:
            size += len(chunk)
            if size > limit:
                raise TooLarge(limit=limit)
            parser.feed(chunk)
    return parser.close() if size else None


def parse_xml(data: bytes) -> XmlElement:
    """The root element of a small body that is here as a whole. :raises BadRequest: as `read_xml`.

    :param data: at most ``MAX_XML_BYTES``.
    """
    parser = _Parser()
    parser.feed(data)
    return parser.close()


class _Parser:
    __slots__ = ("_count", "_depth", "_parser")

    def __init__(self) -> None:
        self._parser = etree.XMLPullParser(
            events=("start", "end"),
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
        )
        self._depth = 0
        self._count = 0

    def feed(self, chunk: bytes) -> None:
        try:
            for start in range(0, len(chunk), _SLICE_BYTES):
                self._parser.feed(chunk[start : start + _SLICE_BYTES])
                self._check()
        except etree.XMLSyntaxError as error:
            raise _refused(error) from None

    def _check(self) -> None:
        """:raises BadRequest: a limit was passed, or there is a DOCTYPE."""
        for event, element in self._parser.read_events():
            if event == "end":
                self._depth -= 1
                continue
            if self._count == 0 and element.getroottree().docinfo.internalDTD is not None:
                raise _bad("it has a DOCTYPE")
            self._depth += 1
            self._count += 1
            if self._depth > MAX_DEPTH:
                raise _bad(f"it is nested deeper than {MAX_DEPTH} elements")
            if self._count > MAX_ELEMENTS:
                raise _bad(f"it has more than {MAX_ELEMENTS} elements")

    def close(self) -> XmlElement:
        try:
            root: XmlElement = self._parser.close()
        except etree.XMLSyntaxError as error:
            raise _refused(error) from None
        self._check()
        encoding = root.getroottree().docinfo.encoding
        if encoding is not None and _ENCODING.fullmatch(encoding) is None:
            raise _bad("its encoding is neither UTF-8 nor UTF-16")
        return root


def _refused(error: etree.XMLSyntaxError) -> BadRequest:
    # the parser's words can quote the body, control characters too
    return _bad(f"line {error.lineno or 1} is not well-formed, or uses an entity")


def _bad(reason: str) -> BadRequest:
    return BadRequest(reason=f"the XML of the body: {reason}")


def check_root(root: XmlElement, name: str) -> None:
    """:raises BadRequest: it is another element than this one of WebDAV."""
    if root.tag != dav(name):
        raise _bad(f"its root is not DAV:{name}")


def children(element: XmlElement) -> list[XmlElement]:
    """The elements directly inside, without comments and processing instructions."""
    return [child for child in element if isinstance(child.tag, str)]


def qualified_name(element: XmlElement) -> tuple[str, str]:
    """Namespace ("" for none) and local name."""
    namespace, _, name = str(element.tag).rpartition("}")
    return namespace.removeprefix("{"), name


def inner_text(element: XmlElement) -> str:
    """The text inside, that of inner elements too, without blanks around."""
    return str(element.xpath("string()")).strip()


def element_text(element: XmlElement) -> str:
    """The element as XML that means the same anywhere: with its namespaces and xml:lang."""
    # the copy declares what it uses of the namespaces declared around the element
    alone = copy.deepcopy(element)
    language = next((e.get(_LANGUAGE) for e in _upwards(element) if _LANGUAGE in e.attrib), None)
    if language is not None:
        alone.set(_LANGUAGE, language)
    return etree.tostring(alone, encoding="unicode", with_tail=False)


def _upwards(element: XmlElement) -> list[XmlElement]:
    return [element, *element.iterancestors()]
