"""Many clients on the same names at once: the counts of their answers (DAV-130 to DAV-135).

Simulated worlds try the orders; here are real sockets, processes and threads.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import requests

from tests.functional.webdav import WebDavCase

CLIENTS = 12
ROUNDS = 3
LOCK = (
    '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
    "<locktype><write/></locktype></lockinfo>"
)


class RaceTests(WebDavCase):
    """At the gateway: each client is a thread with a connection of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.pool = ThreadPoolExecutor(CLIENTS)
        self.addCleanup(self.pool.shutdown)
        self.sessions = [requests.Session() for _ in range(CLIENTS)]
        for session in self.sessions:
            self.addCleanup(session.close)
            session.request("OPTIONS", self.url, timeout=30)  # it is connected

    def ask(
        self, method: str, name: str, data: bytes | str = b"", client: int = 0, **headers: str
    ) -> requests.Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        session = self.sessions[client]
        return session.request(method, self.url + name, data=data, headers=fields, timeout=60)

    def race(self, ask: Callable[[int], requests.Response]) -> list[requests.Response]:
        """All clients ask at once."""
        start = Barrier(CLIENTS)

        def run(client: int) -> requests.Response:
            start.wait(30)
            return ask(client)

        return list(self.pool.map(run, range(CLIENTS)))

    def counts(self, ask: Callable[[int], requests.Response]) -> Counter[int]:
        return Counter(answer.status_code for answer in self.race(ask))

    def exists(self, name: str) -> bool:
        return self.ask("HEAD", name).status_code == 200

    def test_put_if_new(self) -> None:
        """Who asks for a new name gets it, or is told that it is taken (DAV-130)."""
        for name, size in (("small", 100), ("large", 100_000)):
            bodies = [bytes([client]) * size for client in range(CLIENTS)]

            def put(
                client: int, name: str = name, bodies: list[bytes] = bodies
            ) -> requests.Response:
                return self.ask("PUT", name, bodies[client], client, If_None_Match="*")

            answers = self.race(put)
            statuses = [answer.status_code for answer in answers]
            assert Counter(statuses) == {201: 1, 412: CLIENTS - 1}, statuses
            assert self.get(name) == bodies[statuses.index(201)]

    def test_readers(self) -> None:
        """Each reads one whole version, with the ETag of that version (DAV-131)."""
        for size in (3000, 200_000):
            made: dict[str, str] = {}

            def write_or_read(
                client: int, size: int = size, made: dict[str, str] = made
            ) -> requests.Response:
                if client % 2:
                    return self.ask("GET", "x", client=client)
                body = bytes([client]) * size
                answer = self.ask("PUT", "x", body, client)
                made[answer.headers["ETag"]] = hashlib.sha256(body).hexdigest()
                return answer

            write_or_read(0)
            for _ in range(ROUNDS):
                read = [
                    (answer.headers["ETag"], hashlib.sha256(answer.content).hexdigest())
                    for answer in self.race(write_or_read)
                    if answer.request.method == "GET"
                ]
                assert all(made[etag] == sha256 for etag, sha256 in read), (read, made)

    def test_mkcol_and_delete(self) -> None:
        """One makes it, one removes it (DAV-132)."""
        for _ in range(ROUNDS):
            made = self.counts(lambda client: self.ask("MKCOL", "d/", client=client))
            assert made == {201: 1, 405: CLIENTS - 1}, made
            gone = self.counts(lambda client: self.ask("DELETE", "d/", client=client))
            assert gone == {204: 1, 404: CLIENTS - 1}, gone

    def test_parent_goes(self) -> None:
        """A file is in the collection that was moved, or was refused: never lost, never left
        behind without a parent (DAV-133)."""
        for method in ("MOVE", "DELETE"):
            for number in range(ROUNDS):
                old, new = f"{method}{number}/", f"{method}{number}-new/"
                assert self.ask("MKCOL", old).status_code == 201

                def ask(
                    client: int, old: str = old, new: str = new, method: str = method
                ) -> requests.Response:
                    if client == CLIENTS // 2:
                        fields = {"Destination": self.url + new} if method == "MOVE" else {}
                        return self.ask(method, old, client=client, **fields)
                    return self.ask("PUT", f"{old}{client}", bytes(client * 1000), client)

                answers = self.race(ask)
                assert not self.exists(old), (method, number)
                for client, answer in enumerate(answers):
                    if client == CLIENTS // 2:
                        assert answer.status_code in {201, 204}, answer.text
                        continue
                    assert answer.status_code in {201, 409}, (answer.status_code, answer.text)
                    there = method == "MOVE" and answer.status_code == 201
                    assert self.exists(f"{new}{client}") is there, (client, answer.status_code)

    def test_no_cycle(self) -> None:
        """Two collections moved into each other: one of them lies in the other, with all
        (DAV-134)."""
        for number in range(ROUNDS):
            one, other = f"a{number}/", f"b{number}/"
            for name in (one, other):
                assert self.ask("MKCOL", name).status_code == 201
                assert self.ask("PUT", name + "f", b"1").status_code == 201

            def move(client: int, one: str = one, other: str = other) -> requests.Response:
                source, into = (one, other) if client % 2 else (other, one)
                return self.ask("MOVE", source, client=client, Destination=f"{self.url}{into}x/")

            found = self.counts(move)
            assert found[201] == 1, found
            assert set(found) <= {201, 403, 404, 409}, found
            places = [(one + "f", one + "x/f"), (other + "f", other + "x/f")]
            assert sorted(all(map(self.exists, pair)) for pair in places) == [False, True]

    def test_locks(self) -> None:
        """One gets the lock; who has none changes nothing after that (DAV-135)."""
        for number in range(ROUNDS):
            name = f"f{number}"
            assert self.ask("PUT", name, b"old").status_code == 201

            seen: list[str] = []

            def lock_or_put(
                client: int, name: str = name, seen: list[str] = seen
            ) -> requests.Response:
                if client % 2:
                    return self.ask("PUT", name, bytes(client * 1000), client)
                answer = self.ask("LOCK", name, LOCK, client)
                if answer.status_code == 200:
                    seen.append(self.ask("HEAD", name, client=client).headers["ETag"])
                return answer

            answers = self.race(lock_or_put)
            locks = Counter(answer.status_code for answer in answers[::2])
            assert locks == {200: 1, 423: CLIENTS // 2 - 1}, locks
            assert {answer.status_code for answer in answers[1::2]} <= {204, 423}
            assert [self.ask("HEAD", name).headers["ETag"]] == seen
