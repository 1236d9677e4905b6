"""Every failure pigpen names: one tree, one class a condition.

``status`` is what HTTP says, ``code`` what programs compare, the docstring what a person reads:
its ``{fields}`` are filled from the facts given to the constructor. Nobody parses messages.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class PigpenError(Exception):
    """Something failed inside this service; its log says what."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    #: seconds for ``Retry-After``; None where trying again does not help
    retry_after: ClassVar[int | None] = None
    #: the element that names the condition which failed (RFC 4918 16)
    condition: ClassVar[str | None] = None

    def __init__(self, **facts: object) -> None:
        super().__init__()
        self.facts = facts

    @property
    def message(self) -> str:
        """The sentence for the user: the docstring with the facts filled in.

        Fact ``said``: the sentence of a service further away, which knows better.
        """
        said = self.facts.get("said")
        if isinstance(said, str):
            return said
        text = " ".join(inspect.cleandoc(self.__doc__ or "").split())
        return text.format_map(self.facts)

    def __str__(self) -> str:
        return self.message


# -- 4xx: refusals; the same request would be refused again ------------------------------------


class BadRequest(PigpenError):
    """This request cannot be understood: {reason}."""

    status = 400
    code = "bad-request"


class BadKey(BadRequest):
    """This key cannot be used: {reason}."""

    code = "bad-key"


class BadField(BadRequest):
    """The header field {field} cannot be used: {reason}."""

    code = "bad-field"


class ShortBody(BadRequest):
    """The body ended after {received} of {expected} bytes; send all of it."""

    code = "short-body"


class Unauthorized(PigpenError):
    """A valid access key is needed: pass it with -k, in ~/.pigpen as 'accesskey: KEY', or as HTTP
    Bearer or Basic authorization."""

    status = 401
    code = "unauthorized"


class Forbidden(PigpenError):
    """This is not allowed: {reason}."""

    status = 403
    code = "forbidden"


class NotExpected(PigpenError):
    """The coordinator announced no such transfer, or it is over: ask the coordinator again."""

    status = 403
    code = "expectation"


class NotFound(PigpenError):
    """There is nothing under this key; `pigpen ls` shows what there is."""

    status = 404
    code = "not-found"


class NoAccount(NotFound):
    """There is no account of the login {login}."""

    code = "no-account"


class MethodNotAllowed(PigpenError):
    """{method} is not possible here; allowed: {allow}."""

    status = 405
    code = "method-not-allowed"


class RequestTimeout(PigpenError):
    """The request took too long to arrive; send it again, faster."""

    status = 408
    code = "timeout"


class Conflict(PigpenError):
    """This conflicts with what is there: {reason}."""

    status = 409
    code = "conflict"


class WrongLock(Conflict):
    """This conflicts with what is there: the lock token is not one of this key."""

    code = "wrong-lock"
    condition = "lock-token-matches-request-uri"


class Superseded(Conflict):
    """A newer version was stored meanwhile; this late one was dropped."""

    code = "superseded"


class Gone(PigpenError):
    """This write was given up; begin a new one."""

    status = 410
    code = "gone"


class PreconditionFailed(PigpenError):
    """The condition of the request does not hold: what is stored changed, exists, or is gone."""

    status = 412
    code = "precondition"


class TooLarge(PigpenError):
    """The body is larger than the {limit} bytes allowed here."""

    status = 413
    code = "too-large"


class KeyTooLong(PigpenError):
    """The key is too long: a name has at most 255 bytes, a key 4,096."""

    status = 414
    code = "key-too-long"


class UnsupportedMediaType(PigpenError):
    """A body of this type is not understood here: {reason}."""

    status = 415
    code = "media-type"


class RangeNotSatisfiable(PigpenError):
    """The range lies outside the {length} bytes there are."""

    status = 416
    code = "range"


class ExpectationFailed(PigpenError):
    """Only 'Expect: 100-continue' is known here."""

    status = 417
    code = "expect"


class Misdirected(PigpenError):
    """This server does not answer for the name in the Host field."""

    status = 421
    code = "host"


class DigestMismatch(PigpenError):
    """The bytes that arrived have another SHA-256 than announced; send them again."""

    status = 422
    code = "digest"


class Locked(PigpenError):
    """This is locked: wait until the lock ends, or see with `pigpen locks` who has it; programs
    send the lock token in an If field."""

    # fact ``roots``: the keys where the locks were taken
    status = 423
    code = "locked"
    condition = "lock-token-submitted"


class LockConflict(Locked):
    """Another lock is in the way: wait until it ends."""

    code = "lock-conflict"
    condition = "no-conflicting-lock"


class TooManyRequests(PigpenError):
    """Too many requests of this kind: {reason}."""

    status = 429
    code = "too-many"
    retry_after = 60


class HeadersTooLarge(PigpenError):
    """The request line and header fields are larger than the {limit} bytes allowed."""

    status = 431
    code = "header-size"


# -- 5xx: the same request may succeed later, or elsewhere -------------------------------------


class DiskFailed(PigpenError):
    """The disk of this host failed: whether the bytes were stored is not known. Ask the
    coordinator; the host takes no more until its disk was checked and it was started again."""

    code = "disk"


class NotBuilt(PigpenError):
    """This server does not know how to do this: {reason}."""

    status = 501
    code = "not-implemented"


class Unavailable(PigpenError):
    """This cannot be done now: {reason}; try again."""

    status = 503
    code = "unavailable"
    retry_after = 1


class NoReplica(Unavailable):
    """No host that keeps this can be reached now; try again."""

    code = "no-replica"
    retry_after = 5


class NoHost(Unavailable):
    """No host can take this now; try again, or lend space with `pigpen host`."""

    code = "no-host"


class CatalogFull(Unavailable):
    """The coordinator's disk is full; whoever runs it must make room there."""

    code = "catalog-full"
    retry_after = 60


class BadBlob(Unavailable):
    """This copy is missing or damaged; ask the coordinator for another."""

    code = "blob"


class InsufficientStorage(PigpenError):
    """There is not enough space: {reason}."""

    status = 507
    code = "full"
    condition = "sufficient-disk-space"


class QuotaExceeded(InsufficientStorage):
    """The account's quota does not leave room for this; delete something first."""

    code = "quota"
    condition = "quota-not-exceeded"


class NoRoom(InsufficientStorage):
    """No host has room for this; lend more space with `pigpen host`."""

    code = "no-room"


# -- no answer: what `handle` raises when a peer gave none ---------------------------------------


class NoAnswer(PigpenError):
    """{peer} gave no answer: {reason}."""

    status = 502
    code = "no-answer"


class ElsewhereDestination(PigpenError):
    """The Destination lies on another server or account; copy by reading and writing."""

    status = 502
    code = "destination"


class ConnectFailed(NoAnswer):
    """Cannot connect to {peer}: {reason}. Is it running, and is the address right?"""

    code = "connect"


class Untrusted(ConnectFailed):
    """{peer} is not trusted, and was sent nothing: {reason}."""

    code = "certificate"


class ConnectionLost(NoAnswer):
    """The connection to {peer} was lost while {phase}."""

    code = "lost"


class TimedOut(NoAnswer):
    """{peer} was silent for {seconds:g} s while {phase}."""

    status = 504
    code = "silent"


class BadAnswer(NoAnswer):
    """{peer} gave an answer that makes no sense: {reason}."""

    code = "bad-answer"


# -- bodies ---------------------------------------------------------------------------------------


class BodyAborted(PigpenError):
    """The transfer was cut after {received} bytes: {reason}."""

    code = "aborted"


# -- programs -------------------------------------------------------------------------------------


class ConfigError(PigpenError):
    """{path}: {reason}."""

    code = "config"


class Refused(PigpenError):
    """{message}"""

    # an answer of another service, as its error body put it; ``facts`` has its status and code
    code = "refused"


class FileFailed(PigpenError):
    """Cannot {action} {path}: {reason}."""

    code = "file"


class WrongContent(PigpenError):
    """What arrived is not what was stored: {reason}. Do not use it; try again."""

    code = "wrong-content"


class OutcomeUnknown(PigpenError):
    """It is not known whether this was stored: {reason}. Look with `pigpen ls -l`; to store it
    once more does no harm."""

    status = 504
    code = "unknown"
