"""``docker compose up`` as the README shows it: a run with TLS that ends by itself, in containers without rights."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.system.containers.engine import (
    command,
    compose,
    follow_until,
    output,
    require_engine,
    require_images,
)

pytestmark = [pytest.mark.slow, pytest.mark.docker]

PROJECT = f"gradwire-test-{os.getpid()}"
RUN = {"TASK": "mlp(digits, hidden=8)", "WORKERS": "2", "ROUNDS": "5", "SUBNET": "198.19.77.0/24"}
UP = ("up", "--no-color", "--scale", "worker=2", "--exit-code-from", "server", "server", "worker")


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    require_images()


@pytest.fixture
def project() -> Iterator[tuple[str, ...]]:
    """The words that call Compose for a project of this test's own; nothing of it is left."""
    require_engine()
    words = (*compose(), "--project-name", PROJECT)
    yield words
    output(*words, "down", "--volumes", "--timeout", "2", **RUN)
    assert not output("docker", "volume", "ls", "--quiet", "--filter", f"name={PROJECT}")


def ids(project: tuple[str, ...], service: str) -> list[str]:
    label = f"label=com.docker.compose.project={PROJECT}"
    where = ("--filter", label, "--filter", f"label=com.docker.compose.service={service}")
    return output("docker", "ps", "--all", "--quiet", *where).split()


def inspect(container: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(output("docker", "inspect", container))[0]
    return found


def test_exit_code_of_a_run_is_composes(project: tuple[str, ...]) -> None:
    done = command(*project, *UP, **RUN)
    assert done.returncode == 0, done.stdout
    assert "predicted bytes were measured: yes" in done.stdout
    assert "replicas agree: yes" in done.stdout and "2 of 2 checked" in done.stdout
    # The certificates' names
    assert "joined as worker-0" in done.stdout and "joined as worker-1" in done.stdout
    assert "plaintext" not in done.stdout
    for service in ("server", "worker"):
        for container in ids(project, service):
            told = inspect(container)
            host, state = told["HostConfig"], told["State"]
            assert isinstance(host, dict) and isinstance(state, dict)
            assert state["ExitCode"] == 0
            assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"]
            mounts = told["Mounts"]
            assert isinstance(mounts, list)
            assert "/certs/ca" not in {mount["Destination"] for mount in mounts}
    again = command(*project, *UP, **RUN)  # there is nothing left to do, which is no failure
    assert again.returncode == 0, again.stdout
    assert "finished: 5 rounds" in again.stdout and "2 of 2 checked" in again.stdout
    codes = [
        inspect(container)["State"] for service in ("server", "worker") for container in ids(project, service)
    ]
    assert [state["ExitCode"] for state in codes if isinstance(state, dict)] == [0, 0, 0]


def test_failed_run_fails_compose(project: tuple[str, ...]) -> None:
    done = command(*project, *UP, **{**RUN, "OPTIMIZER": "sgd(lr=1e38)"})
    # The server's own failure, or it was stopped for a worker's
    assert done.returncode in (1, 128 + 15), done.stdout
    assert "lower the learning rate" in done.stdout and "Traceback" not in done.stdout


def test_killed_server_resumes_from_its_volume(project: tuple[str, ...]) -> None:
    run = {**RUN, "PROCESSES": "1", "COUNT": "2", "ROUNDS": "3000", "RESTART": "on-failure"}
    output(*project, "up", "--detach", "server", "worker", **run)
    (server,) = ids(project, "server")
    follow_until("round 1", server)
    output("docker", "kill", "--signal", "KILL", server)
    output(*project, "up", "--detach", "server", "worker", **run)
    (server,) = ids(project, "server")
    code = output("docker", "wait", server).strip()
    log = output("docker", "logs", server)
    assert code == "0", log
    assert log.count("listening on") == 2 and "finished: 3000 rounds" in log and "replicas agree: yes" in log


@pytest.mark.parametrize("target", ["server", "worker"])
def test_image_has_no_build_tools_and_an_unprivileged_user(target: str) -> None:
    script = "id -u; command -v gcc cc make git ld as || true"
    told = output(
        "docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", f"gradwire-{target}", "-c", script
    )
    assert told.split() == ["10001"], told


def test_image_holds_the_package_only() -> None:
    listing = output(
        "docker", "run", "--rm", "--network", "none", "--entrypoint", "python", "gradwire-server", "-c",
        "import gradwire.server, os; print(os.path.exists('/source'), gradwire.server.__file__)",
    )  # fmt: skip
    assert listing.split() == [
        "False",
        "/opt/gradwire/lib/python3.11/site-packages/gradwire/server/__init__.py",
    ]
