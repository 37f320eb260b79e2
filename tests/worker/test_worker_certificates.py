"""Identical processes share a folder of certificates: each claims one, and a replacement claims that of the dead."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gradwire.common.errors import ConfigError
from gradwire.worker.certificates import claim

CLAIMER = """
import sys
from pathlib import Path
from gradwire.common.errors import ConfigError
from gradwire.worker.certificates import claim, hold
try:
    print((hold if sys.argv[1] == "hold" else claim)(Path(sys.argv[2])).name, flush=True)
except ConfigError as error:
    print(error, flush=True)
sys.stdin.read()
"""


@contextmanager
def process(path: Path, how: str = "claim") -> Iterator[str]:
    """A process that holds a certificate until the block ends; what it says."""
    held = subprocess.Popen(
        [sys.executable, "-c", CLAIMER, how, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with held:
        assert held.stdout is not None
        try:
            yield held.stdout.readline().strip()
        finally:
            held.kill()


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    (tmp_path / "workers").mkdir()
    for name in ("worker-2", "worker-10"):
        (tmp_path / "workers" / f"{name}.pem").write_text("")
    return tmp_path


def test_processes_claim_different_certificates(certs: Path) -> None:
    with process(certs) as first:
        with process(certs) as second, process(certs) as third:
            assert (first, second) == ("worker-2.pem", "worker-10.pem")
            assert "other processes hold all 2 certificates" in third
        with process(certs) as fourth:
            assert fourth == "worker-10.pem"


def test_named_certificate_is_locked(certs: Path) -> None:
    path = certs / "workers/worker-2.pem"
    with process(path, "hold") as first, process(path, "hold") as second, process(certs) as third:
        assert first == "worker-2.pem"
        assert "another process on this machine uses" in second
        assert third == "worker-10.pem"


def test_no_certificates(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers holds no certificates: make some with `gradwire certs"):
        claim(tmp_path)
