"""XML elements that are kept as text and written into answers unchanged: properties, lock owners.

Whoever takes such text from outside checks it here, so that one bad value spoils no listing.
"""

from __future__ import annotations

import re

from lxml import etree

from pigpen.errors import BadRequest
from pigpen.http.namespace import MAX_VALUE_BYTES, Property

# no declaration, DOCTYPE or comment before it
_START = re.compile("<[^?!]")


def parse_element(text: str) -> etree._Element:
    """:raises BadRequest: it is not one element that declares its namespaces."""
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
    )
    try:
        if _START.match(text) is None:
            raise _malformed()
        return etree.fromstring(text, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise _malformed() from None


def check_property(change: Property) -> None:
    """:raises BadRequest: its value is not an element of its name. One that is too large passes: it
    is refused as such where it would be kept."""
    if change.value is None or len(change.value) > MAX_VALUE_BYTES:
        return
    tag = f"{{{change.namespace}}}{change.name}" if change.namespace else change.name
    if parse_element(change.value).tag != tag:
        raise BadRequest(reason="the value of a property is an element of its name")


def _malformed() -> BadRequest:
    return BadRequest(reason="a value is not one well-formed XML element")
