"""MemoryStore: the contract all stores share, and what is its own: sizes, eviction, digests."""

from pigpen.http.body import PushBody
from pigpen.http.fields import format_digest
from pigpen.stores.memory import MemoryStore
from pigpen.testing.store_contract import ContractCase, store_contract


class MemoryStoreTests(store_contract(lambda case: MemoryStore(case.env))):  # type: ignore[misc]
    """The reference for all stores."""


class SizeTests(ContractCase):
    @staticmethod
    def make(case: ContractCase) -> MemoryStore:
        return MemoryStore(case.env, max_bytes=100, max_object_bytes=60)

    def test_least_recently_used_goes(self) -> None:
        """A full store forgets what was not asked for the longest."""
        for path in ("/a", "/b", "/c"):
            self.status("PUT", path, b"x" * 30)
        self.status("GET", "/a")
        self.assertEqual(self.status("PUT", "/d", b"x" * 30), 201)
        found = [self.status("GET", path) for path in ("/a", "/b", "/c", "/d")]
        self.assertEqual(found, [200, 404, 200, 200])
        self.assertEqual(self.store.size, 90)

    def test_too_large(self) -> None:
        """A value over the limit is 413: at once if its length is known, else when it is passed."""
        source = PushBody(61)
        self.assertEqual(self.ask("PUT", body=source).status, 413)
        source = PushBody()
        put = self.start("PUT", body=source)
        for _ in range(4):
            source.push(b"x" * 20)
        self.assertEqual(self.world.run(put).status, 413)
        self.assertEqual((self.status("GET"), self.store.size), (404, 0))

    def test_replaced_value_frees_its_room(self) -> None:
        for _ in range(5):
            self.status("PUT", body=b"x" * 60)
        self.assertEqual(self.store.size, 60)

    def test_digest(self) -> None:
        """Bytes that do not have the announced SHA-256 are not stored."""
        wrong = format_digest(bytes(32))
        self.assertEqual(self.status("PUT", body=b"x", Repr_Digest=wrong), 422)
        right = self.ask("GET", "/b").headers
        self.assertEqual(self.status("GET"), 404)
        self.status("PUT", "/b", b"abc")
        right = self.ask("GET", "/b").headers["Repr-Digest"]
        self.assertEqual(self.status("PUT", body=b"abc", Repr_Digest=right), 201)

    def test_part_of_a_value(self) -> None:
        """A PUT with Content-Range would overwrite the whole with a part: 400."""
        self.assertEqual(self.status("PUT", body=b"a", Content_Range="bytes 0-0/9"), 400)

    def test_collection(self) -> None:
        """A key with a final slash is no value."""
        self.assertEqual(
            [self.status("PUT", "/a/", b"x"), self.status("DELETE", "/a/")], [405, 405]
        )

    def test_fields_come_back(self) -> None:
        """What describes a value is kept with it."""
        self.status("PUT", body=b"x", Content_Type="text/css", Content_Encoding="gzip")
        headers = self.ask("GET").headers
        self.assertEqual(headers["Content-Type"], "text/css")
        self.assertEqual(headers["Content-Encoding"], "gzip")


class FullTests(ContractCase):
    @staticmethod
    def make(case: ContractCase) -> MemoryStore:
        return MemoryStore(case.env, max_bytes=100, evict="none")

    def test_full(self) -> None:
        """A store that may not forget refuses what does not fit, and keeps what it has."""
        self.assertEqual(self.status("PUT", "/a", b"x" * 80), 201)
        self.assertEqual(self.status("PUT", "/b", b"x" * 30), 507)
        self.assertEqual(self.status("PUT", "/a", b"y" * 100), 204)
        self.assertEqual(self.ask("GET", "/a").data, b"y" * 100)

    def test_full_meanwhile(self) -> None:
        """Two values that fit one by one but not together: the later one is refused."""
        sources = [PushBody(), PushBody()]
        puts = [self.start("PUT", f"/{n}", source) for n, source in enumerate(sources)]
        for source in sources:
            source.push(b"x" * 60)
            source.finish()
        self.assertEqual([self.world.run(put).status for put in puts], [201, 507])
