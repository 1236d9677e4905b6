"""Certificates: used as they are, or refused with the name of the file."""

from __future__ import annotations

import contextlib

import trustme
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import ConfigError
from pigpen.testing.env import SimEnv
from pigpen.web.tls import self_signed_pin, server_options, tls_factory


class CertificateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        authority = trustme.CA()
        leaf = authority.issue_cert("localhost")
        self.write("/key", leaf.private_key_pem.bytes())
        self.write("/chain", b"".join(one.bytes() for one in leaf.cert_chain_pems))
        self.write("/own", authority.cert_pem.bytes())
        self.write("/other", authority.issue_cert("other").private_key_pem.bytes())
        self.write("/empty", b"")

    def write(self, path: str, data: bytes) -> None:
        file = self.env.disk.create(path)
        file.write(data)
        file.close()

    def test_good(self) -> None:
        """TLS 1.2 and later only."""
        context = server_options(self.env, "/chain", "/key").getContext()
        self.assertIsInstance(context, SSL.Context)

    def test_http2_offered(self) -> None:
        """curl and browsers, which offer HTTP/2 as well, hear that HTTP/1.1 is spoken."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_alpn_protos([b"h2", b"http/1.1"])
        client = SSL.Connection(context, None)
        client.set_connect_state()
        factory = tls_factory(self.env, "/chain", "/key", Factory.forProtocol(Protocol))
        server, transport = factory.buildProtocol(None), StringTransport()
        server.makeConnection(transport)
        for _ in range(4):
            with contextlib.suppress(SSL.WantReadError):
                client.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                server.dataReceived(client.bio_read(2**16))
            if transport.value():
                client.bio_write(transport.value())
                transport.clear()
        self.assertEqual(client.get_alpn_proto_negotiated(), b"http/1.1")

    def test_bad(self) -> None:
        for certificate, key, part in [
            ("/nowhere", "/key", "/nowhere"),
            ("/chain", "/nowhere", "/nowhere"),
            ("/empty", "/key", "/empty"),
            ("/chain", "/empty", "/empty"),
            ("/chain", "/other", "/other"),
        ]:
            error = self.assertRaises(ConfigError, server_options, self.env, certificate, key)
            self.assertIn(part, error.message)

    def test_key_open_to_others(self) -> None:
        """A private key that others can read stops the start; one for the service's group does
        not, nor a link, such as certbot makes."""
        for mode, mine, allowed in (
            (0o640, True, True),
            (0o644, True, False),
            (0o600, False, False),
        ):
            inode = self.env.disk._file("/key")
            inode.mode, inode.mine = mode, mine
            if allowed:
                server_options(self.env, "/chain", "/key")
            else:
                error = self.assertRaises(ConfigError, server_options, self.env, "/chain", "/key")
                self.assertIn("/key", error.message)

    def test_pin(self) -> None:
        """A certificate that signed itself is known by its key; others by their authority."""
        self.assertIsNone(self_signed_pin(self.env, "/chain"))
        self.assertRegex(str(self_signed_pin(self.env, "/own")), "^[A-Za-z0-9+/]{43}=$")
        for path in ("/nowhere", "/empty"):
            self.assertRaises(ConfigError, self_signed_pin, self.env, path)
