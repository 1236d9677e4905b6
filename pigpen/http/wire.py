"""What coordinator, hosts and clients say to each other in JSON: the same types on both sides.

Coordinator (CLD-n: the specification's number):

    GET  /account                         Account              an account about itself (CLD-5)
    POST /account/keys                    NewKey -> MadeKey    201
    DEL  /account/keys/ID                                      204
    PUT  /api/LOGIN/KEY?redirect=false    -> UploadOffer       the JSON form of a write (CLD-31)
    GET  /api/LOGIN/KEY?redirect=false    -> DownloadOffer     the JSON form of a read (CLD-41)
    GET  /api/LOGIN/KEY?write=ID          -> WriteState        how did it end? (CLD-36)
    DEL  /api/LOGIN/KEY?write=ID          204                  give it up (CLD-36)
    GET  /api/LOGIN/KEY/                  lines of ListLine, then ListEnd (CLD-50); ?want=
    GET  /api/LOGIN/KEY?depth=0           one line, named "", of what the key names; ?want=
    GET  /api/LOGIN/?locks                lines of LockInfo, then ListEnd: all of the account
    DEL  /api/LOGIN/?locks=TOKEN          204: the account breaks a lock (DAV-46)
    POST /hosts                           Registration -> Registered    201, with an access key
    POST /hosts/ID/session                Registration -> Registered    each start, by host key
    POST /hosts/ID/heartbeat              Heartbeat                     204
    POST /hosts/ID/receipts               [Receipt] -> [ReceiptAnswer]

Host:

    POST /expect                          [Expectation] -> [ExpectationAnswer]   (CLD-20)
    GET|HEAD|PUT /x/UUID                  the transfer; 201 carries a Stored
    GET  /status                          HostStatus

Unknown fields are ignored, so that newer peers may say more. Ids are 64 hexadecimal digits, times
milliseconds since 1970, durations seconds. Refusals and errors are a `Problem`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

# \Z, as $ also matches before a newline at the end
Id = Annotated[str, Meta(pattern="^[0-9a-f]{64}\\Z")]
Size = Annotated[int, Meta(ge=0, le=2**62)]
# printable ASCII, without what could end a Link field's target
Url = Annotated[str, Meta(pattern="^https?://[!#-;=?-~]+\\Z", max_length=2048)]
# without control characters: it is shown on terminals
_PLAIN = "^[^\\x00-\\x1f\\x7f-\\x9f]*\\Z"
Label = Annotated[str, Meta(pattern=_PLAIN, max_length=100)]
MAX_SECONDS = 86_400
#: ms since 1970, until the year 9999: later times have no date
Moment = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Epoch = Annotated[int, Meta(ge=0, le=2**62)]
Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]

#: the first name of every object's path
API = "api"
#: an object this small lies in the catalog itself
INLINE_BYTES = 4096
#: the field in every answer to a host that says what the coordinator's clock shows: see `Receipt`
CLOCK = "Pigpen-Clock"
#: the field in answers about one version: see `format_modified`
MODIFIED = "Pigpen-Modified"
#: the field with the id of a write (CLD-36)
WRITE = "Pigpen-Write"
#: the field that names the user whose lock tokens count; without it that is the account itself
#: (DAV-46)
PRINCIPAL = "Pigpen-Principal"
MAX_BATCH = 1000
MAX_BATCH_BYTES = 1024 * 1024


class Private(Struct):
    """Holds a secret or a transfer's id, so that a log or a traceback shows its kind only."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Problem(Struct, omit_defaults=True):
    """The body of every refusal and error.

    ``roots``, of a 423: paths of the keys whose locks are in the way, relative to the account.
    """

    error: str
    message: str
    roots: list[str] = []


# -- coordinator to host --------------------------------------------------------------------------


class Expectation(Private, omit_defaults=True, rename={"from_": "from"}):
    """The permission for one transfer (CLD-21)."""

    uuid: Id
    method: Literal["GET", "HEAD", "PUT"]
    blob: Id
    write: Id | None = None
    length: Size | None = None
    max_bytes: Size | None = None
    #: SHA-256, hexadecimal
    digest: Id | None = None
    #: first and last byte, both included
    range: tuple[Size, Size] | None = None
    requests: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    start: Annotated[float, Meta(gt=0, le=600)] = 60
    end: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    idle: Annotated[float, Meta(gt=0, le=1_800)] = 60
    #: the client's address or network, "192.0.2.1" or "192.0.2.0/24"
    from_: str | None = None
    content_type: str | None = None
    modified: int | None = None
    #: a PUT whose receipt is `late` from the start: its client already got 202
    late: bool = False
    #: an account the live count is kept for; opaque to the host
    account: str = ""
    reason: Literal["user", "repair", "drain", "rebalance", "audit"] = "user"


class ExpectationAnswer(Private, omit_defaults=True):
    """204 accepted or repeated; 404, 409, 429, 503, 507 as CLD-20. ``offset``: bytes of a PUT the
    host already has."""

    uuid: Id
    status: int
    offset: Size = 0


# -- host to coordinator --------------------------------------------------------------------------


class Registration(Struct, omit_defaults=True):
    """A host at its start. ``instance``: random, new for each process. ``last_epoch``: 0: new.
    ``pin``: see `Target`; absent where strangers trust its certificate, or over plain HTTP."""

    instance: Id
    addresses: Annotated[list[Url], Meta(min_length=1, max_length=8)]
    target_size: Size
    floor: Size
    used: Size
    disk_free: Size
    last_epoch: Epoch = 0
    zone: Annotated[str, Meta(pattern=_PLAIN, max_length=64)] = ""
    pin: Annotated[str, Meta(pattern="^[A-Za-z0-9+/]{43}=\\Z")] | None = None


class Registered(Private, omit_defaults=True):
    """``host_key`` only in the answer to POST /hosts. ``control``: the Bearer secret that the
    coordinator shows at this host in this epoch: HMAC-SHA256(cluster secret, "ID:EPOCH")."""

    id: int
    epoch: int
    control: Id
    heartbeat_seconds: Seconds = 10
    host_key: str | None = None


class Heartbeat(Struct, omit_defaults=True):
    """How a host is. ``state``: see HOST_STATES. ``bad``: blobs found missing or damaged."""

    epoch: int
    target_size: Size
    used: Size
    reserved: Size
    floor: Size
    disk_free: Size
    state: Literal["up", "read-only", "draining", "stopping"]
    addresses: Annotated[list[Url], Meta(min_length=1, max_length=8)]
    bad: Annotated[list[Id], Meta(max_length=1000)] = []


class Receipt(Struct, omit_defaults=True):
    """A blob is durable on this host. ``data``: its bytes, if at most INLINE_BYTES.

    ``heard``: the last value of CLOCK that the host got; ``waits``: for so long after that the
    client waits for its answer. Later than that the receipt is `late`, whatever it says.
    """

    write: Id
    blob: Id
    length: Size
    sha256: Id
    epoch: int
    late: bool = False
    data: bytes | None = None
    heard: Annotated[str, Meta(max_length=64)] | None = None
    waits: Seconds | None = None


class ReceiptAnswer(Struct, omit_defaults=True):
    """201, 204: committed, as a new or in place of an old version; else the refusal to pass on:
    409 superseded, 410, 412, 423, 507 quota. The host drops a refused blob, but keeps one whose
    write is not known: 404."""

    write: Id
    status: int
    etag: str | None = None
    version: str | None = None
    modified: int | None = None
    error: str | None = None
    message: str | None = None


class HostStatus(Struct, omit_defaults=True):
    """What anyone may know of a host."""

    id: int
    epoch: int
    instance: Id
    state: str
    target_size: Size
    used: Size
    reserved: Size
    floor: Size
    disk_free: Size


# -- to clients -----------------------------------------------------------------------------------


class Target(Private, omit_defaults=True):
    """Where to PUT. ``pin``: base64 SHA-256 of the host's public key, if strangers do not trust its
    certificate."""

    uuid: Id
    url: Url
    pin: str | None = None


class UploadOffer(Private, omit_defaults=True):
    """The JSON form of a write: PUT to ``url``. ``offset``: bytes the host has already."""

    write: Id
    uuid: Id
    url: Url
    start: Seconds
    end: Seconds
    max_bytes: Size
    pin: str | None = None
    offset: Size = 0
    alternatives: list[Target] = []


class Source(Private, omit_defaults=True):
    url: Url
    uuid: Id
    pri: int
    pin: str | None = None


class DownloadOffer(Private, omit_defaults=True):
    """The JSON form of a read. ``digest``: SHA-256, hexadecimal. ``modified``: ms since 1970.
    ``same_second``: see `ListLine`.
    An object that lies in the catalog comes itself instead, and with an ETag."""

    length: Size
    etag: str
    digest: Id
    content_type: str
    modified: int
    sources: list[Source]
    same_second: bool = False


class Stored(Struct, omit_defaults=True):
    """The body of 201 and 200 answers to a PUT. ``modified``: ms since 1970."""

    etag: str
    version: str
    replaced: bool
    modified: int | None = None


class WriteState(Struct, omit_defaults=True):
    """How a write ended; ``status`` is what its PUT answered or would have. ``error``,
    ``message``: of a refusal, as in `Problem`."""

    state: Literal["open", "committed", "refused", "abandoned"]
    status: int | None = None
    etag: str | None = None
    error: str | None = None
    message: str | None = None


class Property(Struct, frozen=True, omit_defaults=True):
    """A dead property: its XML namespace (may be empty) and local name (CLD-14).

    ``value``: the element's XML, with all it inherits; None: only its name is meant, or in a change
    that it is removed.
    """

    namespace: str
    name: str
    value: str | None = None


class LockInfo(Struct):
    """``root``: the path of the API where it was taken; ``expires``: ms since 1970."""

    token: str
    root: str
    exclusive: bool
    infinite: bool
    principal: str
    owner: str
    expires: int


class ListLine(Struct, omit_defaults=True):
    """One member of a collection; ``name`` is relative, a collection's ends in a slash.

    ``same_second``: the version before had the same Last-Modified, so no date tells them apart.

    ``properties``, ``locks``: what the listing was asked for by ``want`` (CLD-51); all locks that
    cover it are there. None: not asked for.
    """

    name: str
    type: Literal["object", "collection"]
    modified: int
    length: Size | None = None
    etag: str | None = None
    digest: str | None = None
    content_type: str | None = None
    properties: list[Property] | None = None
    locks: list[LockInfo] | None = None
    created: int | None = None
    same_second: bool = False


class ListEnd(Struct):
    """The last line: without it the answer was cut. ``next``: pass it as ``after`` for more."""

    end: Literal[True]
    next: str | None


class KeyInfo(Struct, omit_defaults=True):
    """An access key, without its secret."""

    id: str
    label: str
    created: int
    not_after: int | None = None
    last_used: int | None = None


class Account(Struct, omit_defaults=True):
    """An account about itself; sizes in bytes.

    ``available``: what the quota leaves and hosts have room for. None: not limited, as far as is
    known.
    """

    login: str
    used: Size
    reserved: Size
    objects: int
    copies: int
    keys: list[KeyInfo]
    quota: Size | None = None
    available: Size | None = None


class NewKey(Struct, omit_defaults=True):
    label: Label = ""
    not_after: Moment | None = None


class MadeKey(Private, omit_defaults=True):
    """``key`` is shown this once."""

    id: str
    key: str


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)
