"""Namespace: a tree of objects and collections, with conditions, locks and properties (DAV-1 to 8).

What the WebDAV face asks for, and what the catalog, a coordinator far away and a store with a
sidecar give. Nobody but these names is shared between them.

Every look-up is loose: the stored spelling of a name wins over its other Unicode forms (DAV-62),
and a collection is found without its final slash too.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from pigpen.errors import PreconditionFailed
from pigpen.http.body import Body
from pigpen.http.conditions import Conditions, Validators
from pigpen.http.if_header import IfField
from pigpen.http.key import Key
from pigpen.http.message import Request
from pigpen.http.wire import Property as Property

#: of one property's value (DAV-52); of all properties of a node, names too; and their number
MAX_VALUE_BYTES: Final = 64 * 1024
MAX_PROPERTY_BYTES: Final = 1024 * 1024
#: of a property's namespace and name: an index of PostgreSQL takes 2,700 bytes of a row
MAX_PROPERTY_NAME_BYTES: Final = 2000
MAX_PROPERTIES: Final = 1000
#: a lock's time: a client that dies leaves its lock for so long at most (DAV-43)
MAX_LOCK_SECONDS: Final = 3600
LOCK_SECONDS: Final = 600
#: of one namespace: a DELETE of a collection may look at each
MAX_LOCKS: Final = 25_000
#: bytes of a lock's owner, and shared locks that meet: a listing tells of all locks on a member in
#: one line, which a client reads up to 8 MiB of
MAX_OWNER_BYTES: Final = 4096
MAX_MEETING: Final = 256
#: what can be done to a collection through every face, for a 405
ON_COLLECTION: Final = "GET, HEAD, DELETE, COPY, MOVE"

#: set in order, all or nothing; one without a value is removed
Changes = tuple[Property, ...]


class Ability(enum.Enum):
    """What a namespace can do beyond files and collections."""

    LOCKS = "locks"
    PROPERTIES = "properties"
    #: Last-Modified can be set
    MODIFIED = "modified"
    QUOTA = "quota"
    #: SHA-256 of objects are known
    DIGESTS = "digests"
    #: `list` of all levels at once
    SUBTREE = "subtree"
    #: `Reading.locations`
    LOCATE = "locate"


class Lock(msgspec.Struct, frozen=True):
    """A write lock. ``infinite``: it covers all below ``root``. ``owner``: XML as sent.

    ``expires``: ms since 1970.
    """

    token: str
    root: Key
    exclusive: bool
    infinite: bool
    principal: str
    owner: str
    expires: int


class LockWish(msgspec.Struct, frozen=True):
    """What a LOCK asks for. ``owner``: XML as sent, at most 4 KiB."""

    exclusive: bool = True
    infinite: bool = True
    owner: str = ""
    seconds: int = LOCK_SECONDS


class Want(msgspec.Struct, frozen=True):
    """What a node is to carry beyond itself. ``names``: of properties, without their values."""

    properties: bool = False
    names: bool = False
    locks: bool = False


NOTHING: Final = Want()


class Node(msgspec.Struct, frozen=True):
    """What a key names. ``key``: as stored; a collection's ends in a slash. Times: ms since 1970.

    ``properties`` and ``locks`` (all that cover it) are None if they were not wanted.
    ``same_second``: the version before had the same Last-Modified, so no date tells them apart.
    """

    key: Key
    modified: int
    created: int | None = None
    length: int = 0
    #: with its quotes; None: a collection
    etag: str | None = None
    content_type: str = ""
    sha256: bytes | None = None
    same_second: bool = False
    properties: tuple[Property, ...] | None = None
    locks: tuple[Lock, ...] | None = None

    @property
    def is_collection(self) -> bool:
        return self.key.collection

    @property
    def validators(self) -> Validators:
        """What conditions are judged against; no tag matches a collection, but ``*`` does."""
        # half a second equals no date a client can send (DAV-32)
        return Validators(self.etag or "", self.modified // 1000 + (0.5 if self.same_second else 0))


class Quota(msgspec.Struct, frozen=True):
    """In bytes; ``available`` None: not limited, as far as is known (RFC 4331)."""

    used: int
    available: int | None = None


class When(msgspec.Struct, frozen=True, omit_defaults=True):
    """The terms of one call, judged in the transaction that makes the change (CLD-12, DAV-3).

    They are kept with an open write, as JSON, and judged again when it is committed.
    """

    conditions: Conditions = Conditions()
    #: RFC 4918 10.4; its tags are paths of keys (`Key.to_path`), "" for what is not ours
    if_field: IfField | None = None
    #: who sends lock tokens: a token counts only from the user who took the lock (DAV-46)
    principal: str = ""
    #: also find other Unicode spellings of a name (DAV-62)
    loose: bool = False
    #: a PUT makes missing collections
    parents: bool = True


ALWAYS: Final = When()


def check_conditions(when: When, method: str, current: Validators | None) -> None:
    """:raises PreconditionFailed: If-Match and its kin do not hold for what is stored now."""
    if when.conditions.empty:
        return
    if when.conditions.verdict(method, current) is not None:
        raise PreconditionFailed


class WriteMeta(msgspec.Struct, frozen=True):
    """What is known of a body before it comes. None: unknown, or as the namespace likes.

    ``modified``: ms since 1970, instead of the time of the write.
    """

    content_type: str | None = None
    length: int | None = None
    sha256: bytes | None = None
    modified: int | None = None


class Written(msgspec.Struct, frozen=True):
    """``node``: the version that is durable and visible now. ``created``: there was none before."""

    node: Node
    created: bool


class Reading(Protocol):
    """One version of an object, open to be read: once, or not at all."""

    @property
    def node(self) -> Node: ...

    @property
    def locations(self) -> tuple[str, ...]:
        """URLs of hosts that expect this read from anyone; empty: it comes only through here."""

    async def body(self, offset: int, length: int) -> Body:
        """These bytes of this version, and of no other."""

    async def close(self) -> None:
        """Whoever opened it closes it, if `body` was not called."""


class Namespace(Protocol):
    """One user's view of a tree. A change is all or nothing, and durable when it returns.

    Beside what is named, any call may raise NoAnswer or Unavailable (the state is unknown or as
    before), a change PreconditionFailed, Locked (fact ``roots``: the keys where the locks lie),
    Conflict (no parent), Forbidden, InsufficientStorage (RFC 4918 11.5).
    """

    @property
    def abilities(self) -> frozenset[Ability]: ...

    async def stat(self, key: Key, want: Want = NOTHING) -> Node:
        """:raises NotFound: nothing there, or an object where the key ends in a slash."""

    def list(
        self, key: Key, *, deep: bool = False, want: Want = NOTHING, after: str = ""
    ) -> AsyncGenerator[Node, None]:
        """The members of a collection without itself, in bytewise order of their relative names.

        What was there all the time comes once (DAV-137). Hold it in ``aclosing``.

        :param deep: all below; needs `Ability.SUBTREE`. :param after: a relative name, exclusive.
        :raises NotFound: before the first member.
        """

    async def open(self, key: Key) -> Reading:
        """:raises NotFound: nothing there. :raises MethodNotAllowed: a collection."""

    async def check(self, key: Key, when: When) -> None:
        """Judge the If field alone, for a method that changes nothing.

        :raises PreconditionFailed: it does not hold.
        """

    async def write(self, key: Key, body: Body, meta: WriteMeta, when: When) -> Written:
        """PUT. Judged before the first chunk is asked for (DAV-24), and again with the change.

        :raises MethodNotAllowed: a collection. :raises DigestMismatch: the body is another.
        """

    async def make_collection(self, key: Key, changes: Changes, when: When) -> None:
        """MKCOL, with first properties. :raises MethodNotAllowed: something is there."""

    async def change_properties(
        self, key: Key, changes: Changes, when: When, modified: int | None = None
    ) -> None:
        """PROPPATCH. :param modified: the Last-Modified it gets, ms; None: it stays.

        :raises NotFound: nothing there.
        """

    async def delete(self, key: Key, when: When) -> None:
        """:raises NotFound: nothing there."""

    async def copy(
        self, source: Key, destination: Key, *, deep: bool, overwrite: bool, when: When
    ) -> bool:
        """:param deep: with all below. :return: whether the destination was new.

        :raises Forbidden: onto or into itself, or onto what it lies in (DAV-29); a key below the
            destination would be too long.
        """

    async def move(self, source: Key, destination: Key, *, overwrite: bool, when: When) -> bool:
        """:return: whether the destination was new. :raises Forbidden: as `copy`."""

    async def lock(self, key: Key, wish: LockWish, when: When) -> tuple[Lock, bool]:
        """:return: whether an empty object was made for it too (DAV-42).

        :raises LockConflict: other locks are in the way: fact ``roots``.
        """

    async def refresh(self, key: Key, seconds: int, when: When) -> Lock:
        """Give the lock new time whose token the If field submits.

        :raises PreconditionFailed: it is unknown, or covers another key.
        """

    async def unlock(self, key: Key, token: str, when: When) -> None:
        """:raises WrongLock: no such lock covers the key. :raises Forbidden: another user's."""

    async def quota(self, key: Key) -> Quota:
        """Of what the key lies in. :raises NotFound: nothing there."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that was let in. ``principal``: the user whose lock tokens count."""

    namespace: Namespace
    principal: str


class Admission(Protocol):
    """The door to namespaces: who may come, and what each one sees."""

    async def admit(self, request: Request) -> Visit:
        """:raises Unauthorized: a login is needed, or a wrong one was sent."""
