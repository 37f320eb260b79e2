"""Certificates and keys in files: what is read, and what is refused before a connection is tried."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from gradwire.common.errors import ConfigError
from gradwire.common.transport.pem import read_authorities, read_identity
from gradwire.common.transport.tls import server_tls, worker_tls
from gradwire.deploy.authority import Authority, certificate_pem

AUTHORITY = Authority.new(10)
CA = certificate_pem(AUTHORITY.certificate)
ALICE = AUTHORITY.worker("alice", 10)
SERVER = AUTHORITY.server(["train.example"], 10)
KEY_END = b"-----END PRIVATE KEY-----\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    key, certificate = ALICE.removesuffix(CA).split(KEY_END)
    contents = {
        "alice.pem": ALICE,
        "alice.crt": certificate,
        "alice.key": key + KEY_END,
        "server.pem": SERVER,
        "ca.crt": CA,
        "old.pem": AUTHORITY.worker("old", 0),
        "text": b"hello",
        "locked.key": ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        ),
        "broken.key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n" + KEY_END,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_one_file_or_three(files: Path) -> None:
    one = worker_tls(certificate=files / "alice.pem")
    three = worker_tls(files / "ca.crt", files / "alice.crt", files / "alice.key")
    assert one is not None and three is not None and one.identity is not None and three.identity is not None
    assert one.authorities == three.authorities == CA
    assert one.identity.name == three.identity.name == "alice"
    assert one.identity.chain == three.identity.chain == (files / "alice.crt").read_bytes()
    assert "PRIVATE" not in repr(one)


def test_authority_is_not_sent(files: Path) -> None:
    assert CA not in read_identity(files / "server.pem").chain


def test_no_files_mean_plaintext() -> None:
    assert server_tls() is None and worker_tls() is None


def test_servers_folder_alone(files: Path) -> None:
    alone = server_tls(files)
    (files / "server").mkdir()
    (files / "server.pem").rename(files / "server/server.pem")
    whole = server_tls(files)
    assert alone is not None and whole is not None
    assert alone.identity.chain == whole.identity.chain and alone.worker_authorities == CA


def test_server_without_client_authentication(files: Path) -> None:
    tls = server_tls(certificate=files / "server.pem")
    assert tls is not None and tls.worker_authorities is None


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("nothing", None, "cannot read .*nothing: No such file"),
        ("text", None, "text holds no certificate in PEM"),
        ("ca.crt", None, "authorities alone"),
        ("alice.crt", None, "alice.crt holds no private key"),
        ("alice.pem", "locked.key", "has a password"),
        ("alice.pem", "broken.key", "damaged"),
        ("alice.pem", "server.pem", "the key in .*server.pem is not that of the certificate in .*alice.pem"),
        ("old.pem", None, "the certificate of old expired on .*gradwire certs --force"),
    ],
)
def test_unusable_identity(files: Path, certificate: str, key: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_identity(files / certificate, key and files / key)


def test_unusable_authority(files: Path) -> None:
    with pytest.raises(ConfigError, match="holds no certificate of an authority"):
        read_authorities(files / "alice.crt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"certs": "", "certificate": "server.pem"}, "--certs names all files"),
        ({"key": "server.pem"}, "go with --tls-cert"),
        ({"client_ca": "ca.crt"}, "go with --tls-cert"),
        ({"certs": "nowhere"}, "nowhere/server/server.pem: No such file"),
    ],
)
def test_contradicting_server_flags(files: Path, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        server_tls(**{name: files / file for name, file in arguments.items()})


def test_contradicting_worker_flags(files: Path) -> None:
    with pytest.raises(ConfigError, match="--key goes with --cert"):
        worker_tls(key=files / "alice.key")
    with pytest.raises(ConfigError, match=r"alice.crt does not hold the authority's certificate: .*--ca"):
        worker_tls(certificate=files / "alice.crt", key=files / "alice.key")
