"""The pods of the Kubernetes manifests, run as plain containers: the same commands, mounts and restrictions."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradwire.deploy import cli
from tests.deploy.test_manifests import PODS, SERVICE
from tests.system.containers.engine import command, follow_until, output, require_images

pytestmark = [pytest.mark.slow, pytest.mark.docker]

NAME = f"gwpods{os.getpid()}"
USER = 10001


@pytest.fixture
def network() -> Iterator[str]:
    """A network of this test's own; its containers go with it."""
    require_images()
    output("docker", "network", "create", "--subnet", "198.19.81.0/24", NAME)
    yield NAME
    left = output("docker", "ps", "--all", "--quiet", "--filter", f"network={NAME}").split()
    if left:
        output("docker", "rm", "--force", "--volumes", *left)
    output("docker", "network", "rm", NAME)


def start(pod: dict[str, Any], certs: dict[str, Path], *more: str, index: int = 0) -> str:
    """Start a pod's container; returns its id.

    Args:
        certs: what stands for each secret mount, by the mount's path.
        more: words for the engine.
    """
    (container,) = pod["containers"]
    words = ["docker", "run", "--detach", "--network", NAME, "--cap-drop", "ALL", "--read-only", *more]
    words += ["--security-opt", "no-new-privileges:true", "--user", f"{USER}:{USER}"]
    for mount in container["volumeMounts"]:
        path = mount["mountPath"]
        if path in certs:
            words += ["--volume", f"{certs[path]}:{path}:ro"]
        else:
            words += ["--tmpfs", f"{path}:uid={USER},gid={USER},mode=0770"]
    entry = container.get("command", ["gradwire"])
    arguments = [word.replace("$(INDEX)", str(index)) for word in container["args"]]
    return output(*words, "--entrypoint", entry[0], container["image"], *entry[1:], *arguments).strip()


def test_pods_train_and_server_waits(network: str, tmp_path: Path) -> None:
    assert (
        cli.call(["certs", "--out", str(tmp_path), "--host", SERVICE["metadata"]["name"], "--workers", "4"])
        == 0
    )
    for path in (tmp_path, *tmp_path.rglob("*")):
        shutil.chown(path, USER, USER)
    for folder in tmp_path.parents:  # the engine's user has to reach the files
        folder.chmod(folder.stat().st_mode | 0o111)
    alias = ("--network-alias", SERVICE["metadata"]["name"])
    server = start(PODS["server"], {"/certs/server": tmp_path / "server"}, *alias)
    follow_until("listening on", server)
    probe = PODS["server"]["containers"][0]["readinessProbe"]["exec"]["command"]
    output("docker", "exec", server, *probe)
    workers = [
        start(PODS["worker"], {"/certs/worker.pem": tmp_path / f"workers/worker-{i}.pem"}, index=i)
        for i in range(4)
    ]
    assert output("docker", "wait", *workers).split() == ["0"] * 4, output("docker", "logs", workers[0])
    follow_until("the run is over", server)
    log = output("docker", "logs", server)
    assert "replicas agree: yes" in log and "4 of 4 checked" in log
    assert command("docker", "exec", server, *probe).returncode == 1  # not ready any more, and not restarted
    output("docker", "stop", "--time", "60", server)
    state = json.loads(output("docker", "inspect", "--format", "{{json .State}}", server))
    assert state["ExitCode"] != 137, "it had to be killed"


def test_server_stops_cleanly_on_sigterm(network: str, tmp_path: Path) -> None:
    assert cli.call(["certs", "--out", str(tmp_path), "--host", SERVICE["metadata"]["name"]]) == 0
    for path in (tmp_path, *tmp_path.rglob("*")):
        shutil.chown(path, USER, USER)
    for folder in tmp_path.parents:
        folder.chmod(folder.stat().st_mode | 0o111)
    server = start(PODS["server"], {"/certs/server": tmp_path / "server"})
    follow_until("listening on", server)
    output("docker", "stop", "--time", "60", server)
    assert "stopped by SIGTERM: start again with the same state directory to go on" in output(
        "docker", "logs", server
    )
    assert output("docker", "wait", server).strip() == "143"
