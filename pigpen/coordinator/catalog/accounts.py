"""Accounts and their access keys: rules over the catalog (CLD-1 to CLD-5)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from pigpen.coordinator.catalog.access_keys import AccessKey, Credentials, make_access_key
from pigpen.database.transaction import Transaction
from pigpen.errors import BadRequest, Conflict, NoAccount, NotFound, QuotaExceeded, Unauthorized
from pigpen.http import wire

MAX_KEYS: Final = 32

ACTIVE: Final = 1
SUSPENDED: Final = 2

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
#: compared with if there is no such key: an unknown id takes as long as a wrong secret
_NO_KEY: Final = bytes(32)


class Principal(msgspec.Struct, frozen=True):
    """Who was let in: an account, by one of its access keys."""

    account_id: int
    login: str
    root_id: int
    key_id: str


def make_account(
    tx: Transaction,
    login: str,
    quota: int | None = None,
    copies: tuple[int, int, int] = (1, 3, 4),
) -> int:
    """A new account with an empty namespace and no access key yet.

    :param quota: bytes; None: unlimited. :param copies: min, target, max (CLD-63).
    :return: its id. :raises BadRequest: the login. :raises Conflict: it is taken.
    """
    if _LOGIN.fullmatch(login) is None:
        raise BadRequest(reason="a login has 1 to 63 of a-z 0-9 . _ - and no mark in front")
    if tx.one("SELECT 1 FROM accounts WHERE login = ?", login):
        raise Conflict(reason=f"there is an account {login} already")
    account_id = tx.insert(
        "INSERT INTO accounts (id, login, state, root_id, quota, used, reserved, objects,"
        " min_copies, target_copies, max_copies, created)"
        " VALUES (?, ?, ?, 0, ?, 0, 0, 0, ?, ?, ?, ?)",
        login,
        ACTIVE,
        quota,
        *copies,
        tx.now,
    )
    root_id = tx.insert(
        "INSERT INTO nodes (id, account_id, parent_id, name, sort_name, version_id, created,"
        " modified) VALUES (?, ?, NULL, ?, ?, NULL, ?, ?)",
        account_id,
        b"",
        b"/",
        tx.now,
        tx.now,
    )
    tx.run("UPDATE accounts SET root_id = ? WHERE id = ?", root_id, account_id)
    return account_id


def find_account(tx: Transaction, login: str) -> int:
    """The id of an account. :raises NoAccount: there is none."""
    row = tx.one("SELECT id FROM accounts WHERE login = ?", login)
    if row is None:
        raise NoAccount(login=login)
    account_id: int = row[0]
    return account_id


def set_state(tx: Transaction, account_id: int, state: int) -> None:
    """:param state: ACTIVE, or SUSPENDED: `authenticate` lets nobody in."""
    tx.run("UPDATE accounts SET state = ? WHERE id = ?", state, account_id)


def authenticate(tx: Transaction, credentials: Credentials) -> Principal:
    """Let in who has a valid access key.

    :raises Unauthorized: wrong, unknown, expired, revoked, or of a suspended account.
    """
    row = tx.one(
        "SELECT k.secret_sha256, k.not_after, k.revoked, a.id, a.login, a.root_id, a.state"
        " FROM access_keys k JOIN accounts a ON a.id = k.account_id WHERE k.id = ?",
        credentials.key.id,
    )
    stored = _NO_KEY if row is None else row[0]
    right = hmac.compare_digest(stored, credentials.key.secret_sha256)
    if row is None or not right:
        raise Unauthorized
    _, not_after, revoked, account_id, login, root_id, state = row
    if revoked is not None or (not_after is not None and not_after <= tx.now) or state != ACTIVE:
        raise Unauthorized
    if credentials.login is not None and credentials.login != login:
        raise Unauthorized
    return Principal(account_id, login, root_id, credentials.key.id)


def add_key(tx: Transaction, account_id: int, wish: wire.NewKey) -> wire.MadeKey:
    """A new access key; its text is in the answer and nowhere else.

    :raises Conflict: there are 32. :raises BadRequest: it would have ended already.
    """
    count = tx.one(
        "SELECT count(*) FROM access_keys WHERE account_id = ? AND revoked IS NULL", account_id
    )
    if count is not None and count[0] >= MAX_KEYS:
        raise Conflict(reason=f"an account has at most {MAX_KEYS} access keys; delete one first")
    if wish.not_after is not None and wish.not_after <= tx.now:
        raise BadRequest(reason="not_after is in the past")
    key = make_access_key(tx.random)
    while tx.one("SELECT 1 FROM access_keys WHERE id = ?", key.id):
        key = make_access_key(tx.random)
    _insert_key(tx, account_id, key, wish)
    return wire.MadeKey(id=key.id, key=key.to_text())


def _insert_key(tx: Transaction, account_id: int, key: AccessKey, wish: wire.NewKey) -> None:
    tx.run(
        "INSERT INTO access_keys (id, account_id, label, secret_sha256, not_after, created)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        key.id,
        account_id,
        wish.label,
        key.secret_sha256,
        wish.not_after,
        tx.now,
    )


def revoke_key(tx: Transaction, account_id: int, key_id: str) -> None:
    """End an access key: the next request with it fails. :raises NotFound: no such key here."""
    changed = tx.run(
        "UPDATE access_keys SET revoked = ? WHERE id = ? AND account_id = ? AND revoked IS NULL",
        tx.now,
        key_id,
        account_id,
    )
    if not changed:
        raise NotFound


def list_keys(tx: Transaction, account_id: int) -> list[wire.KeyInfo]:
    """The keys that are not revoked, oldest first."""
    rows = tx.all(
        "SELECT id, label, created, not_after, last_used FROM access_keys"
        " WHERE account_id = ? AND revoked IS NULL ORDER BY created, id",
        account_id,
    )
    return [wire.KeyInfo(*row) for row in rows]


def note_used(tx: Transaction, last_used: Mapping[str, int]) -> None:
    """Write down when keys were last used: collected in memory, written about once a minute.

    :param last_used: key id to ms since 1970.
    """
    for key_id, moment in last_used.items():
        tx.run(
            "UPDATE access_keys SET last_used = ?1 WHERE id = ?2"
            " AND (last_used IS NULL OR last_used < ?1)",
            moment,
            key_id,
        )


def account_info(tx: Transaction, account_id: int) -> wire.Account:
    """An account about itself (CLD-5). :raises NotFound: there is none."""
    row = tx.one(
        "SELECT login, used, reserved, objects, target_copies, quota FROM accounts WHERE id = ?",
        account_id,
    )
    if row is None:
        raise NotFound
    login, used, reserved, objects, copies, quota = row
    keys = list_keys(tx, account_id)
    return wire.Account(login, used, reserved, objects, copies, keys, quota)


def left_of(account: wire.Account) -> int | None:
    """Bytes its quota leaves; None: it has none."""
    if account.quota is None:
        return None
    return max(0, account.quota - account.used - account.reserved)


def set_quota(tx: Transaction, account_id: int, quota: int | None) -> None:
    """Change a quota; what is stored already stays, also over it."""
    if not tx.run("UPDATE accounts SET quota = ? WHERE id = ?", quota, account_id):
        raise NotFound


# -- quota, as writes use it ----------------------------------------------------------------------


def room_left(tx: Transaction, account_id: int) -> int:
    """Bytes an account may still write, open writes counted; 2**62 without a quota."""
    row = tx.one("SELECT quota, used + reserved FROM accounts WHERE id = ?", account_id)
    if row is None:
        raise NotFound
    quota, taken = row
    return 2**62 if quota is None else max(0, quota - taken)


def count_change(
    tx: Transaction, account_id: int, *, used: int = 0, reserved: int = 0, objects: int = 0
) -> None:
    """Add to an account's sums; negative numbers give back."""
    tx.run(
        "UPDATE accounts SET used = used + ?, reserved = reserved + ?, objects = objects + ?"
        " WHERE id = ?",
        used,
        reserved,
        objects,
        account_id,
    )


def check_quota(tx: Transaction, account_id: int, more: int) -> None:
    """:raises QuotaExceeded: `more` bytes are over what is left; shrinking is always allowed."""
    if more > 0 and more > room_left(tx, account_id):
        raise QuotaExceeded
