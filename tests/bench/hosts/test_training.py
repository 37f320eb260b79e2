"""A training over hosts, from its first process to its last: here with processes that only speak the contract."""

import signal
import socket
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gradwire.bench.hosts import training
from gradwire.bench.hosts.base import Host
from gradwire.bench.hosts.training import Trained, Trainer
from gradwire.common.errors import ByteMismatchError, DivergenceError
from gradwire.deploy.processes.events import StopRequested
from gradwire.deploy.processes.outcome import RunEnded
from gradwire.deploy.processes.plan import Limits
from tests.bench.hosts.local import LocalNetwork
from tests.deploy.stage import program


class NoLinks:
    """The fakes know no certificates."""

    def server(self, host: Host) -> Sequence[str]:
        return ()

    def worker(self, host: Host) -> Sequence[str]:
        return ("--retry-for", "9")


def network(fault: str, folder: Path) -> LocalNetwork:
    return LocalNetwork(SimpleQueue(), folder, program(fault))


def train(net: LocalNetwork, **more: Any) -> Trained:
    return Trainer(net, net.inbox, **more).run({"task": "fake"}, 2)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setattr(training, "PORT", free.getsockname()[1])
    monkeypatch.setattr(training, "links_for", lambda hosts, plaintext: nullcontext(NoLinks()))


def test_every_host_runs_its_part_and_is_read_twice(tmp_path: Path) -> None:
    net, seen = network("", tmp_path), []
    done = train(net, watch=lambda event: seen.append(event["event"]))
    assert done.summary["digest"] == "00ff"
    assert {name: carried.sent_bytes for name, carried in done.carried.items()} == {
        "server": 1000,
        "worker-0": 1000,
        "worker-1": 1000,
    }
    assert list(done.reached) == [0, 1, 2] and list(done.reached.values()) == sorted(done.reached.values())
    assert seen[0] == "listening" and seen[-1] == "finished" and seen.count("joined") == 2
    assert net.made is not None and net.torn_down
    words = [host.child.started for host in net.made.workers]
    assert [line[line.index("--workers") + 1] for line in words] == ["0", "1"]
    server = net.made.server.child.started
    assert "--workers=2" in server and "--task=fake" in server


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("worker gives up", 2, "worker-0: no such data: fetch it"),
        ("server refuses", 2, "this folder holds another run"),
        ("worker crashes", 1, "worker-0 exited with code 1"),
        ("worker is killed at once", 1, "worker-0 was killed by SIGKILL"),
        ("no summary", 1, "the server exited without a summary"),
    ],
)
def test_what_ends_a_training_is_named_and_leaves_no_process(
    fault: str, code: int, said: str, tmp_path: Path
) -> None:
    net = network(fault, tmp_path)
    with pytest.raises(RunEnded, match=said) as caught:
        train(net)
    assert caught.value.code == code and net.torn_down
    assert fault != "worker crashes" or caught.value.lines[-1] == "RuntimeError: a bug"
    assert_nothing_runs(net)


def assert_nothing_runs(net: LocalNetwork) -> None:
    assert net.made is not None
    for host in net.made.all:
        process = host.child._process
        assert process is None or process.returncode is not None


@pytest.mark.parametrize(
    ("fault", "error"), [("bytes differ", ByteMismatchError), ("replicas differ", DivergenceError)]
)
def test_a_broken_promise_is_an_error(fault: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        train(network(fault, tmp_path))


def test_a_signal_stops_everything(tmp_path: Path) -> None:
    net = network("run has no end", tmp_path)

    def interrupt(event: Any) -> None:
        if event["event"] == "joined":
            net.inbox.put(StopRequested(signal.SIGINT))

    with pytest.raises(RunEnded, match="stopped by SIGINT") as caught:
        train(net, watch=interrupt)
    assert caught.value.code == 130 and net.torn_down
    assert_nothing_runs(net)


def test_processes_that_stay_are_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LIMITS", Limits(restarts=0, grace=0.0, ending=0.5))
    net = network("worker stays", tmp_path)
    assert train(net).summary["digest"] == "00ff"
    assert_nothing_runs(net)
