"""Who is at the other end of a stream: with mutual TLS, the name in the certificate, and nobody else."""

from __future__ import annotations

from typing import Any

from gradwire.common.errors import PermissionDenied, Unauthenticated


def name_in_certificate(context: Any) -> str | None:
    """The common name in the peer's certificate, which the handshake has verified; None without mutual TLS.

    Raises:
        Unauthenticated: a certificate without one readable name.
    """
    peer = context.auth_context()
    if "x509_pem_cert" not in peer:  # nobody was asked for one
        return None
    try:
        (name,) = peer.get("x509_common_name", ())
        return str(name, "utf-8")
    except ValueError as error:  # none, several, or not UTF-8
        raise Unauthenticated(
            "this certificate has no common name, which is the process's name here"
        ) from error


def check_process(name: str, certified: str | None) -> None:
    """Refuse a process that joins under a name which its certificate does not bear.

    Raises:
        PermissionDenied: it does.
    """
    if certified is not None and name != certified:
        raise PermissionDenied(
            f"this certificate is for {certified!r}, the process calls itself {name!r}: leave --name out, or give it "
            "its own certificate"
        )
