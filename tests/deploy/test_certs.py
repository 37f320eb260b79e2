"""``gradwire certs``: what is in the files, who can read them, and that none is lost."""

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from gradwire.common.errors import ConfigError
from gradwire.common.transport.tls import server_tls, worker_tls
from gradwire.deploy import cli
from gradwire.deploy.certificates import Existing, make_certificates


def certs(out: Path, *words: str) -> int:
    return cli.call(["certs", "--out", str(out), *words])


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def certificates(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


@pytest.fixture
def made(tmp_path: Path) -> Path:
    make_certificates(
        tmp_path,
        ["train.example", "198.18.0.1", "2001:db8::1"],
        ["alice", "bob"],
        days=90,
        existing=Existing.REFUSE,
    )
    return tmp_path


def test_only_the_owner_reads_keys(made: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.rglob("*") if path.is_file()}
    assert modes == {
        "ca.crt": 0o644,
        "ca.key": 0o600,
        "server.pem": 0o600,
        "alice.pem": 0o600,
        "bob.pem": 0o600,
    }
    assert b"PRIVATE KEY" not in (made / "ca/ca.crt").read_bytes()
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()} == {0o700}


def test_what_certificates_say(made: Path) -> None:
    (authority,) = certificates(made / "ca/ca.crt")
    usage = {
        "server/server.pem": ExtendedKeyUsageOID.SERVER_AUTH,
        "workers/alice.pem": ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    for file, purpose in usage.items():
        own, issuer = certificates(made / file)
        assert issuer == authority
        own.verify_directly_issued_by(authority)
        assert list(own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
        assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        until = datetime.now(UTC) + timedelta(days=90)
        assert abs(own.not_valid_after_utc - until) < timedelta(minutes=5)
        assert own.not_valid_before_utc < datetime.now(UTC) - timedelta(minutes=55)
        key = load_pem_private_key((made / file).read_bytes(), None)
        assert key.public_key() == own.public_key()
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_server_is_known_by_every_host_and_from_its_own_machine(made: Path) -> None:
    own = certificates(made / "server/server.pem")[0]
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["train.example", "localhost"]
    addresses = ["198.18.0.1", "2001:db8::1", "127.0.0.1", "::1"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address(each) for each in addresses]


def test_the_name_of_a_certificate_is_the_process_name(made: Path) -> None:
    tls = worker_tls(certificate=made / "workers/alice.pem")
    assert tls is not None and tls.identity is not None
    assert tls.identity.name == "alice"
    assert tls.authorities == (made / "ca/ca.crt").read_bytes()
    server = server_tls(made)
    assert server is not None and server.worker_authorities == tls.authorities


def test_nothing_is_overwritten(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(made)
    assert certs(made, "--worker", "carol", "--worker", "alice") == 2
    assert certs(made, "--host", "other.example") == 2
    captured = capsys.readouterr()
    assert "alice.pem exists: --force replaces it, --missing keeps it" in captured.err
    assert "server.pem exists: --force" in captured.err
    assert captured.err.count("\n") == 2 and not captured.out
    assert snapshot(made) == before


def test_workers_are_added_under_the_same_authority(made: Path) -> None:
    before = snapshot(made)
    assert certs(made, "--worker", "carol") == 0
    after = snapshot(made)
    assert {path: after[path] for path in before} == before
    assert after.keys() - before.keys() == {str(made / "workers/carol.pem")}
    certificates(made / "workers/carol.pem")[0].verify_directly_issued_by(certificates(made / "ca/ca.crt")[0])


def test_force_replaces_what_is_named_and_keeps_the_authority(made: Path) -> None:
    before = snapshot(made)
    assert certs(made, "--worker", "alice", "--force") == 0
    after = snapshot(made)
    assert [path for path in before if before[path] != after[path]] == [str(made / "workers/alice.pem")]


def test_missing_makes_what_is_not_there(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(made)
    again = ("--host", "train.example", "--worker", "alice", "--workers", "2", "--missing")
    assert certs(made, *again) == 0
    after = snapshot(made)
    assert {path: after[path] for path in before} == before
    assert sorted(Path(path).name for path in after.keys() - before.keys()) == [
        "worker-0.pem",
        "worker-1.pem",
    ]
    assert certs(made, *again) == 0
    assert "all certificates exist already" in capsys.readouterr().out
    assert snapshot(made) == after


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--worker", "../alice"], "letters, digits, dots, dashes and underscores"),
        (["--worker", "a" * 65], "1 to 64 letters"),
        (["--worker", ""], "1 to 64 letters"),
        (["--worker", "alice", "--worker", "alice"], "alice is named twice"),
        (["--worker", "worker-1", "--workers", "2"], "worker-1 is named twice"),
        (["--host", "train.example:50051"], "without a port"),
        (["--host", "https://train.example"], "expected a host name or an IP address"),
        (["--days", "0"], "greater than or equal to 1"),
        (["--force", "--missing"], "give one of them"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs(tmp_path / "certs", *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "certs").exists()


def test_an_authority_that_cannot_sign(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "ca/ca.key").write_bytes(b"no key")
    assert certs(made, "--worker", "carol") == 2
    assert "are damaged: start over with another --out" in capsys.readouterr().err
    (made / "ca/ca.key").unlink()
    assert certs(made, "--worker", "carol") == 2
    assert "ca.key: No such file" in capsys.readouterr().err
    other = tmp_path / "other"
    make_certificates(other, None, [], days=1, existing=Existing.REFUSE)
    (made / "ca/ca.key").write_bytes((other / "ca/ca.key").read_bytes())
    assert certs(made, "--worker", "carol") == 2
    assert "is not that of" in capsys.readouterr().err
    assert not (made / "workers/carol.pem").exists()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "certs").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        make_certificates(tmp_path / "certs", None, ["alice"], days=1, existing=Existing.REFUSE)
