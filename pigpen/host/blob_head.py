"""BlobHead: what an answer says of a blob beside its bytes (CLD-24)."""

from __future__ import annotations

import re

from pigpen.host.confirming import etag_of
from pigpen.http.body import Body
from pigpen.http.conditions import Validators
from pigpen.http.field_lines import FieldLines
from pigpen.http.fields import OCTET_STREAM, format_digest
from pigpen.http.message import Headers, Response
from pigpen.http.representation import Selection
from pigpen.http.wire import Expectation

# strangers' bytes: never shown by a browser as a page of this host
_SAFETY = Headers(
    {
        "Cache-Control": "no-store",
        "Content-Disposition": "attachment",
        "Content-Security-Policy": "sandbox",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)
_MEDIA_TYPE = re.compile(r"[\t -~]{1,255}")


class BlobHead:
    """Made once for an open blob, as nearly all its expectations say the same of it."""

    __slots__ = ("_dated", "_headers", "_said", "_whole", "validators")

    def __init__(self, expectation: Expectation, size: int) -> None:
        """:param size: of the whole blob, in bytes."""
        self._said = (expectation.content_type, expectation.digest, expectation.modified)
        self._dated = expectation.modified is not None
        self.validators = Validators(etag_of(expectation.blob), (expectation.modified or 0) // 1000)
        self._headers = _SAFETY.copy()
        self._headers["Content-Type"] = _media_type(expectation.content_type)
        if expectation.digest is not None:
            self._headers["Repr-Digest"] = format_digest(bytes.fromhex(expectation.digest))
        self._whole = FieldLines(self._fields(Selection(200, 0, size, size)))

    def fits(self, expectation: Expectation) -> bool:
        """Whether an expectation of the same blob says the same of it."""
        said = (expectation.content_type, expectation.digest, expectation.modified)
        return said == self._said

    def answer(self, selection: Selection, body: Body | None) -> Response:
        """:param body: exactly the selected bytes; None for HEAD, 304 and no bytes."""
        if selection.status == 200:
            return Response(200, None, body, prepared=self._whole)
        return Response(selection.status, self._fields(selection), body)

    def _fields(self, selection: Selection) -> Headers:
        headers = selection.answer(self.validators, self._headers.copy(), None).headers
        if not self._dated:
            del headers["Last-Modified"]
        return headers


def _media_type(value: str | None) -> str:
    if value is None or _MEDIA_TYPE.fullmatch(value) is None:
        return OCTET_STREAM
    return value
