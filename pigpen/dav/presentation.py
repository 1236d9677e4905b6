"""Presentation: whether a browser shows a stored file, or only saves it (DAV-93).

Whoever can store a file must not be able to run a program in the page of someone who opens it. So
only types that carry none are shown; all else is saved, and has no rights if it is shown anyway.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from pigpen.http.fields import OCTET_STREAM
from pigpen.http.message import Headers

_PDF: Final = "application/pdf"
#: types whose bytes are text, beside text/*, +json and +xml
_TEXTS: Final = frozenset(
    {
        "application/ecmascript",
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-httpd-php",
        "application/x-latex",
        "application/x-ndjson",
        "application/x-perl",
        "application/x-python",
        "application/x-ruby",
        "application/x-sh",
        "application/x-shellscript",
        "application/x-subrip",
        "application/x-tex",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    }
)
#: what programs send that do not know the type
_UNKNOWN: Final = frozenset({"", OCTET_STREAM, "binary/octet-stream"})
_KINDS_BY_SUFFIX: Final = {
    suffix: kind
    for kind, suffixes in (
        ("image", "avif bmp gif ico jpeg jpg png svg webp"),
        ("audio", "aac flac m4a mp3 oga ogg opus wav"),
        ("video", "m4v mov mp4 ogv webm"),
        ("pdf", "pdf"),
        (
            "text",
            "bat c cfg conf cpp css csv diff go h html ini java js json log lua md patch php pl py"
            " rb rs rst sh sql srt tex toml ts tsv txt xml yaml yml",
        ),
    )
    for suffix in suffixes.split()
}
#: no page of another origin may show or run what is stored here: a browser reaches loopback, where
#: nobody logs in, for any web page
OWN_PAGES_ONLY: Final = {"Cross-Origin-Resource-Policy": "same-origin"}
# one type, and no comma, behind which some browsers look for another one: image/png, text/html
_ONE_TYPE = re.compile(
    r"[ \t]*([a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+)[ \t]*(?:;[^,]*)?", re.IGNORECASE
)
# in a quoted filename: what some browsers would decode or cut (RFC 6266 appendix D)
_NOT_PLAIN = re.compile(r'[^ -~]|["\\%]')


def presentation_headers(content_type: str, name: str) -> Headers:
    """The fields of a file's answer that say how browsers present it.

    :param name: the file's; a page that saves it proposes it.
    """
    headers = Headers({"X-Content-Type-Options": "nosniff", **OWN_PAGES_ONLY})
    if not _is_shown(_essence(content_type)):
        headers["Content-Disposition"] = _attachment(name)
        headers["Content-Security-Policy"] = "sandbox"
    return headers


def kind_of(content_type: str, name: str) -> str:
    """How a page can show a file: image, audio, video, pdf, text; "" if it cannot."""
    essence = _essence(content_type)
    if essence in _UNKNOWN:
        stem, _, suffix = name.rpartition(".")
        return _KINDS_BY_SUFFIX.get(suffix.lower(), "") if stem else ""
    family = essence.partition("/")[0]
    if family in {"image", "audio", "video", "text"}:
        return family
    if essence == _PDF:
        return "pdf"
    return "text" if essence in _TEXTS or essence.endswith(("+json", "+xml")) else ""


def _essence(content_type: str) -> str:
    """Type and subtype; "": it is none, or more than one."""
    match = _ONE_TYPE.fullmatch(content_type)
    return "" if match is None else match.group(1).lower()


def _is_shown(essence: str) -> bool:
    if essence.startswith(("image/", "audio/", "video/")):
        return not essence.endswith("xml")  # SVG may hold scripts
    return essence in {"text/plain", _PDF}


def _attachment(name: str) -> str:
    """RFC 6266 4; the second form is for names that the first cannot hold (RFC 8187)."""
    plain = _NOT_PLAIN.sub("_", name)
    value = f'attachment; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='')}"
