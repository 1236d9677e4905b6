"""What tests of the catalog share: an Env whose threads run inline, and a database to rule over."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.catalog import accounts, writes
from pigpen.coordinator.catalog.accounts import Principal
from pigpen.coordinator.catalog.sqlite import SqliteCatalog
from pigpen.database.schema import read_schema
from pigpen.database.sqlite.migrations import migrate
from pigpen.database.transaction import Transaction
from pigpen.http import wire
from pigpen.http.conditions import Conditions
from pigpen.http.key import Key
from pigpen.http.namespace import When

START_MS = 1_700_000_000_000


class InlineEnv:
    """Threads run at once, or when `run_threads` says so, as in a busy pool."""

    def __init__(self, seed: int = 0) -> None:
        self.clock: Any = task.Clock()
        self.random = random.Random(seed)
        self.disk: Any = None
        self.held: list[Callable[[], None]] | None = None
        self.hops = 0

    def wall(self) -> float:
        return START_MS / 1000 + self.clock.seconds()

    def in_thread(self, function: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        self.hops += 1
        if self.held is None:
            return execute(function, *args, **kwargs)
        done: Deferred[Any] = Deferred()
        self.held.append(lambda: execute(function, *args, **kwargs).chainDeferred(done))
        return done

    def run_threads(self) -> None:
        assert self.held is not None
        while self.held:
            self.held.pop(0)()

    def server_endpoint(self, description: str) -> Any:
        raise AssertionError

    def client_endpoint(self, host: str, port: int) -> Any:
        raise AssertionError


def schema_in_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
    connection.execute("PRAGMA foreign_keys = ON")
    migrate(connection, ":memory:", read_schema(SqliteCatalog.package))
    return connection


class RulesCase(SynchronousTestCase):
    """A test of rules: one database in memory, an account `me`, a clock that the test moves."""

    def setUp(self) -> None:
        self.tx = self.make_transaction()
        self.me = self.make_principal("me")

    def make_transaction(self) -> Transaction:
        connection = schema_in_memory()
        self.addCleanup(connection.close)
        return Transaction(connection, random.Random(7), START_MS)

    def plan(self, sql: str, *values: Any) -> str:
        """How a query would be answered."""
        return str(self.tx.all(f"EXPLAIN QUERY PLAN {sql}", *values))

    def make_principal(self, login: str, quota: int | None = None) -> Principal:
        account_id = accounts.make_account(self.tx, login, quota)
        row = self.tx.one("SELECT root_id FROM accounts WHERE id = ?", account_id)
        assert row is not None
        return Principal(account_id, login, row[0], "")

    def wait(self, ms: int) -> None:
        self.tx.now += ms

    def put(
        self, text: str, data: bytes = b"data", when: When | None = None, **more: Any
    ) -> wire.ReceiptAnswer:
        wish = writes.WriteWish(key(text), when=when or When(), length=len(data), **more)
        return writes.store_inline(self.tx, self.me, wish, data)

    def sums(self, principal: Principal | None = None) -> tuple[int, int, int]:
        """used, reserved, objects"""
        info = accounts.account_info(self.tx, (principal or self.me).account_id)
        return info.used, info.reserved, info.objects


class FileCase(SynchronousTestCase):
    """A test of a catalog in a file."""

    def setUp(self) -> None:
        self.env = InlineEnv()
        self.path = os.path.join(os.path.abspath(self.mktemp()), "catalog.sqlite")
        os.makedirs(os.path.dirname(self.path))

    def open(self, **more: Any) -> SqliteCatalog:
        catalog: SqliteCatalog = self.successResultOf(
            Deferred.fromCoroutine(SqliteCatalog.open(self.env, self.path, **more))
        )
        self.addCleanup(catalog.drop)
        return catalog

    def open_failing(self, kind: type[Exception], **more: Any) -> str:
        failure = self.failureResultOf(
            Deferred.fromCoroutine(SqliteCatalog.open(self.env, self.path, **more)), kind
        )
        return str(failure.value)


def key(text: str) -> Key:
    """A key as people write it; "" is the root."""
    return Key.from_text(text) if text else Key((), True)


def if_match(*tags: str) -> When:
    return When(conditions=Conditions(if_match=tags))


def if_none_match(*tags: str) -> When:
    return When(conditions=Conditions(if_none_match=tags))
