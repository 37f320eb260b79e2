"""A certificate authority for one project: it signs one server's certificate and one for each worker.

Keys are ECDSA on P-256 (FIPS 186-5), signatures with SHA-256; extensions follow RFC 5280. A worker's certificate is
valid for that worker only: it cannot serve, and a server's certificate cannot join a run.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gradwire.common.errors import ConfigError

SKEW = timedelta(hours=1)  # certificates are valid from an hour ago: clocks of other machines may be slow
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")  # in every server's certificate


@dataclass(frozen=True)
class Authority:
    """A signing key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, days: int) -> Authority:
        """A new authority, with a random name: the issuer of a certificate then identifies its authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"gradwire authority {secrets.token_hex(4)}")
        usage = _usage(key_cert_sign=True, crl_sign=True)
        builder = (
            _builder(name, name, key, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(key, builder.sign(key, SHA256()))

    @classmethod
    def read(cls, certificate: Path, key: Path) -> Authority:
        """The authority in two PEM files.

        Raises:
            ConfigError: they cannot be read, do not belong together, or have expired.
        """
        try:
            read = load_pem_private_key(key.read_bytes(), None)
            own = x509.load_pem_x509_certificate(certificate.read_bytes())
        except OSError as error:
            raise ConfigError(f"cannot read the authority's {error.filename}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{certificate} and {key} are damaged: start over with another --out"
            ) from error
        if not isinstance(read, ec.EllipticCurvePrivateKey) or read.public_key() != own.public_key():
            raise ConfigError(f"the key in {key} is not that of {certificate}: start over with another --out")
        if datetime.now(UTC) > own.not_valid_after_utc:
            raise ConfigError(
                f"the authority in {certificate} expired on {own.not_valid_after_utc:%Y-%m-%d}: "
                "start over with another --out"
            )
        return cls(read, own)

    def server(self, hosts: Sequence[str], days: int) -> bytes:
        """PEM of a server's key, its certificate for these hosts and for local connections, and the authority's."""
        names = [_general_name(host) for host in dict.fromkeys((*hosts, *LOCAL_HOSTS))]
        return self._issue((*hosts, "localhost")[0], days, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def worker(self, name: str, days: int) -> bytes:
        """PEM of a worker's key, its certificate under this name, and the authority's."""
        return self._issue(name, days, ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def _issue(
        self, name: str, days: int, purpose: x509.ObjectIdentifier, hosts: Sequence[x509.GeneralName]
    ) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(name[:64]), self.certificate.subject, key, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return (
            key_pem(key)
            + certificate_pem(builder.sign(self.key, SHA256()))
            + certificate_pem(self.certificate)
        )


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PEM of a key: PKCS #8 without a password, so the file's mode must protect it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """PEM of a certificate."""
    return certificate.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})
