"""TLS for both sides: from the files named on a command line to gRPC's credentials.

A server shows its certificate; with an authority for its workers it also demands theirs (mutual TLS), and the name in a
worker's certificate is then the name of its process. A worker always checks the server's certificate and its host.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from gradwire.common.errors import ConfigError
from gradwire.common.transport.pem import Identity, read_authorities, read_identity

SERVER_FILE = Path("server/server.pem")  # in the folder that `gradwire certs` makes
WORKER_FOLDER = Path("workers")


@dataclass(frozen=True)
class ServerTls:
    """A server's identity, and PEM of its workers' authority (None: workers need no certificate)."""

    identity: Identity
    worker_authorities: bytes | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """For :meth:`grpc.aio.Server.add_secure_port`."""
        return grpc.ssl_server_credentials(
            [(self.identity.key, self.identity.chain)],
            root_certificates=self.worker_authorities,
            require_client_auth=self.worker_authorities is not None,
        )


@dataclass(frozen=True)
class WorkerTls:
    """PEM of the server's authority, and the worker's identity where the server asks for one."""

    authorities: bytes
    identity: Identity | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """For :func:`grpc.aio.secure_channel`."""
        own = self.identity
        return grpc.ssl_channel_credentials(
            self.authorities, own.key if own else None, own.chain if own else None
        )


def server_tls(
    certs: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    client_ca: Path | None = None,
) -> ServerTls | None:
    """TLS as the server's flags configure it; None is plaintext.

    Args:
        certs: a folder of ``gradwire certs``, or its folder ``server``: mutual TLS with the files in ``server.pem``.
        certificate: PEM file of the certificate, with the key in it or in ``key``.
        key: PEM file of the private key.
        client_ca: PEM file of the authority that signed the workers' certificates: mutual TLS.

    Raises:
        ConfigError: flags that contradict each other, or files that cannot be used.
    """
    if certs is not None:
        if certificate or key or client_ca:
            raise ConfigError(
                "--certs names all files: give it alone, or --tls-cert, --tls-key and --tls-client-ca instead"
            )
        alone = certs / SERVER_FILE.name  # the inner folder alone was copied to this machine
        identity = read_identity(alone if alone.exists() else certs / SERVER_FILE)
        return ServerTls(identity, _own_authorities(identity, "--tls-client-ca"))
    if certificate is None:
        if key or client_ca:
            raise ConfigError(
                "--tls-key and --tls-client-ca go with --tls-cert FILE, the server's certificate"
            )
        return None
    return ServerTls(read_identity(certificate, key), read_authorities(client_ca) if client_ca else None)


def worker_tls(
    ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> WorkerTls | None:
    """TLS as a worker's flags configure it; None is plaintext.

    Args:
        ca: PEM file of the authority that signed the server's certificate; None: it is in the file ``certificate``,
            as ``gradwire certs`` writes it.
        certificate: PEM file of the worker's own certificate, with the key in it or in ``key``.
        key: PEM file of the private key.

    Raises:
        ConfigError: flags that contradict each other, or files that cannot be used.
    """
    if certificate is None:
        if key is not None:
            raise ConfigError("--key goes with --cert FILE, the worker's certificate")
        return WorkerTls(read_authorities(ca)) if ca is not None else None
    identity = read_identity(certificate, key)
    return WorkerTls(read_authorities(ca) if ca is not None else _own_authorities(identity, "--ca"), identity)


def _own_authorities(identity: Identity, flag: str) -> bytes:
    if not identity.authorities:
        raise ConfigError(
            f"{identity.certificate_file} does not hold the authority's certificate: name its file with {flag}"
        )
    return identity.authorities
