"""What the README says of separate machines, done: certificates carried to each host, and nothing else of the server's.

Hosts are network namespaces with addresses of their own on a bridge; each has a folder that stands for its disk.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gradwire.bench.hosts.base import Host, Hosts
from gradwire.bench.hosts.namespaces import Namespaces
from gradwire.common.training.config import RunConfig
from gradwire.deploy import cli
from gradwire.deploy.processes.events import Exited, Inbox, OutputLine
from tests.bench.hosts.test_namespaces import netns
from tests.system.harness import simulate

pytestmark = netns

PATIENCE = 300.0
CONFIG = RunConfig(task="mlp(digits, hidden=8)", codec="cross_polytope(repeats=20)", workers=3, rounds=10)
RUN = [f"--{name}={getattr(CONFIG, name)}" for name in ("task", "codec", "workers", "rounds")]

# Keeps every frame at the host's interface until it is told to stop, then hands them over.
CAPTURE = """
import signal, socket, sys
heard = []
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))  # ETH_P_ALL
link.bind(("eth0", 0))
def hand_over(*_):
    sys.stdout.buffer.write(b"".join(heard))
    sys.stdout.flush()
    raise SystemExit
signal.signal(signal.SIGTERM, hand_over)
print("ready", flush=True)
while True:
    heard.append(link.recv(1 << 16))
"""


class Machines:
    """A server's host and two workers', each with a folder of its own, and the words of their processes."""

    def __init__(self, hosts: Hosts, inbox: Inbox, folder: Path) -> None:
        self.hosts, self._inbox, self._folder = hosts, inbox, folder
        self.lines: dict[str, list[str]] = {host.name: [] for host in hosts.all}
        self.codes: dict[str, int] = {}

    def disk(self, host: Host) -> Path:
        path = self._folder / host.name
        path.mkdir(exist_ok=True)
        return path

    def carry(self, source: Path, host: Host) -> Path:
        """What ``scp`` does between machines: the copy's path there."""
        target = self.disk(host) / source.name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
        return target

    def start(self, host: Host, *words: str) -> None:
        self.codes.pop(host.name, None)
        host.child.start(words)

    def address(self) -> str:
        return f"{self.hosts.server.address}:50051"

    def read_until(self, host: Host, word: str) -> str:
        """The first line of that host's process, from now on, that holds the word."""
        while True:
            event = self._take()
            if isinstance(event, OutputLine) and event.child is host.child and word in event.line:
                return event.line
            assert not (isinstance(event, Exited) and event.child is host.child), self.lines[host.name]

    def read_to_the_end(self, hosts: Sequence[Host]) -> dict[str, int]:
        """The exit codes of the processes on these hosts."""
        while not {host.name for host in hosts} <= self.codes.keys():
            self._take()
        return {host.name: self.codes[host.name] for host in hosts}

    def _take(self) -> Any:
        event = self._inbox.get(timeout=PATIENCE)
        if isinstance(event, OutputLine):
            self.lines[event.child.name].append(event.line)
        elif isinstance(event, Exited):
            self.codes[event.child.name] = event.code
        return event


@contextmanager
def machines(folder: Path, workers: int = 2) -> Iterator[Machines]:
    inbox: Inbox = SimpleQueue()
    with Namespaces(inbox).hosts(workers) as hosts:
        here = Machines(hosts, inbox, folder)
        try:
            yield here
        finally:
            for host in hosts.all:
                host.child.send(signal.SIGKILL)


def make_certs(folder: Path, host: str, *workers: str) -> Path:
    """On whichever machine keeps the authority."""
    names = [word for name in workers for word in ("--worker", name)]
    assert cli.call(["certs", "--out", str(folder), "--host", host, *names]) == 0
    return folder


def test_a_worker_needs_the_servers_address_and_its_certificate(tmp_path: Path) -> None:
    with machines(tmp_path) as here:
        server, alice, bob = here.hosts.all
        certs = make_certs(tmp_path / "certs", server.address, "alice", "bob")
        here.carry(certs / "server", server)
        names = (("alice", alice), ("bob", bob))
        own = [here.carry(certs / "workers" / f"{name}.pem", host) for name, host in names]
        shutil.rmtree(certs)  # nobody reads what was not carried
        disk = here.disk(server)
        here.start(
            server, "server", "--listen", f"0.0.0.0:{here.address().rpartition(':')[2]}", "--certs", str(disk),
            "--state-dir", str(disk / "run"), "--progress", "json", *RUN,
        )  # fmt: skip
        here.read_until(server, '"listening"')
        here.start(alice, "worker", "--server", here.address(), "--cert", str(own[0]), "--count", "2")
        here.start(bob, "worker", "--server", here.address(), "--cert", str(own[1]))
        assert set(here.read_to_the_end(here.hosts.all).values()) == {0}, here.lines
        events = [json.loads(line) for line in here.lines["server"] if line.startswith("{")]
        assert {event["process"] for event in events if event["event"] == "joined"} == {"alice", "bob"}
        summary = events[-1]["summary"]
        assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"
        assert summary["replicas_agree"] and summary["predicted_equals_measured"]
        assert summary["uplink"]["tcp_bytes"] > summary["uplink"]["message_bytes"]


def test_between_machines_plaintext_has_to_be_asked_for(tmp_path: Path) -> None:
    with machines(tmp_path, workers=1) as here:
        server, worker = here.hosts.all
        listen = ("server", "--listen", here.address(), "--state-dir", str(here.disk(server) / "run"))
        here.start(server, *listen, *RUN)
        here.start(worker, "worker", "--server", here.address())
        assert here.read_to_the_end(here.hosts.all) == {"server": 2, "worker-0": 2}
        for lines in here.lines.values():
            assert "is not loopback and TLS is off: give certificates" in lines[-1]
        here.start(server, *listen, "--insecure", *RUN)
        here.read_until(server, "is plaintext: everyone on the way can read")
        server.child.send(signal.SIGKILL)


@pytest.mark.parametrize("secret", [True, False], ids=["tls", "plaintext"])
def test_who_listens_on_the_way_hears_names_in_plaintext_alone(secret: bool, tmp_path: Path) -> None:
    """Everything that reaches the server's interface is kept, and searched for a word that the worker sends."""
    with machines(tmp_path, workers=1) as here:
        server, worker = here.hosts.all
        certs = make_certs(tmp_path / "certs", server.address, "alice")
        ours = ("--certs", str(certs)) if secret else ("--insecure",)
        theirs = ("--cert", str(certs / "workers/alice.pem")) if secret else ("--insecure", "--name", "alice")
        with overheard(server) as heard:
            here.start(
                server, "server", "--listen", here.address(), "--state-dir", str(here.disk(server) / "run"),
                *ours, *RUN,
            )  # fmt: skip
            here.read_until(server, "listening")
            here.start(worker, "worker", "--server", here.address(), "--count", "3", *theirs)
            assert set(here.read_to_the_end(here.hosts.all).values()) == {0}, here.lines
        assert len(heard) > 10_000
        assert (b"alice" in heard) is not secret
        assert (b"cross_polytope" in heard) is not secret


@contextmanager
def overheard(host: Any) -> Iterator[bytearray]:
    """The frames at a host's interface while it lasts."""
    heard = bytearray()
    command = host._namespace.inside(sys.executable, "-c", CAPTURE)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield heard
        process.send_signal(signal.SIGTERM)
        heard += process.stdout.read()
