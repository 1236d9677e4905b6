"""Credentials: what an Authorization field says (CLD-3). Pure; nothing is looked up here."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

from pigpen.coordinator.catalog.access_keys import Credentials, parse_access_key
from pigpen.errors import BadRequest, Unauthorized
from pigpen.http.message import Headers

#: longer than any login and key in Basic
MAX_LENGTH = 512


def parse_authorization(headers: Headers) -> Credentials:
    """Read ``Bearer KEY`` or ``Basic LOGIN:KEY``; keys elsewhere are ignored.

    :raises Unauthorized: there is none, or it makes no sense: one same answer.
    :raises BadRequest: there are two.
    """
    value = _only_value(headers)
    if len(value) > MAX_LENGTH:
        raise Unauthorized
    return _parsed(value)


@lru_cache(maxsize=256)  # a request asks several times, and its client comes again
def _parsed(value: str) -> Credentials:
    scheme, _, rest = value.strip(" \t").partition(" ")
    rest = rest.strip(" ")
    if scheme.lower() == "bearer":
        return Credentials(parse_access_key(rest))
    if scheme.lower() == "basic":
        return _basic(rest)
    raise Unauthorized


def bearer_token(headers: Headers) -> str:
    """The token of ``Bearer TOKEN``, as hosts send it. :raises Unauthorized: there is none.
    :raises BadRequest: there are two."""
    scheme, _, token = _only_value(headers).strip(" \t").partition(" ")
    if scheme.lower() != "bearer" or len(token) > MAX_LENGTH:
        raise Unauthorized
    return token.strip(" ")


def _only_value(headers: Headers) -> str:
    """What Authorization says; "": nothing."""
    values = headers.getall("Authorization", [])
    if len(values) > 1:
        raise BadRequest(reason="there is more than one Authorization field")
    return values[0] if values else ""


def _basic(text: str) -> Credentials:
    try:
        login, colon, key = base64.b64decode(text, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Unauthorized from None
    if not colon:
        raise Unauthorized
    return Credentials(parse_access_key(key), login)
