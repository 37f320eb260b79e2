"""Hosts that are Docker containers: each an address on a network that only they are on.

A container's main process is ``cat``, which ends when this process's end of its input is closed, however this process
ends; the engine then removes the container. gradwire runs beside it, so that the interface's counters can be read after
gradwire has exited. The network is removed at the end, or, if this process was killed, by the next measurement.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from gradwire.bench.hosts.base import BENCHMARKING, INTERFACE, Hosts
from gradwire.bench.hosts.container import ContainerChild, ContainerHost
from gradwire.bench.hosts.images import Images, connect
from gradwire.common.errors import ConfigError
from gradwire.deploy.processes.cores import thread_variables
from gradwire.deploy.processes.events import Inbox
from gradwire.deploy.processes.outcome import raise_if_stopped

LABEL = "gradwire.measurement"
DATA = "/data"
LARGEST_PREFIX, SMALLEST_PREFIX = 20, 24


@dataclass(frozen=True)
class Containers:
    """Makes hosts of containers.

    Attributes:
        data: folder of data sets on this machine, which workers see.
    """

    inbox: Inbox
    images: Images
    data: Path | None = None

    @contextmanager
    def hosts(self, workers: int) -> Iterator[Hosts]:
        """A container for the server and one per worker.

        Raises:
            ConfigError: the engine refuses.
        """
        import docker

        client = connect()
        with ExitStack() as stack:
            stack.callback(client.close)
            try:
                remove_orphans(client)
                network, subnet = _network(client, stack, workers + 1)
                hosts = [
                    self._host(client, stack, network, str(subnet[i + 2]), i - 1, workers)
                    for i in range(workers + 1)
                ]
            except docker.errors.APIError as error:
                raise ConfigError(f"the Docker engine refused: {error.explanation or error}") from error
            yield Hosts(hosts[0], tuple(hosts[1:]))

    def _host(
        self, client: Any, stack: ExitStack, network: str, address: str, worker: int, workers: int
    ) -> ContainerHost:
        """One container; worker -1 is the server."""
        name = "server" if worker < 0 else f"worker-{worker}"
        image = self.images.server if worker < 0 else self.images.worker
        binds = {} if self.data is None or worker < 0 else {str(self.data): {"bind": DATA, "mode": "ro"}}
        raise_if_stopped(self.inbox)  # each takes seconds where the machine is busy
        container = _start(client, stack, image, network, address, name, binds)
        _send_single_segments(client, container)
        threads = thread_variables(workers) if worker >= 0 else {}
        environment = threads | ({"GRADWIRE_DATA": DATA} if binds else {})
        # Its own client: its stream is read while other clients make requests.
        child = ContainerChild(name, self.inbox, connect(), container, environment)
        return ContainerHost(name, address, client, container, child)


def _start(
    client: Any, stack: ExitStack, image: str, network: str, address: str, name: str, binds: dict[str, Any]
) -> str:
    """A container whose main process waits for the end of its input; returns its id."""
    api = client.api
    made = api.create_container(
        image,
        entrypoint=["cat"],
        hostname=name,
        stdin_open=True,  # attached, so it is closed when this process ends
        labels={LABEL: str(os.getpid())},
        host_config=api.create_host_config(
            auto_remove=True, binds=binds, cap_drop=["ALL"], cap_add=["NET_ADMIN"], network_mode=network,
            sysctls={"net.ipv6.conf.all.disable_ipv6": "1"},
        ),
        networking_config=api.create_networking_config({network: api.create_endpoint_config(ipv4_address=address)}),
    )  # fmt: skip
    container: str = made["Id"]
    stack.callback(_remove, client, container)
    attached = api.attach_socket(container, params={"stdin": 1, "stream": 1})
    stack.callback(attached.close)
    api.start(container)
    return container


def _remove(client: Any, container: str) -> None:
    import docker

    try:
        client.api.remove_container(container, force=True)
        client.api.wait(container, condition="removed")
    except docker.errors.NotFound:
        return  # the engine was faster
    except docker.errors.APIError as error:
        if error.status_code != 409:  # its removal is under way: the network's removal waits for it
            raise


def _send_single_segments(client: Any, container: str) -> None:
    """Make the counters count what a link would carry: see segments.py."""
    command = ["python", "-m", "gradwire.bench.hosts.segments", INTERFACE]
    made = client.api.exec_create(container, command, user="0")
    output = client.api.exec_start(made["Id"])
    if client.api.exec_inspect(made["Id"])["ExitCode"]:
        raise ConfigError(
            f"cannot turn off segmentation in a container: {output.decode(errors='replace').strip()}"
        )


def _network(client: Any, stack: ExitStack, hosts: int) -> tuple[str, IPv4Network]:
    """A free network of the benchmarking range.

    Raises:
        ConfigError: more hosts than fit, or no room is left.
    """
    import docker
    from docker.types import IPAMConfig, IPAMPool

    prefix = next(
        (p for p in range(SMALLEST_PREFIX, LARGEST_PREFIX - 1, -1) if hosts + 3 <= 1 << (32 - p)), None
    )
    if prefix is None:
        raise ConfigError(
            f"{hosts} containers were asked for, expected at most {(1 << 32 - LARGEST_PREFIX) - 3}"
        )
    for subnet in reversed(list(BENCHMARKING.subnets(new_prefix=prefix))):
        ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet), gateway=str(subnet[1]))])
        try:
            made = client.networks.create(
                f"gradwire-{os.getpid()}-{os.urandom(3).hex()}",
                ipam=ipam,
                internal=True,
                labels={LABEL: str(os.getpid())},
            )
        except docker.errors.APIError as error:
            if "overlap" not in str(error.explanation):
                raise
            continue
        stack.callback(made.remove)
        return made.name, subnet
    raise ConfigError(f"every network of {BENCHMARKING} is taken: remove some, see `docker network ls`")


def remove_orphans(client: Any) -> None:
    """Remove the networks of measurements that were killed before they could."""
    import docker

    for network in client.networks.list(filters={"label": LABEL}):
        owner = network.attrs["Labels"][LABEL]
        if not Path(f"/proc/{owner}").exists():
            try:
                network.remove()
            except docker.errors.APIError:  # a container of it is still being removed: next time
                continue
