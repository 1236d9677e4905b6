"""The HTML of a directory page: a row an entry, the path to it, and ways to sort and go on.

Names are foreign text: all of them pass `_escaped`, and every address comes from `Call.href`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final
from urllib.parse import urlencode

from pigpen.config import format_size
from pigpen.dav.page_order import FIELDS, MAX_SORTED_ENTRIES, Order
from pigpen.dav.presentation import kind_of
from pigpen.http.key import Key
from pigpen.http.namespace import Node

Href = Callable[[Key], str]

_TITLES: Final = {"name": "Name", "size": "Size", "time": "Modified"}
#: what turns the direction of the text around it, so that "gpj.exe" looks like "exe.jpg"
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page tells. ``order`` None: as stored, since there are too many to sort.

    ``total``: entries of the collection; None: not counted. ``next_after``: None on the last page.
    """

    collection: Node
    entries: list[Node]
    order: Order | None
    total: int | None
    before: int
    next_after: str | None
    first: bool


def title_of(shown: Shown) -> str:
    return _escaped(shown.collection.key.name) or "Files"


def path_of(shown: Shown, href: Href) -> str:
    """The collections from the root to this one, each but the last a link."""
    key = shown.collection.key
    items = [
        f'<li><a href="{escape(href(Key(key.names[:depth], True)))}">{_crumb(key, depth)}</a></li>'
        for depth in range(len(key.names))
    ]
    items.append(f'<li><h1 aria-current="page">{_crumb(key, len(key.names))}</h1></li>')
    up = ""
    if not key.is_root:
        up = (
            f'<a class="up button" rel="up" href="{escape(href(key.parent))}"'
            f' title="Up" aria-label="Up">{_icon("up")}</a>'
        )
    return f"{up}<ol>{''.join(items)}</ol>"


def _crumb(key: Key, depth: int) -> str:
    return f"<bdi>{_escaped(key.names[depth - 1])}</bdi>" if depth else "Files"


def listing_of(shown: Shown, href: Href) -> Iterator[str]:
    """The table in blocks, and what is around it."""
    if not shown.entries:
        yield '<p class="empty">' + _icon("folder")
        yield "Nothing more.</p>" if not shown.first else "This folder is empty.</p>"
    else:
        own = escape(href(shown.collection.key))
        yield f"<table><caption>{title_of(shown)}</caption><thead><tr>"
        yield "".join(_heading(field, shown, own) for field in FIELDS)
        yield "</tr></thead>\n<tbody>\n"
        for node in shown.entries:
            yield _row(node, href)
        yield "</tbody></table>"
    yield _footer(shown, escape(href(shown.collection.key)))


def _heading(field: str, shown: Shown, own: str) -> str:
    title = _TITLES[field]
    zone = '<span class="zone"> (UTC)</span>' if field == "time" else ""
    order = shown.order
    if order is None:
        return f'<th scope="col" class="{field}">{title}{zone}</th>'
    sorted_by = field == order.field
    # the largest and the newest first; a second click turns it round
    descending = not order.descending if sorted_by else field != "name"
    query = _query(Order(field, descending))
    mark = ""
    if sorted_by:
        mark = f' aria-sort="{"descending" if order.descending else "ascending"}"'
    return (
        f'<th scope="col" class="{field}"{mark}><a href="{own}{query}">{title}'
        f"{_icon('sort') if sorted_by else ''}</a>{zone}</th>"
    )


def _row(node: Node, href: Href) -> str:
    name = _escaped(node.key.name)
    when, exact = _times(node.modified)
    if node.is_collection:
        kind, size, symbol = "folder", '<td class="size"></td>', "folder"
    else:
        kind = kind_of(node.content_type, node.key.name)
        symbol = kind or "file"
        bytes_ = f"{node.length:,} byte{'s' * (node.length != 1)}"
        size = f'<td class="size" title="{bytes_}">{format_size(node.length)}</td>'
    return (
        f'<tr data-kind="{kind}" data-size="{node.length}"><th scope="row" class="name">'
        f'<a href="{escape(href(node.key))}">{_icon(symbol)}<bdi>{name}</bdi></a></th>{size}'
        f'<td class="time"><time datetime="{exact}" title="{exact}">{when}</time></td></tr>\n'
    )


def _footer(shown: Shown, own: str) -> str:
    pages = ""
    if not shown.first:
        query = _query(shown.order) if shown.order else ""
        pages += f'<a class="button" rel="start" href="{own}{query}">First page</a>'
    if shown.next_after is not None:
        query = _query(shown.order, shown.next_after)
        pages += f'<a class="button" rel="next" href="{own}{query}">Next page</a>'
    if pages:
        pages = f'<nav class="pages" aria-label="Pages">{pages}</nav>'
    return f'<div class="foot"><p class="count">{_count(shown)}</p>{pages}</div>'


def _count(shown: Shown) -> str:
    number = len(shown.entries)
    if shown.total is None:
        return f"{number:,} of over {MAX_SORTED_ENTRIES:,} entries, by name only"
    if number == shown.total:
        return f"{number:,} entr{'y' if number == 1 else 'ies'}" if number else ""
    return f"{shown.before + 1:,}–{shown.before + number:,} of {shown.total:,} entries"


def _query(order: Order | None, after: str | None = None) -> str:
    """What leads to a page, as it stands in an attribute; None: as stored."""
    fields = {"sort": order.field if order else "stored"}
    if order is not None and order.descending:
        fields["order"] = "desc"
    if after is not None:
        fields["after"] = after
    return escape("?" + urlencode(fields))


def _times(modified: int) -> tuple[str, str]:
    """For the reader, in UTC, and exact."""
    try:
        moment = datetime.fromtimestamp(modified / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # set by a client, past the year 9999
        return "", ""
    text = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"{text[:10]} {text[11:16]}", text


def _icon(name: str) -> str:
    return f'<svg class="icon {name}" aria-hidden="true"><use href="#{name}"/></svg>'


def _escaped(name: str) -> str:
    text = escape(name)
    if text.isascii():
        return text
    return _TURNING.sub(lambda match: f"<i>U+{ord(match[0]):X}</i>", text)
