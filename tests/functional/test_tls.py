"""A cloud that speaks TLS, with an authority's certificates and with one that signed itself."""

from __future__ import annotations

import os
from pathlib import Path

import trustme
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.cloud import Cloud, Part
from tests.functional.processes import run
from tests.functional.solo import free_ports

ADDRESS = "127.0.0.1"


class CloudTests(SynchronousTestCase):
    def setUp(self) -> None:
        home = Path(self.mktemp()).absolute()
        home.mkdir(parents=True)
        self.authority = home / "authority.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        issued = authority.issue_cert(ADDRESS)
        self.signed = home / "signed.pem", home / "signed.key"
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(self.signed[0]), append=number > 0)
        issued.private_key_pem.write_to_path(str(self.signed[1]))
        self.signed[1].chmod(0o600)
        self.own = home / "own.pem", home / "own.key"
        made = run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=host",
                "-addext",
                f"subjectAltName=IP:{ADDRESS}",
            ),
            *("-out", str(self.own[0]), "-keyout", str(self.own[1])),
        )
        self.assertEqual(made.returncode, 0, made.stderr)
        self.cloud = cloud = Cloud(home)
        self.addCleanup(cloud.stop)
        cloud.scheme = "https"
        cloud.environment["SSL_CERT_FILE"] = str(self.authority)
        cloud.coordinator.options += options(self.signed)

    def test_self_signed_host(self) -> None:
        """A host needs no authority: who asks the coordinator learns the host's own key, and
        `pigpen` and the gateway believe no other; curl is told whom to believe. TLS 1.1 gets no
        word from any of the three services."""
        cloud = self.cloud
        cloud.start(*options(self.own))
        data = os.urandom(2_000_000)
        put = cloud.pigpen("put", "film", data=data)
        self.assertEqual((put.returncode, put.stderr), (0, b""), cloud.host.log())
        got = cloud.pigpen("get", "film")
        self.assertEqual((got.returncode, got.stderr), (0, b""))
        self.assertEqual(got.stdout, data)
        both = cloud.home / "both.pem"
        both.write_text(self.authority.read_text() + self.own[0].read_text())
        cloud.curl_options = ["--cacert", str(both)]
        self.assertEqual(cloud.get("film"), (200, data))
        self.assertIn(cloud.put("film", data[::-1]), {201, 204})
        # who does not know the host is sent its bytes by the coordinator
        cloud.curl_options = ["--cacert", str(self.authority)]
        self.assertEqual(cloud.get("film"), (200, data[::-1]))
        gateway = self.start_gateway()
        url = f"https://{ADDRESS}:{gateway.port}/film"
        self.assertEqual(
            run("curl", "-sS", "--cacert", str(self.authority), url).stdout, data[::-1]
        )
        for part in (cloud.coordinator, cloud.host, gateway):
            self.assertIn(b"alert protocol version", greet(part, "-tls1_1"))
            self.assertIn(b"BEGIN CERTIFICATE", greet(part, "-tls1_2"))
            self.assertIn(b"BEGIN CERTIFICATE", greet(part, "-tls1_3"))
            # plain HTTP is no way around
            self.assertNotEqual(run("curl", "-s", f"http://{ADDRESS}:{part.port}/").returncode, 0)

    def test_gateway_for_others(self) -> None:
        """Beyond loopback people log in at the gateway with login and access key; without TLS it
        does not start."""
        cloud = self.cloud
        cloud.start(*options(self.own))
        (cloud.home / ".pigpen").write_text(f"coordinator: {cloud.url}\n")  # it needs no key
        gateway = self.start_gateway("--interface=0.0.0.0")
        url = f"https://{ADDRESS}:{gateway.port}/film"
        data = os.urandom(200_000)
        curl = ("curl", "-sS", "--cacert", str(self.authority), "-w", "%{http_code}")
        login = ("-u", f"me:{cloud.key}")
        self.assertEqual(run(*curl, *login, "-T", "-", url, input=data).stdout, b"201")
        self.assertEqual(run(*curl, *login, url).stdout, data + b"200")
        for wrong in ((), ("-u", "me:pp_no"), ("-u", f"you:{cloud.key}")):
            got = run(*curl, *wrong, "-o", os.devnull, url)
            self.assertEqual(got.stdout, b"401", wrong)
        [port] = free_ports(1)
        plain = cloud.pigpen("runserver", f"--port={port}", "-i", "0.0.0.0", "--insecure")
        self.assertEqual(plain.returncode, 2)
        self.assertIn(b"--users=FILE", plain.stderr)

    def start_gateway(self, *more: str) -> Part:
        [port] = free_ports(1)
        gateway = Part(self.cloud.home, "runserver", port, "Listening on")
        gateway.folder = None
        gateway.environment = self.cloud.environment
        gateway.options = [*options(self.signed), *more]
        self.addCleanup(gateway.kill)
        gateway.start()
        return gateway

    def test_strangers(self) -> None:
        """A coordinator whom no known authority vouches for, a host that shows another key than it
        registered: nothing is sent, and one sentence says why."""
        cloud = self.cloud
        cloud.start(*options(self.own))
        self.assertEqual(cloud.pigpen("put", "film", data=b"x" * 50_000).returncode, 0)
        cloud.host.kill()
        impostor = Part(cloud.home, "coordinator", cloud.host.port, "Listening on")
        impostor.folder = cloud.home / "impostor"
        impostor.options = options(self.signed)
        self.addCleanup(impostor.kill)
        impostor.start()
        cloud.curl_options = ["--cacert", str(self.authority)]
        self.assertEqual(cloud.get("film")[0], 503)
        self.assertNotIn("/x/", impostor.log())
        del cloud.environment["SSL_CERT_FILE"]
        for size in (1, 50_000):
            put = cloud.pigpen("put", "film", data=bytes(size))
            self.assertEqual((put.returncode, put.stderr.count(b"\n")), (1, 1), put.stderr)
            self.assertIn(b"certificate is not valid", put.stderr)

    def test_wrong_files(self) -> None:
        """Files that do not fit, are missing or are no PEM: no start, and a sentence."""
        cloud = self.cloud
        nothing = cloud.home / "nothing"
        for pair in (
            (self.signed[0], self.own[1]),
            (nothing, self.own[1]),
            (self.own[0], nothing),
            (self.authority.parent / "own.key", self.own[1]),
        ):
            done = cloud.pigpen("coordinator", "c", *options(pair), "--port=1")
            self.assertIn(done.returncode, {1, 2}, pair)
            self.assertEqual(done.stderr.count(b"pigpen: "), 1, done.stderr)
            self.assertNotIn(b"Traceback", done.stderr)


def options(pair: tuple[Path, Path]) -> list[str]:
    return [f"--certificate={pair[0]}", f"--private-key={pair[1]}"]


def greet(part: Part, version: str) -> bytes:
    """What a handshake in one version of TLS gives; the weak ciphers of old ones are allowed."""
    address = f"{ADDRESS}:{part.port}"
    weak = ("-cipher", "DEFAULT@SECLEVEL=0")
    done = run("openssl", "s_client", "-connect", address, version, *weak, seconds=20)
    return done.stdout + done.stderr
