"""The fixed parts of a directory page: its frame, style and script, and what they are allowed.

The page is one answer: style and script lie in it, known to the browser by their hashes, so
nothing else in it can run or be fetched from elsewhere, whatever a stored name holds.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

#: one scope, in this order
_SCRIPTS: Final = (
    "elements",
    "server",
    "questions",
    "listing",
    "changes",
    "uploads",
    "upload_panel",
    "dropping",
    "preview",
    "start",
)
_SLOT = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class PageAssets:
    """What comes before and after a listing, and the Content-Security-Policy of the whole."""

    before: str
    after: str
    policy: str

    def begin(self, **texts: str) -> str:
        """What comes before the listing. :param texts: HTML for each ``{{name}}``."""
        return _SLOT.sub(lambda match: texts[match[1]], self.before)


@cache
def page_assets() -> PageAssets:
    """Read once a process, at the first page."""
    folder = resources.files("pigpen.dav") / "page_files"

    def read(name: str) -> str:
        return folder.joinpath(name).read_text("utf-8")

    style = read("page.css")
    script = "\n".join(read(f"{name}.js") for name in _SCRIPTS)
    before, _, after = read("page.html").partition("{{listing}}")
    before = before.replace("{{style}}", style)
    return PageAssets(before, after.replace("{{script}}", script), _policy(style, script))


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy: own files may be shown and fetched, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "connect-src 'self'",
            "img-src 'self' data:",
            "media-src 'self'",
            "frame-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hash(text: str) -> str:
    """CSP Level 3, 2.3.1: of the text between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
