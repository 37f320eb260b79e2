"""Hosts that are containers, for real: needs a Docker engine, and minutes for the first build."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gradwire.bench.hosts import images
from gradwire.bench.hosts.choice import HostKind, rate_for
from gradwire.bench.hosts.container import ContainerChild, ContainerHost
from gradwire.bench.hosts.containers import LABEL, remove_orphans
from gradwire.common.errors import ConfigError
from gradwire.deploy.processes.child import Child
from gradwire.deploy.processes.events import Exited, Inbox, OutputLine
from tests.system.containers.engine import require_engine

GRADWIRE = (sys.executable, "-m", "gradwire.deploy.cli")
PATIENCE = 600.0  # seconds: the first build installs everything


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    require_engine()
    client = images.connect()
    yield client
    client.close()


class FakeApi:
    """The two requests that carrying a file makes."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.put: tuple[str, bytes] | None = None

    def inspect_container(self, container: str) -> dict[str, Any]:
        return {"Config": {"User": self.user}}

    def put_archive(self, container: str, path: str, data: bytes) -> None:
        self.put = (path, data)


@pytest.mark.parametrize(("user", "owner"), [("10001:10002", (10001, 10002)), ("7", (7, 7)), ("", (0, 0))])
def test_a_file_is_carried_to_the_one_who_runs_there(
    user: str, owner: tuple[int, int], tmp_path: Path
) -> None:
    class Client:
        api = FakeApi(user)

    (tmp_path / "key.pem").write_text("secret", encoding="utf-8")
    host = ContainerHost("server", "198.18.0.2", Client, "id", Child("server", None))  # type: ignore[arg-type]
    assert host.carry(tmp_path / "key.pem", "certs/server/server.pem") == "/tmp/certs/server/server.pem"
    assert Client.api.put is not None
    path, data = Client.api.put
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        entries = tar.getmembers()
        assert tar.extractfile(entries[-1]).read() == b"secret"  # type: ignore[union-attr]
    assert path == "/tmp" and [e.name for e in entries] == [
        "certs",
        "certs/server",
        "certs/server/server.pem",
    ]
    assert {(e.uid, e.gid) for e in entries} == {owner} and [e.mode for e in entries] == [0o700, 0o700, 0o600]


class FakeEngine:
    """Streams what it is given; its own client and its own API."""

    def __init__(self, chunks: list[Any], code: int = 0) -> None:
        self.api, self.chunks, self.code = self, chunks, code
        self.closed = False

    def exec_create(self, container: str, command: list[str], environment: dict[str, str]) -> dict[str, str]:
        assert (container, command, environment) == ("id", ["gradwire", "server"], {"OMP_NUM_THREADS": "1"})
        return {"Id": "process"}

    def exec_start(self, process: str, *, stream: bool, demux: bool) -> Iterator[Any]:
        assert process == "process" and stream and demux
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def exec_inspect(self, process: str) -> dict[str, int]:
        return {"ExitCode": self.code}

    def close(self) -> None:
        self.closed = True


def follow(engine: FakeEngine) -> tuple[list[tuple[str, bool]], int, ContainerChild]:
    """What a process says, and its exit code."""
    inbox: Inbox = SimpleQueue()
    child = ContainerChild("server", inbox, engine, "id", {"OMP_NUM_THREADS": "1"})
    child.start(("server",))
    said = []
    while isinstance(event := inbox.get(timeout=PATIENCE), OutputLine):
        said.append((event.line, event.is_error))
    assert isinstance(event, Exited) and engine.closed
    return said, event.code, child


def test_lines_are_put_together_from_what_the_engine_sends() -> None:
    chunks = [(b'{"a"', None), (b": 1}\nb\n", b"oh"), (None, b" no\n\xff"), (b"last", b"")]
    said, code, child = follow(FakeEngine(chunks, 3))
    assert said == [('{"a": 1}', False), ("b", False), ("oh no", True), ("last", False), ("\ufffd", True)]
    assert code == 3 and list(child.last_lines) == ["oh no", "\ufffd"]


def test_an_engine_that_breaks_off_is_an_end_too() -> None:
    said, code, child = follow(FakeEngine([(b"a\n", None), ConnectionResetError()]))
    assert said[0] == ("a", False) and code == 1
    assert child.last_lines[-1] == "the Docker engine broke off: ConnectionResetError"


def test_containers_have_no_rate() -> None:
    with pytest.raises(ConfigError, match="only links of network namespaces"):
        rate_for(HostKind.DOCKER, "10mbit")
    assert rate_for(HostKind.DOCKER, None) is None


def test_images_are_built_in_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images, "CHECKOUT", tmp_path)
    with pytest.raises(ConfigError, match="name the image with --image"):
        images.build(None)


def test_no_engine_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(ConfigError, match="no Docker engine answers: start it"):
        images.connect()


@pytest.mark.slow
@pytest.mark.docker
class TestForReal:
    def left(self, client: Any) -> list[str]:
        labelled = {"label": LABEL}
        return [c.name for c in client.containers.list(all=True, filters=labelled)] + [
            n.name for n in client.networks.list(filters=labelled)
        ]

    def test_the_waterfall_is_that_of_namespaces(self, client: Any, tmp_path: Path) -> None:
        """Mutual TLS adds 22 bytes a record, gRPC and HTTP/2 40 a message; nothing else is between the layers."""
        out = tmp_path / "wire.json"
        words = ("bench", "wire", "--hosts", "docker", "--workers", "2", "--rounds", "10", "--task", "synthetic(20000)",
                 "--codec", "cross_polytope(repeats=50)", "--codec", "float32", "--json", str(out))  # fmt: skip
        done = subprocess.run(
            (*GRADWIRE, *words), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        row, dense = json.loads(out.read_text())["rows"]
        up = row["uplink"]["per_worker_and_round"]
        assert up["payload_bits"] == 32 + 50 * 16 and up["payload_bytes"] == 104
        assert up["message_bytes"] < up["tcp_bytes"] < up["message_bytes"] + 80
        assert up["tcp_bytes"] + 40 < up["interface_bytes"] < up["tcp_bytes"] + 250
        assert row["ends_differ_by"] < 2000
        for way in ("uplink", "downlink"):  # real packets, not 64 KiB with one header
            total = dense[way]["total"]
            assert total["payload_bytes"] == 10 * 2 * 80_000
            assert total["interface_bytes"] / total["interface_packets"] < 1514
        assert not [name for name in self.left(client) if str(os.getpid()) in name]

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
    def test_however_it_is_stopped_nothing_is_left(self, how: signal.Signals, client: Any) -> None:
        """A network alone outlives a SIGKILL, until the next measurement."""
        words = ("bench", "wire", "--hosts", "docker", "--workers", "2", "--rounds", "1000000", "--task",
                 "synthetic(1000)", "--codec", "sign")  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        with subprocess.Popen((*GRADWIRE, *words), stderr=subprocess.PIPE, text=True) as run:
            mine = {"label": f"{LABEL}={run.pid}"}
            while len(client.containers.list(filters=mine)) < 3:
                assert run.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
            run.send_signal(how)
            assert run.stderr is not None
            said = run.stderr.read()
        if how is signal.SIGINT:
            assert run.returncode == 130 and "gradwire: stopped by SIGINT" in said
            assert not client.containers.list(all=True, filters=mine)
        while client.networks.list(filters=mine):
            assert how is signal.SIGKILL and time.monotonic() < deadline
            remove_orphans(client)
            time.sleep(0.2)
        assert not client.containers.list(all=True, filters=mine)
