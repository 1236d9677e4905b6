"""What every database does with rules: tests to be run over each, and the rules they use.

Threads run inline; `env.held = []` holds them back so that calls wait and share a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred

from pigpen.coordinator.catalog.accounts import Principal, make_account
from pigpen.coordinator.catalog.listing import list_page
from pigpen.coordinator.catalog.namespace import make_collection, move
from pigpen.coordinator.catalog.writes import WriteWish, store_inline
from pigpen.database.database import Database
from pigpen.database.transaction import Transaction
from pigpen.errors import Conflict, NotFound, Unavailable
from tests.catalog_kit import InlineEnv, if_none_match, key

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as Case
else:
    Case = object


def add(tx: Transaction, name: str) -> str:
    """A row of a name; the catalog's own leases have none like it."""
    tx.run("INSERT INTO leases (name, holder, expires) VALUES (?, '', 0)", f"x{name}")
    return name


def add_and_refuse(tx: Transaction, name: str) -> None:
    add(tx, name)
    raise Conflict(reason="no")


def refuse(_: Transaction, __: str) -> None:
    raise Conflict(reason="no")


def add_and_break(tx: Transaction, name: str) -> None:
    add(tx, name)
    raise ZeroDivisionError


def wrong(tx: Transaction) -> None:
    tx.one("SELECT nothing FROM nowhere")


def names(tx: Transaction) -> list[str]:
    rows = tx.all("SELECT name FROM leases WHERE name LIKE 'x%' ORDER BY name")
    return [row[0][1:] for row in rows]


class DatabaseCase(Case):
    """A test that opens a database of its own."""

    env: InlineEnv
    catalog: Database

    def names(self, catalog: Database | None = None) -> list[str]:
        done = (catalog or self.catalog).read(names)
        if self.env.held is not None:
            self.env.run_threads()
        return self.successResultOf(done)


class CommitContract(DatabaseCase):
    """Reads and changes, alone and in batches, of an open `catalog`."""

    #: what is raised by a row that is there already, and by a table that is not
    twice: type[Exception]
    missing: type[Exception]

    def test_write_then_read(self) -> None:
        """What was written is read."""
        self.assertEqual(self.successResultOf(self.catalog.write(add, "a")), "a")
        self.assertEqual(self.names(), ["a"])

    def test_one_hop(self) -> None:
        """A lone caller waits for one thread, no more."""
        before = self.env.hops
        self.catalog.write(add, "a")
        self.assertEqual(self.env.hops, before + 1)

    def test_waiting_changes_share_a_commit(self) -> None:
        """However many wait, they cost one commit; each gets its own result."""
        self.env.held = []
        before = self.env.hops
        waiting = [self.catalog.write(add, str(n)) for n in range(100)]
        self.env.run_threads()
        self.assertEqual([self.successResultOf(d) for d in waiting], [str(n) for n in range(100)])
        self.assertEqual(self.env.hops, before + 1)

    def test_a_refusal_undoes_only_its_own(self) -> None:
        """One refused change beside others: they stay, all of it goes."""
        self.env.held = []
        good = self.catalog.write(add, "a")
        bad = self.catalog.write(add_and_refuse, "b")
        broken = self.catalog.write(add_and_break, "c")
        last = self.catalog.write(add, "d")
        self.env.run_threads()
        self.successResultOf(good)
        self.failureResultOf(bad, Conflict)
        self.failureResultOf(broken, ZeroDivisionError)
        self.successResultOf(last)
        self.assertEqual(self.names(), ["a", "d"])

    def test_what_is_judged_first_runs_once(self) -> None:
        """A stranger's refused requests cost those beside them nothing; one that had changed rows
        has its batch run again, and each call's answer is of the last run."""
        ran: list[str] = []

        def count(tx: Transaction, name: str) -> int:
            ran.append(add(tx, name))
            return len(ran)

        for bad, runs in ((refuse, ["a", "b"]), (add_and_refuse, ["c", "c", "d"])):
            ran.clear()
            self.env.held = []
            first = self.catalog.write(count, runs[0])
            refused = self.catalog.write(bad, "e")
            last = self.catalog.write(count, runs[-1])
            self.env.run_threads()
            self.failureResultOf(refused, Conflict)
            self.assertEqual(ran, runs)
            self.assertEqual(self.successResultOf(first), runs.count(runs[0]))
            self.assertEqual(self.successResultOf(last), len(runs))

    def test_a_wrong_statement_undoes_only_its_own(self) -> None:
        """A broken rule of ours, first or later, does not take others' changes along."""
        self.env.held = []
        good = self.catalog.write(add, "a")
        broken = self.catalog.write(wrong)
        twice = self.catalog.write(add, "a")
        last = self.catalog.write(add, "b")
        self.env.run_threads()
        self.successResultOf(good)
        self.failureResultOf(broken, self.missing)
        self.failureResultOf(twice, self.twice)
        self.successResultOf(last)
        self.assertEqual(self.names(), ["a", "b"])

    def test_slow_rules(self) -> None:
        """A large copy does not keep those behind it in its batch waiting too."""
        self.assertEqual(self.hops_of_slow(self.catalog.write), [0, 1, 2])

    def hops_of_slow(self, lane: Any) -> list[int]:
        """In which batch each of three calls ran, that take a second each."""

        def slow(tx: Transaction) -> int:
            self.env.clock.advance(1)
            return self.env.hops

        self.env.held = []
        waiting = [lane(slow) for _ in range(3)]
        self.env.run_threads()
        hops = [self.successResultOf(done) for done in waiting]
        return [hop - hops[0] for hop in hops]

    def test_one_read_fails_alone(self) -> None:
        """A miss and a broken query beside a hit."""

        def miss(tx: Transaction) -> None:
            raise NotFound

        self.env.held = []
        hit, missed = self.catalog.read(names), self.catalog.read(miss)
        broken, again = self.catalog.read(wrong), self.catalog.read(names)
        self.env.run_threads()
        self.failureResultOf(missed, NotFound)
        self.failureResultOf(broken, self.missing)
        self.assertEqual([self.successResultOf(hit), self.successResultOf(again)], [[], []])

    def test_reads_cannot_write(self) -> None:
        """A rule that changes something through `read` is found out."""
        self.failureResultOf(self.catalog.read(add, "a"), Unavailable)
        self.assertEqual(self.names(), [])

    def test_reads_share_a_snapshot(self) -> None:
        """Reads of one batch agree, whatever is written meanwhile."""
        self.env.held = []
        first, second = self.catalog.read(names), self.catalog.read(names)
        self.env.run_threads()
        self.assertEqual(self.successResultOf(first), self.successResultOf(second))

    def test_cancelled_before_it_began(self) -> None:
        """A client that left while waiting: its change does not happen."""
        self.env.held = []
        first, gone = self.catalog.write(add, "a"), self.catalog.write(add, "b")
        gone.cancel()
        self.env.run_threads()
        self.successResultOf(first)
        self.failureResultOf(gone, CancelledError)
        self.assertEqual(self.names(), ["a"])

    def test_cancelled_after_it_began(self) -> None:
        """A client that left too late: the change is there, nobody is called back."""

        def add_and_leave(tx: Transaction) -> None:
            add(tx, "a")
            gone.cancel()

        self.env.held = []
        gone = self.catalog.write(add_and_leave)
        self.env.run_threads()
        self.failureResultOf(gone, CancelledError)
        self.assertEqual(self.names(), ["a"])


class ConcurrencyContract(DatabaseCase):
    """Rules of many clients in the same commit."""

    def setUp(self) -> None:
        super().setUp()
        account_id = self.successResultOf(self.catalog.write(make_account, "me"))
        root_id = self.successResultOf(
            self.catalog.read(Transaction.one, "SELECT root_id FROM accounts")
        )
        assert root_id is not None
        self.me = Principal(account_id, "me", root_id[0], "")
        self.env.held = []

    def outcomes(self, waiting: list[Deferred[Any]]) -> list[Any]:
        """Results, and the status of each refusal."""
        found: list[Any] = []
        for done in waiting:
            done.addErrback(lambda failure: failure.value.status)
        self.env.run_threads()
        for done in waiting:
            found.append(self.successResultOf(done))
        return found

    def test_ten_creators(self) -> None:
        """Ten clients create one key with If-None-Match in the same moment: one 201 (Y3)."""
        wish = WriteWish(key("a"), when=if_none_match("*"))
        waiting = [
            self.catalog.write(store_inline, self.me, wish, b"%d" % n).addCallback(_status)
            for n in range(10)
        ]
        self.assertEqual(sorted(self.outcomes(waiting)), [201] + [412] * 9)

    def test_each_into_the_other(self) -> None:
        """MOVE a to b/x and b to a/x in the same moment: one happens, no cycle (Y4)."""
        for name in "ab":
            self.catalog.write(make_collection, self.me, key(name))
        waiting = [
            self.catalog.write(move, self.me, key("a"), key("b/x")),
            self.catalog.write(move, self.me, key("b"), key("a/x")),
        ]
        self.assertEqual(self.outcomes(waiting), [True, 409])
        page = self.catalog.read(_whole_tree, self.me)
        self.env.run_threads()
        self.assertEqual(self.successResultOf(page), ["b/", "b/x/"])

    def test_creates_and_a_listing(self) -> None:
        """1,000 creates by 10 clients, some refused: what was acknowledged is listed once (Y6)."""
        names = [f"{n // 100:03}" if n % 10 == 9 else f"{n:04}" for n in range(1000)]
        wishes = [WriteWish(key(name), when=if_none_match("*")) for name in names]
        waiting = [self.catalog.write(store_inline, self.me, wish, b"") for wish in wishes]
        found = self.outcomes([done.addCallback(_status) for done in waiting])
        made = {name for name, status in zip(names, found, strict=True) if status == 201}
        page = self.catalog.read(_whole_tree, self.me)
        self.env.run_threads()
        self.assertEqual(self.successResultOf(page), sorted(made))


def _status(answer: Any) -> int:
    status: int = answer.status
    return status


def _whole_tree(tx: Transaction, principal: Principal) -> list[str]:
    return [line.name for line in list_page(tx, principal, key(""), depth="infinity").lines]
