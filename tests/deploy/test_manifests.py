"""The manifests of the engines: valid by their schemas, in step with the commands and with each other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gradwire.deploy import cli

ROOT = Path(__file__).parents[2]
KUBERNETES = sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
COMPOSE = [ROOT / "docker-compose.yml", ROOT / "deploy/stack.yml"]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, as kubectl does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{node.start_mark}: {twice} given twice"
        return super().construct_mapping(node, deep)


def documents(path: Path) -> list[Any]:
    return list(yaml.load_all(path.read_text(), StrictLoader))


def resources(kind: str) -> Iterator[dict[str, Any]]:
    for path in KUBERNETES:
        yield from (found for found in documents(path) if found["kind"] == kind)


(SERVER,) = resources("StatefulSet")
(WORKERS,) = resources("Job")
(SERVICE,) = resources("Service")
PODS = {"server": SERVER["spec"]["template"]["spec"], "worker": WORKERS["spec"]["template"]["spec"]}


def option(words: list[str], name: str) -> str:
    (value,) = [word.partition("=")[2] for word in words if word.startswith(f"--{name}=")]
    return value


@pytest.mark.parametrize("version", ["1.31", "1.34", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_kubernetes_schemas(path: Path, version: str) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_validator_is_strict() -> None:
    broken = {**SERVICE, "spec": {**SERVICE["spec"], "clusterIp": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.31", strict=True)


@pytest.mark.parametrize("name", PODS)
def test_pods_may_do_little(name: str) -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    pod = PODS[name]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and str(pod["securityContext"]["runAsUser"]) == user
    assert pod["securityContext"]["fsGroup"] == int(user)  # which may read the secrets
    assert pod["automountServiceAccountToken"] is False
    rights = container["securityContext"]
    assert rights["readOnlyRootFilesystem"] and rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"] == {"drop": ["ALL"]}
    volumes = {volume["name"] for volume in pod["volumes"]} | {
        claim["metadata"]["name"] for claim in SERVER["spec"]["volumeClaimTemplates"] if name == "server"
    }
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_workers_find_the_server_and_are_as_many_as_it_waits_for() -> None:
    (server,), (worker,) = (PODS[name]["containers"] for name in ("server", "worker"))
    host, _, port = option(worker["args"], "server").partition(":")
    assert host == SERVICE["metadata"]["name"] == SERVER["spec"]["serviceName"]
    assert int(port) == SERVICE["spec"]["ports"][0]["port"] == server["ports"][0]["containerPort"]
    assert SERVICE["spec"]["selector"] == SERVER["spec"]["template"]["metadata"]["labels"]
    spec = WORKERS["spec"]
    assert spec["completions"] == spec["parallelism"]
    hosted = spec["completions"] * int(option(worker["args"], "count"))
    assert hosted == int(option(server["args"], "workers"))
    for path in KUBERNETES:  # what the comments tell the reader to make
        for told in re.findall(r"gradwire certs --host (\S+) --workers (\d+)", path.read_text()):
            assert told == (host, str(spec["completions"]))


@pytest.mark.parametrize("command", ["server", "worker"])
def test_every_flag_in_a_manifest_is_one_of_the_command(command: str) -> None:
    known = {flag for param in cli.COMMANDS[command].load().params for flag in param.opts}
    used = {
        word.partition("=")[0] for word in PODS[command]["containers"][0]["args"] if word.startswith("--")
    }
    for path in COMPOSE:
        words = documents(path)[0]["services"][command]["command"]
        used |= {word.partition("=")[0] for word in words if word.startswith("--")}
    assert used and used <= known


@pytest.mark.parametrize("path", [*COMPOSE, *KUBERNETES], ids=lambda path: path.name)
def test_images_are_those_of_the_dockerfile(path: Path) -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    images = set(re.findall(r"image: (?:\$\{\w+:-)?(\S+?)}?$", path.read_text(), re.MULTILINE))
    assert images and {image.removeprefix("gradwire-") for image in images} <= targets


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_networks_are_of_the_range_for_benchmarks(path: Path) -> None:
    """RFC 2544: an engine's own choice may be a network that the machine needs."""
    (told,) = documents(path)
    for network in told["networks"].values():
        (config,) = network["ipam"]["config"]
        assert re.fullmatch(r"\$\{SUBNET:-198\.(18|19)\.\d+\.0/24\}", config["subnet"])
    for service in told["services"].values():
        assert service.get("networks") or service.get("network_mode") == "none"
