"""TLS for servers: certificate and key from PEM files, with modern defaults."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

from twisted.protocols.tls import TLSMemoryBIOFactory

from pigpen.config import privacy_faults
from pigpen.env import Env
from pigpen.errors import ConfigError

if TYPE_CHECKING:
    from twisted.internet.ssl import CertificateOptions

MAX_PEM_BYTES = 1024 * 1024
_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def tls_factory(env: Env, certificate: str, private_key: str, factory: Any) -> TLSMemoryBIOFactory:
    """A protocol factory that speaks TLS on the outside and is `factory` on the inside."""
    options = server_options(env, certificate, private_key)
    return TLSMemoryBIOFactory(options, False, factory, env.clock)


def server_options(env: Env, certificate: str, private_key: str) -> CertificateOptions:
    """TLS 1.2 and later, with Twisted's choice of ciphers. Blocks, at a service's start.

    :param certificate: path of the certificate, followed by those up to an authority.
    :raises ConfigError: a file cannot be read, or holds no usable PEM, or others may read the key.
    """
    from OpenSSL import SSL, crypto
    from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion

    path = certificate
    try:
        pem = env.disk.read(os.path.realpath(path), MAX_PEM_BYTES)
        chain = [Certificate.loadPEM(one).original for one in _CERTIFICATE.findall(pem)]
        own, *above = chain
        path = private_key
        real = os.path.realpath(path)  # certbot makes links
        text = env.disk.read(real, MAX_PEM_BYTES)
        if faults := privacy_faults(env.disk, real, group_may_read=True):
            raise ConfigError(path=path, reason=faults[0])
        options = CertificateOptions(
            privateKey=crypto.load_privatekey(crypto.FILETYPE_PEM, text),
            certificate=own,
            extraCertChain=above,
            raiseMinimumTo=TLSVersion.TLSv1_2,
            # clients that also offer HTTP/2 must hear what we speak, or the handshake fails
            acceptableProtocols=[b"http/1.1"],
        )
        options.getContext()
    except OSError as error:
        raise ConfigError(path=path, reason=error.strerror or "cannot be read") from None
    except (SSL.Error, crypto.Error, ValueError):
        reason = "it is no PEM file, or the key and the certificate do not fit each other"
        raise ConfigError(path=path, reason=reason) from None
    return options


def self_signed_pin(env: Env, certificate: str) -> str | None:
    """The pin by which peers recognise a certificate that no authority signed; see `key_pin`.

    :return: None if an authority signed it. :raises ConfigError: it cannot be read.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        pem = env.disk.read(os.path.realpath(certificate), MAX_PEM_BYTES)
        own = x509.load_pem_x509_certificate(pem)
    except OSError as error:
        raise ConfigError(path=certificate, reason=error.strerror or "cannot be read") from None
    except ValueError:
        raise ConfigError(path=certificate, reason="it is no PEM certificate") from None
    if own.issuer != own.subject:
        return None
    key = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
