"""LiteralStore, NullStore, ErrorStore: no clock, nothing to flush."""

from pigpen.http.answers import NDJSON
from pigpen.http.body import PushBody
from pigpen.stores.literal import ErrorStore, LiteralStore, NullStore
from pigpen.testing.store_contract import ContractCase, store_contract

TEXT = b"User-agent: *\nDisallow: /\n"


class LiteralStoreTests(  # type: ignore[misc]
    store_contract(lambda case: LiteralStore(TEXT), fixed=TEXT)
):
    """One value under every key."""

    def test_mounted_under_its_own_path(self) -> None:
        """At its mount point a browser sees the value, a program may list it."""
        self.assertEqual(self.ask("GET", "/").data, TEXT)
        self.assertEqual(self.names("/"), (["value"], None))

    def test_own_etag(self) -> None:
        etag = self.ask("GET").headers["ETag"]
        self.assertEqual(self.status("GET", If_None_Match=etag), 304)

    def test_too_large(self) -> None:
        """A literal of over 1 MiB is a mistake, found at the start."""
        self.assertRaises(ValueError, LiteralStore, bytes(1024 * 1024 + 1))


class StatusTests(ContractCase):
    @staticmethod
    def make(case: ContractCase) -> LiteralStore:
        return LiteralStore(b"gone", status=410)

    def test_status(self) -> None:
        """Another status is answered as it is, whatever the conditions."""
        answer = self.ask("GET", Range="bytes=0-0", If_None_Match="*")
        self.assertEqual((answer.status, answer.data), (410, b"gone"))


class NullStoreTests(ContractCase):
    @staticmethod
    def make(case: ContractCase) -> NullStore:
        return NullStore()

    def test_takes_all_and_has_nothing(self) -> None:
        self.assertEqual(self.status("PUT", body=b"x" * 1000), 204)
        found = [self.status(method) for method in ("GET", "HEAD", "DELETE", "POST")]
        self.assertEqual(found, [404, 404, 404, 405])
        answer = self.ask("GET", "/", Accept=NDJSON)
        self.assertEqual(answer.data, b'{"end":true,"next":null}\n')


class ErrorStoreTests(ContractCase):
    @staticmethod
    def make(case: ContractCase) -> ErrorStore:
        return ErrorStore(503, retry_after=7)

    def test_answers_without_reading(self) -> None:
        """The configured status, at once, with the body untouched."""
        source = PushBody(10)
        answer = self.ask("PUT", body=source)
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "7"))
        self.assertFalse(source.ended)
