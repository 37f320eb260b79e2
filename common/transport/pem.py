"""PEM files: certificates and a private key, read and checked before a connection is tried.

A file may hold everything that its owner needs: the private key, the certificate, and that of the authority
which signed it and its peers. ``gradwire certs`` writes such files, so a worker needs one file alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from gradwire.common.errors import ConfigError

_KEY_MARKS = (b"-----BEGIN PRIVATE KEY", b"-----BEGIN EC PRIVATE KEY", b"-----BEGIN RSA PRIVATE KEY")
_LOCKED_MARK = b"-----BEGIN ENCRYPTED PRIVATE KEY"


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key, as gRPC takes them.

    Attributes:
        name: the common name of the certificate's subject.
        chain: PEM of the certificate and of intermediate ones; authorities are left out, as peers have their own.
        key: PEM of the private key.
        authorities: PEM of the authorities in the same file; empty when there is none.
        certificate_file: where the certificate was read.
        key_file: where the key was read; may be the same file.
    """

    name: str
    chain: bytes
    key: bytes = field(repr=False)
    authorities: bytes
    certificate_file: Path
    key_file: Path


def read_identity(certificate_file: Path, key_file: Path | None = None) -> Identity:
    """Read a certificate and its private key; without ``key_file`` both are in one file.

    Raises:
        ConfigError: a file cannot be read or holds something else, the two do not belong together, or the
            certificate is not valid today.
    """
    key_file = key_file or certificate_file
    certificates = _certificates(certificate_file)
    own = [c for c in certificates if not _is_authority(c)]
    if not own:
        raise ConfigError(
            f"{certificate_file} holds certificates of authorities alone: name the file of your own"
        )
    leaf = own[0]
    _check_dates(leaf, certificate_file)
    key_pem = _read(key_file)
    if _public(leaf.public_key()) != _public(_private_key(key_pem, key_file).public_key()):
        raise ConfigError(f"the key in {key_file} is not that of the certificate in {certificate_file}")
    authorities = b"".join(_pem(c) for c in certificates if _is_authority(c))
    return Identity(name_of(leaf), b"".join(map(_pem, own)), key_pem, authorities, certificate_file, key_file)


def read_authorities(path: Path) -> bytes:
    """PEM of the authorities in a file.

    Raises:
        ConfigError: it cannot be read, holds none, or one that is not valid today.
    """
    found = [c for c in _certificates(path) if _is_authority(c)]
    if not found:
        raise ConfigError(
            f"{path} holds no certificate of an authority: expected the ca.crt of `gradwire certs`"
        )
    for certificate in found:
        _check_dates(certificate, path)
    return b"".join(map(_pem, found))


def name_of(certificate: x509.Certificate) -> str:
    """The common name of the subject; empty when it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _certificates(path: Path) -> list[x509.Certificate]:
    pem = _read(path)
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(
            f"{path} holds no certificate in PEM: expected a file of `gradwire certs`, or -----BEGIN CERTIFICATE-----"
        ) from error


def _private_key(pem: bytes, path: Path) -> PrivateKeyTypes:
    if _LOCKED_MARK in pem:
        raise ConfigError(f"the key in {path} has a password: write it without one, in a file of mode 0600")
    if not any(mark in pem for mark in _KEY_MARKS):
        raise ConfigError(f"{path} holds no private key: name the file that does")
    try:
        return load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"the private key in {path} is damaged, or of a kind that is not known") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _check_dates(certificate: x509.Certificate, path: Path) -> None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise ConfigError(
            f"{path}: the certificate of {name_of(certificate)} expired on "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}: make a new one (`gradwire certs --force`)"
        )
    if now < certificate.not_valid_before_utc:
        raise ConfigError(
            f"{path}: the certificate of {name_of(certificate)} is valid from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: set this machine's clock"
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
