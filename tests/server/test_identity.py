"""The name in the peer's certificate is the process's name."""

from __future__ import annotations

from typing import Any

import pytest

from gradwire.common.errors import PermissionDenied, Unauthenticated
from gradwire.server.stream.identity import check_process, name_in_certificate

PEM = (b"-----BEGIN CERTIFICATE-----",)


class Context:
    """The part of a gRPC context that says who the peer is."""

    def __init__(self, **peer: Any) -> None:
        self.auth_context = lambda: peer


def test_without_mutual_tls_there_is_no_name() -> None:
    assert name_in_certificate(Context()) is None
    assert name_in_certificate(Context(transport_security_type=(b"ssl",))) is None


@pytest.mark.parametrize("name", ["worker-3", "Zoë", "a name, with = signs"])
def test_the_common_name_is_the_name(name: str) -> None:
    assert name_in_certificate(Context(x509_pem_cert=PEM, x509_common_name=(name.encode(),))) == name


@pytest.mark.parametrize("names", [(), (b"a", b"b"), (b"\xff\xfe",)], ids=["none", "two", "not UTF-8"])
def test_a_certificate_without_one_readable_name_is_refused(names: tuple[bytes, ...]) -> None:
    with pytest.raises(Unauthenticated, match="no common name"):
        name_in_certificate(Context(x509_pem_cert=PEM, x509_common_name=names))
    with pytest.raises(Unauthenticated):
        name_in_certificate(Context(x509_pem_cert=PEM))


def test_a_process_joins_under_the_name_in_its_certificate_alone() -> None:
    check_process("alice", "alice")
    check_process("alice", None)
    for name in ("eve", "Alice", "alice ", ""):
        with pytest.raises(PermissionDenied, match="this certificate is for 'alice'"):
            check_process(name, "alice")
