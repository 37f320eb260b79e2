"""The identity of a stream's peer: with mutual TLS, the name in its certificate is the process's name."""

from __future__ import annotations

from typing import Any

from gradwire.common.errors import PermissionDenied, Unauthenticated


def name_in_certificate(context: Any) -> str | None:
    """The common name in the peer's certificate, which the handshake has verified; None without mutual TLS.

    Raises:
        Unauthenticated: a certificate without one readable name.
    """
    peer = context.auth_context()
    if "x509_pem_cert" not in peer:
        return None
    try:
        (name,) = peer.get("x509_common_name", ())
        return str(name, "utf-8")
    # None, several, or not UTF-8.
    except ValueError as error:
        raise Unauthenticated(
            "this certificate has no common name, which is the process's name here"
        ) from error


def check_process(name: str, certified: str | None) -> None:
    """Refuse a process that joins under another name than that in its certificate.

    Raises:
        PermissionDenied: the names differ.
    """
    if certified is not None and name != certified:
        raise PermissionDenied(
            f"this certificate is for {certified!r}, the process calls itself {name!r}: leave --name out, or give it "
            "its own certificate"
        )
