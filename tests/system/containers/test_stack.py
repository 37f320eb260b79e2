"""The same images under ``docker stack deploy``, on a swarm of one node: what it kills or loses, it replaces."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradwire.deploy import cli
from tests.system.containers.engine import ROOT, command, follow_until, output, require_engine, require_images

pytestmark = [pytest.mark.slow, pytest.mark.docker]

STACK = f"gwtest{os.getpid()}"
SETTINGS = {
    "STACK": STACK, "TASK": "mlp(digits, hidden=8)", "WORKERS": "2", "REPLICAS": "2", "ROUNDS": "3000",
    "SUBNET": "198.19.79.0/24",
}  # fmt: skip
PATIENCE = 240.0


@pytest.fixture(scope="module")
def swarm() -> Iterator[None]:
    """A swarm of this node; one that was here before stays."""
    require_engine()
    if output("docker", "info", "--format", "{{.Swarm.LocalNodeState}}").strip() == "active":
        yield
        return
    pool = ("--default-addr-pool", "198.19.128.0/17", "--default-addr-pool-mask-length", "24")
    output("docker", "swarm", "init", "--advertise-addr", "127.0.0.1", *pool)
    yield
    output("docker", "swarm", "leave", "--force")


@pytest.fixture
def stack(swarm: None, tmp_path: Path) -> Iterator[str]:
    """The stack's name, once it is deployed with certificates of its own; nothing of it is left."""
    require_images()
    assert cli.call(["certs", "--out", str(tmp_path / "certs"), "--host", "server", "--workers", "4"]) == 0
    file = tmp_path / "deploy/stack.yml"  # it looks for ../certs
    file.parent.mkdir()
    file.write_bytes((ROOT / "deploy/stack.yml").read_bytes())
    output("docker", "stack", "deploy", "--detach=true", "--compose-file", str(file), STACK, **SETTINGS)
    yield STACK
    output("docker", "stack", "rm", STACK)
    until(lambda: not output("docker", "ps", "--all", "--quiet", "--filter", f"name={STACK}_"))
    output("docker", "volume", "rm", *output("docker", "volume", "ls", "-q", "-f", f"name={STACK}_").split())


def until(holds: Callable[[], object]) -> None:
    """Ask an engine, which tells of its services by being asked, once a second."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, log("server") + log("worker") + output("docker", "stack", "ps", STACK)
        time.sleep(1.0)


def container(task: str) -> str:
    """The id of a task's container while it runs; empty before."""
    return output("docker", "ps", "--quiet", "--filter", f"name={STACK}_{task}").strip()


def log(service: str) -> str:
    return command("docker", "service", "logs", "--raw", f"{STACK}_{service}").stdout


def test_killed_worker_is_replaced(stack: str) -> None:
    until(lambda: container("server.1") and container("worker.2"))
    server, second = container("server.1"), container("worker.2")
    follow_until(" of 3000: loss", server)
    output("docker", "kill", second)
    until(lambda: "finished: 3000 rounds" in log("server"))
    told = log("server")
    assert "replicas agree: yes" in told and "2 of 2 checked" in told
    assert told.count("worker-1 joined") == 2 and told.count("worker-0 joined") == 1
    tasks = output("docker", "service", "ps", "--format", "{{.Name}} {{.Error}}", f"{stack}_worker")
    assert f'{stack}_worker.2 "task: non-zero exit (137)"' in tasks
    until(lambda: "Complete" in output("docker", "service", "ps", f"{stack}_server"))
