"""The JSON that coordinator, hosts and clients exchange: round trips, and what is refused."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pigpen.http import wire

ID = "0123456789abcdef" * 4
URL = "http://192.0.2.1:2575/x/" + ID

SAMPLES: tuple[msgspec.Struct, ...] = (
    wire.Problem("code", "message"),
    wire.Expectation(ID, "PUT", ID, write=ID, length=5, range=(0, 4), from_="192.0.2.0/24"),
    wire.ExpectationAnswer(ID, 204, 7),
    wire.Registration(ID, [URL], 10, 5, 3, 100, pin="A" * 43 + "="),
    wire.Registered(1, 2, ID, host_key="k"),
    wire.Heartbeat(1, 10, 3, 2, 5, 100, "up", [URL], bad=[ID]),
    wire.Receipt(ID, ID, 3, ID, 1, data=b"\x00\xff\n"),
    wire.ReceiptAnswer(ID, 201, etag='"x"', version=ID, modified=5),
    wire.HostStatus(1, 2, ID, "up", 10, 3, 2, 5, 100),
    wire.UploadOffer(ID, ID, URL, 60, 3600, 100, alternatives=[wire.Target(ID, URL)]),
    wire.DownloadOffer(5, '"x"', ID, "text/plain", 7, [wire.Source(URL, ID, 1)]),
    wire.Stored('"x"', ID, False),
    wire.WriteState("committed", 201, '"x"'),
    wire.ListLine("a/", "collection", 7),
    wire.ListEnd(True, None),
    wire.Account("ada", 1, 2, 3, 1, [wire.KeyInfo("i", "label", 5)], quota=9),
    wire.NewKey("label", 7),
    wire.MadeKey("i", "key"),
)


class RoundTripTests(SynchronousTestCase):
    def test_samples(self) -> None:
        """Each type survives the way through JSON."""
        for sample in SAMPLES:
            self.assertEqual(msgspec.json.decode(wire.encode(sample), type=type(sample)), sample)

    def test_secrets_are_not_shown(self) -> None:
        """Neither keys nor the ids of transfers get into a log by a repr (A5)."""
        for sample in (
            wire.Expectation(ID, "PUT", "b" * 64),
            wire.ExpectationAnswer(ID, 204),
            wire.Registered(1, 2, "c" * 64, host_key=ID),
            wire.UploadOffer("w" * 64, ID, URL, 60, 3600, 100, alternatives=[wire.Target(ID, URL)]),
            wire.DownloadOffer(5, '"x"', ID, "text/plain", 7, [wire.Source(URL, ID, 1)]),
            wire.MadeKey("i", ID),
        ):
            self.assertEqual(repr(sample), f"<{type(sample).__name__}>")

    def test_newer_peer(self) -> None:
        """Fields we do not know are ignored, so that newer peers may say more."""
        for sample in SAMPLES:
            data = wire.encode(sample)
            more = data[:-1] + b', "of-tomorrow": {"a": [1]}}'
            self.assertEqual(msgspec.json.decode(more, type=type(sample)), sample)

    def test_from(self) -> None:
        """The address of an expectation is called as in the specification."""
        self.assertIn(b'"from":"192.0.2.0/24"', wire.encode(SAMPLES[1]))


class RefusalTests(SynchronousTestCase):
    def refuse(self, value: object, kind: object) -> None:
        data = msgspec.json.encode(value)
        self.assertRaises(msgspec.ValidationError, msgspec.json.decode, data, type=kind)

    def test_ids(self) -> None:
        """An id is 64 lower-case hexadecimal digits, and nothing around them: it names a file."""
        for text in ("", "a", ID[1:], ID + "0", ID.upper(), ID + "\n", "\n" + ID, ID[:-1] + "/",
                     "../" + ID, ID[:-1] + "\0", ID[:-1] + "٣"):  # fmt: skip
            self.refuse(text, wire.Id)

    def test_urls(self) -> None:
        """A URL is http or https, printable ASCII, and cannot end a header field."""
        for text in ("", "ftp://a", "http://", "file:///x", "http://a b", URL + "\n",
                     URL + "\r\nX: y",
                     "http://a/\"x", "http://a/<x>", "http://ü/", "javascript:http://a",
                     "http://" + "a" * 2048):  # fmt: skip
            self.refuse(text, wire.Url)
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(URL), type=wire.Url), URL)

    def test_sizes(self) -> None:
        """Sizes and durations are not negative and not without bound."""
        for value in (-1, 2**62 + 1, 1.5, "1", True):
            self.refuse(value, wire.Size)
        for value in (-0.1, 86_401, "1"):
            self.refuse(value, wire.Seconds)

    def test_times_and_epochs(self) -> None:
        """What the catalog cannot keep, or nobody could show as a date, is refused at the door."""
        for not_after in (-1, 253_402_300_800_000, 2**63, 10**30):
            self.refuse({"not_after": not_after}, wire.NewKey)
        registration = msgspec.to_builtins(SAMPLES[3])
        for epoch in (-1, 2**63 - 1, 10**30):
            self.refuse({**registration, "last_epoch": epoch}, wire.Registration)

    def test_texts(self) -> None:
        """What is shown on terminals holds nothing that moves their cursor."""
        registration = msgspec.to_builtins(SAMPLES[3])
        for text in ("a\x1b[31m", "a\nb", "\0", "\x7f", "\x9b31m"):
            self.refuse({"label": text}, wire.NewKey)
            self.refuse({**registration, "zone": text}, wire.Registration)
        wish = msgspec.json.decode('{"label": "Ann’s laptop 🐷"}', type=wire.NewKey)
        self.assertEqual(wish.label, "Ann’s laptop 🐷")

    def test_expectations(self) -> None:
        """An expectation allows only what the specification names."""
        good = msgspec.to_builtins(wire.Expectation(ID, "GET", ID))
        for change in ({"method": "DELETE"}, {"method": "put"}, {"range": [5]}, {"range": [-1, 2]},
                       {"start": 0}, {"idle": 0}, {"requests": 0}, {"blob": "x"},
                       {"reason": "because"}):  # fmt: skip
            self.refuse({**good, **change}, wire.Expectation)

    def test_batches(self) -> None:
        """A host has an address, and not a thousand."""
        good = msgspec.to_builtins(SAMPLES[3])
        self.refuse({**good, "addresses": []}, wire.Registration)
        self.refuse({**good, "addresses": [URL] * 9}, wire.Registration)
        self.refuse({**good, "pin": "A" * 43 + "=\n"}, wire.Registration)
