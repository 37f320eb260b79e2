"""Hosts that are network namespaces of this machine: each has an address on a bridge in one more namespace.

Namespaces have no names, and the machine's own network does not see them: a namespace exists as long as its holder,
a process that ends with this one, however this one ends. Its links, the bridge and the shaping are removed with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

from gradwire.bench.hosts.base import BENCHMARKING, INTERFACE, Hosts, addresses
from gradwire.bench.hosts.rates import Rate
from gradwire.bench.hosts.scratch import scratch
from gradwire.common.errors import ConfigError
from gradwire.deploy.processes.child import PROGRAM, Child
from gradwire.deploy.processes.cores import worker_environment
from gradwire.deploy.processes.events import Inbox
from gradwire.deploy.processes.outcome import raise_if_stopped
from gradwire.server.interfaces import InterfaceCounters, read_interfaces

BRIDGE = "bridge"


class Namespace:
    """A network namespace and its holder."""

    def __init__(self) -> None:
        self._holder = Popen(("unshare", "--net", "--", "cat"), stdin=PIPE, stdout=PIPE, process_group=0)
        self._echo()

    def _echo(self) -> None:
        """Wait for the holder's echo: unshare has then made the namespace and executed ``cat``."""
        assert self._holder.stdin is not None and self._holder.stdout is not None
        with suppress(BrokenPipeError):
            self._holder.stdin.write(b"\n")
            self._holder.stdin.flush()
        if not self._holder.stdout.readline():
            raise ConfigError(
                f"cannot make a network namespace (unshare ended with {self._holder.wait()}): "
                "run as root, with CAP_SYS_ADMIN"
            )

    @property
    def holder(self) -> int:
        """The holder's process id, which identifies the namespace to ``ip``."""
        return self._holder.pid

    def inside(self, *command: str) -> tuple[str, ...]:
        """The command that runs a command in here, as the same process."""
        return ("nsenter", f"--net=/proc/{self.holder}/ns/net", "--", *command)

    def configure(self, program: str, lines: Sequence[str]) -> None:
        """Run lines of ``ip`` or ``tc`` in here.

        Raises:
            ConfigError: one was refused.
        """
        command, text = self.inside(program, "-batch", "-"), "".join(f"{line}\n" for line in lines)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            output = done.stderr.strip().replace("\n", "; ")
            raise ConfigError(f"{program} refused to build the hosts' network: {output}")

    def disable_ipv6(self) -> None:
        """Disable IPv6 on links that are made later, and with it neighbour, router and group messages."""
        script = 'for f in all default; do echo 1 >"/proc/sys/net/ipv6/conf/$f/disable_ipv6"; done'
        if Path("/proc/sys/net/ipv6").exists():
            subprocess.run(self.inside("sh", "-c", script), check=True)

    def counters(self) -> InterfaceCounters:
        """The counters of the links in here."""
        counters = read_interfaces(self.holder)
        assert counters is not None  # procfs is where the namespace itself came from
        return counters

    def close(self) -> None:
        """End the holder; the kernel removes the namespace with the last process in it."""
        self._holder.kill()
        self._holder.communicate()


class NamespaceHost:
    """A host that is a namespace; it shares this machine's files."""

    def __init__(self, name: str, address: str, namespace: Namespace, folder: Path, child: Child) -> None:
        self.name, self.address, self.child = name, address, child
        self._namespace, self._folder = namespace, folder

    def carry(self, file: Path, name: str) -> str:
        target = Path(self.scratch(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        return str(target)

    def scratch(self, name: str) -> str:
        return str(self._folder / self.name / name)

    def counters(self) -> InterfaceCounters:
        return self._namespace.counters()


@dataclass(frozen=True)
class Namespaces:
    """Makes hosts of namespaces.

    Attributes:
        inbox: where the processes' events go.
        rate: of each worker's link, in both directions; None leaves it as fast as this machine is.
        server_rate: of the server's link.
    """

    inbox: Inbox
    rate: Rate | None = None
    server_rate: Rate | None = None

    @contextmanager
    def hosts(self, workers: int) -> Iterator[Hosts]:
        """A server's namespace, a namespace for each worker, and that of the bridge between them.

        Raises:
            ConfigError: not root, no such programs, or the kernel refuses.
        """
        require_programs()
        server, others = addresses(workers)
        with ExitStack() as stack:
            folder = stack.enter_context(scratch("hosts"))
            bridge = _namespace(stack)
            bridge.configure(
                "ip", [f"link add {BRIDGE} type bridge mcast_snooping 0", f"link set {BRIDGE} up"]
            )
            named = [("server", server, self.server_rate)]
            named += [(f"worker-{i}", address, self.rate) for i, address in enumerate(others)]
            hosts = []
            for port, (name, address, rate) in enumerate(named):
                raise_if_stopped(self.inbox)
                namespace = _namespace(stack)
                _connect(bridge, f"port{port}", namespace, address, rate)
                environment = worker_environment(workers) if port else None
                child = Child(name, self.inbox, namespace.inside(*PROGRAM), environment)
                (folder / name).mkdir()
                hosts.append(NamespaceHost(name, address, namespace, folder, child))
            yield Hosts(hosts[0], tuple(hosts[1:]))


def require_programs() -> None:
    """Raise unless this process may make namespaces and has the programs for it.

    Raises:
        ConfigError: it may not, or has not.
    """
    if os.geteuid() != 0:
        raise ConfigError("network namespaces need root: run it with sudo, or use --hosts docker")
    missing = [name for name in ("ip", "tc", "unshare", "nsenter") if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)} not found: install iproute2 and util-linux, or use --hosts docker"
        )


def _namespace(stack: ExitStack) -> Namespace:
    namespace = Namespace()
    stack.callback(namespace.close)
    namespace.disable_ipv6()
    return namespace


def _connect(bridge: Namespace, port: str, host: Namespace, address: str, rate: Rate | None) -> None:
    """A link from the bridge to a host, shaped at both of its ends.

    One segment per packet: the kernel would else hand both ends of a veth pair packets of 64 KiB with one header, and
    the counters would leave out most of the headers that a real link carries.
    """
    bridge.configure(
        "ip",
        [
            f"link add {port} gso_max_segs 1 type veth peer name {INTERFACE} netns {host.holder}",
            f"link set {port} master {BRIDGE} up",
        ],
    )
    host.configure(
        "ip",
        [
            "link set lo up",
            f"address add {address}/{BENCHMARKING.prefixlen} dev {INTERFACE}",
            f"link set {INTERFACE} gso_max_segs 1 up",
        ],
    )
    if rate is not None:
        bridge.configure("tc", [f"qdisc add dev {port} root {rate.tbf}"])
        host.configure("tc", [f"qdisc add dev {INTERFACE} root {rate.tbf}"])
