"""Addresses: what is accepted, what is refused in one line, and what counts as loopback."""

import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.transport.address import Address, is_loopback, parse_address, require_protected


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051),
        ("0.0.0.0:1", "0.0.0.0", 1),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:50051", "fe80::1%eth0", 50051),
        ("localhost:50051", "localhost", 50051),
        ("gradwire_server-1.example.:50051", "gradwire_server-1.example.", 50051),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert address.target == str(address) == text


def test_port_0() -> None:
    assert parse_address("127.0.0.1:0", any_port=True).port == 0
    with pytest.raises(ConfigError, match="expected 1 to 65535"):
        parse_address("127.0.0.1:0")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the port is missing"),
        ("server", "the port is missing"),
        ("[::1]", "HOST:PORT"),
        ("::1:50051", "stands in brackets"),
        ("fe80::z:50051", "HOST:PORT"),
        ("http://server:50051", "without a scheme"),
        (":50051", "neither an IPv4 address nor a host name"),
        ("256.0.0.1:50051", "neither"),
        ("127.1:50051", "neither"),
        ("ser ver:50051", "neither"),
        ("-server:50051", "neither"),
        ("server..example:50051", "neither"),
        ("sérver:50051", "neither"),
        (f"{'a' * 64}:50051", "neither"),
        (f"{'a.' * 140}com:50051", "neither"),
        ("[127.0.0.1]:50051", "no IPv6 address"),
        ("[]:50051", "no IPv6 address"),
        ("server:", "port ''"),
        ("server:65536", "port '65536'"),
        ("server:-1", "port '-1'"),
        ("server:５", "port"),
        ("server:+5", "port"),
        ("server:5 ", "port"),
        ("server\n:5", "neither"),
        ("x" * 5000, "the port is missing"),
    ],
)
def test_refused_addresses(text: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part) as raised:
        parse_address(text)
    line = str(raised.value)
    assert line.isprintable() and len(line) < 300
    assert "expected" in line


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:198.18.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("198.18.0.1", False),
        ("localhost.example", False),
        ("server", False),
        ("", False),
    ],
)
def test_loopback(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


def test_plaintext_on_loopback_alone() -> None:
    here, out = Address("127.0.0.1", 1), Address("::", 50051)
    assert require_protected(here, tls=False, insecure=False) is None
    assert require_protected(here, tls=False, insecure=True) is None
    assert require_protected(out, tls=True, insecure=False) is None
    warning = require_protected(out, tls=False, insecure=True)
    assert warning is not None and warning.startswith("[::]:50051 is plaintext: everyone on the way can read")
    with pytest.raises(ConfigError, match="--insecure and certificates contradict each other"):
        require_protected(out, tls=True, insecure=True)
    with pytest.raises(ConfigError, match=r"\[::\]:50051 is not loopback and TLS is off: .*--insecure"):
        require_protected(out, tls=False, insecure=False)
