"""TLS of the HTTP client, on the memory network: whom it believes, and what it says before.

Certificates are made once for the module; `go` lets handshakes happen.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import ConnectFailed, TimedOut, Untrusted
from pigpen.http.body import BytesBody, read_all
from pigpen.testing import World
from pigpen.web.client import HttpClient
from pigpen.web.connections import ElsewhereAddress
from tests.raw_server_kit import OK, RawServer

AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)
STRANGER = trustme.CA(key_type=trustme.KeyType.ECDSA)


def certificate(name: str, authority: trustme.CA = AUTHORITY) -> PrivateCertificate:
    issued = authority.issue_cert(name, key_type=trustme.KeyType.ECDSA)
    return PrivateCertificate.loadPEM(issued.private_key_and_cert_chain_pem.bytes())


def pin_of(made: PrivateCertificate) -> str:
    """Computed from the certificate file, as an administrator would."""
    key = load_pem_x509_certificate(made.dumpPEM()).public_key()
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(encoded).digest()).decode()


class Old:
    """A server that speaks TLS 1.1 at most."""

    def __init__(self, options: CertificateOptions) -> None:
        self.context = options.getContext()
        self.context.set_min_proto_version(SSL.TLS1_VERSION)
        self.context.set_max_proto_version(SSL.TLS1_1_VERSION)
        self.context.set_cipher_list(b"ALL:@SECLEVEL=0")

    def getContext(self) -> SSL.Context:
        return self.context


class TlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(1, latency=(0.001, 0.001))
        self.near, self.far = self.world.node("near"), self.world.node("far")
        self.server = RawServer()
        self.server.answer = OK
        trusted = Certificate.loadPEM(AUTHORITY.cert_pem.bytes())
        self.client = HttpClient(self.near, trust_root=trustRootFromCertificates([trusted]))
        self.port: Any = None

    def tearDown(self) -> None:
        self.world.run(self.client.close())
        self.world.run(self.port.stopListening())
        self.world.settle(1)
        self.world.assert_clean()

    def listen(self, options: Any) -> None:
        factory = TLSMemoryBIOFactory(options, False, self.server, clock=self.far.clock)
        self.port = self.world.run(self.far.server_endpoint("tcp:443").listen(factory))

    def put(self, **options: Any) -> bytes:
        """A PUT of a secret over TLS; the answer."""
        request = self.client.request("PUT", "https://far/", body=BytesBody(b"secret"), **options)
        return self.world.run(read_all(self.world.run(request).body, 99))

    def refused(self, kind: type[ConnectFailed] = Untrusted, **options: Any) -> None:
        error = self.assertRaises(kind, self.put, **options)
        self.assertEqual(type(error), kind)
        self.assertEqual(error.facts["peer"], "far:443")
        self.world.settle(1)
        self.assertEqual([connection.data for connection in self.server.connections], [b""])

    def test_trusted(self) -> None:
        """A certificate of an authority, for the name we asked for; the connection is kept."""
        self.listen(certificate("far").options())
        self.assertEqual([self.put(), self.put()], [b"ok", b"ok"])
        self.assertEqual(len(self.server.connections), 1)

    def test_other_name(self) -> None:
        """One for another name is refused before a byte of the request is sent."""
        self.listen(certificate("other").options())
        self.refused()

    def test_stranger(self) -> None:
        """So is one of an authority that we do not know."""
        self.listen(certificate("far", STRANGER).options())
        self.refused()

    def test_pin(self) -> None:
        """With its key announced a host needs no authority, and no name."""
        made = certificate("other", STRANGER)
        self.listen(made.options())
        self.assertEqual(self.put(pin=pin_of(made)), b"ok")

    def test_wrong_pin(self) -> None:
        """Another key is refused, even with a certificate of an authority."""
        self.listen(certificate("far").options())
        self.refused(pin=pin_of(certificate("far")))

    def test_pinned_connections_apart(self) -> None:
        """A connection that was opened by pin serves no request without, and the other way."""
        made = certificate("far")
        self.listen(made.options())
        self.put(pin=pin_of(made))
        self.put()
        self.assertEqual(len(self.server.connections), 2)
        self.assertRaises(ConnectFailed, self.put, pin=pin_of(certificate("far")))

    def test_old_protocol(self) -> None:
        """TLS 1.1 is refused (A7), by pin too."""
        made = certificate("far")
        self.listen(Old(made.options()))
        self.refused(ConnectFailed)
        self.server.connections.clear()
        self.refused(ConnectFailed, pin=pin_of(made))

    def test_silent_handshake(self) -> None:
        """A peer that accepts and says nothing is late while connecting."""
        self.port = self.world.run(self.far.server_endpoint("tcp:443").listen(RawServer()))
        error = self.assertRaises(TimedOut, self.put)
        self.assertEqual((error.facts["phase"], error.facts["seconds"]), ("connecting", 5))

    def test_no_tls_there(self) -> None:
        """A peer that speaks plain HTTP on that port is refused."""
        self.port = self.world.run(self.far.server_endpoint("tcp:443").listen(self.server))
        self.assertRaises(ConnectFailed, self.put)

    def test_cancel_in_handshake(self) -> None:
        self.port = self.world.run(self.far.server_endpoint("tcp:443").listen(RawServer()))
        done = Deferred.fromCoroutine(self.client.request("GET", "https://far/"))
        self.world.settle(1)
        done.cancel()
        self.failureResultOf(done)
        self.world.settle(1)
        self.assertEqual(self.near.host.transports, [])

    def test_big_answer(self) -> None:
        """A body of many TLS records comes whole."""
        data = bytes(range(256)) * 8192
        self.server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data
        self.listen(certificate("far").options())
        response = self.world.run(self.client.request("GET", "https://far/"))
        self.assertEqual(self.world.run(read_all(response.body, 1 << 30)), data)


class PlaceTests(SynchronousTestCase):
    """A client that may not talk to every machine."""

    def setUp(self) -> None:
        self.world = World(1)
        self.near, self.far = self.world.node("near"), self.world.node("far")
        self.server = RawServer()
        self.server.answer = OK
        self.port = self.world.run(self.far.server_endpoint("tcp:80").listen(self.server))
        self.judged: list[str] = []

    def tearDown(self) -> None:
        self.world.run(self.port.stopListening())
        self.world.settle(1)
        self.world.assert_clean()

    def ask(self, verdict: bool, size: int, url: str = "http://far/") -> int:
        def may_reach(address: str) -> bool:
            self.judged.append(address)
            return verdict

        async def asked() -> int:
            client = HttpClient(self.near, may_reach=may_reach)
            try:
                response = await client.request("PUT", url, body=BytesBody(bytes(size)))
                await read_all(response.body, 99)
                return response.status
            finally:
                await client.close()

        return self.world.run(asked())

    def test_name_that_leads_aside(self) -> None:
        """Whatever a name leads to, a machine that may not be reached is sent nothing (T4)."""
        for size in (10, 100_000):
            for url in ("http://far/", "https://far:80/"):
                error = self.assertRaises(ElsewhereAddress, self.ask, False, size, url)
                self.assertIn(self.far.host.address, error.message)
                self.world.settle(1)
                self.assertNotIn(b"PUT", self.server.connections[-1].data)
        self.assertEqual(set(self.judged), {self.far.host.address})

    def test_name_that_does_not(self) -> None:
        """Others are asked as ever."""
        for size in (10, 100_000):
            self.assertEqual(self.ask(True, size), 200)
