"""Runs over TLS: the same bits as in plaintext, counted bytes, and one clear line for whoever may not take part."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from gradwire.common.errors import PermissionDenied, Unauthenticated
from gradwire.common.training.config import RunConfig
from gradwire.common.transport import protocol
from gradwire.common.transport.address import Address
from gradwire.common.transport.pem import Identity
from gradwire.common.transport.tls import ServerTls, WorkerTls
from gradwire.deploy.authority import Authority, certificate_pem
from gradwire.proto import wire_pb2
from gradwire.worker.tls_probe import diagnose
from tests.system.harness import TIMEOUT, RawWorker, Run, simulate

CONFIG = RunConfig(task="least_squares(samples=64, dim=24)", workers=4, rounds=30)
HOSTS = {"alice": (0, 1), "bob": (2, 3)}
AUTHORITY, OTHER = Authority.new(10), Authority.new(10)
CA = certificate_pem(AUTHORITY.certificate)


def identity(pem: bytes, name: str, folder: Path) -> Identity:
    """An identity from a file, without the checks that a command makes: its certificate may have expired."""
    path = folder / f"{name}.pem"
    path.write_bytes(pem)
    own = pem[pem.index(b"-----BEGIN CERTIFICATE") :].split(b"-----END CERTIFICATE-----\n")[0]
    return Identity(name, own + b"-----END CERTIFICATE-----\n", pem, b"", path, path)


def server(folder: Path, *, hosts: tuple[str, ...] = (), days: int = 10, mutual: bool = True) -> ServerTls:
    return ServerTls(identity(AUTHORITY.server(hosts, days), "server", folder), CA if mutual else None)


def worker(folder: Path, name: str, *, authority: Authority = AUTHORITY, days: int = 10) -> WorkerTls:
    return WorkerTls(CA, identity(authority.worker(name, days), name, folder))


def run_with(tls: ServerTls, folder: Path, of: Callable[[str], WorkerTls]) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        run = Run(CONFIG, folder / "run", tls=tls)
        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
            serving = group.create_task(run.serve())
            for name, ids in HOSTS.items():
                group.create_task(run.work(name, ids, of(name)))
        return serving.result()

    return asyncio.run(main())


@pytest.mark.parametrize("mutual", [True, False])
def test_a_run_over_tls_ends_with_the_same_bits_and_its_bytes_are_counted(
    mutual: bool, tmp_path: Path
) -> None:
    def of(name: str) -> WorkerTls:
        return worker(tmp_path, name) if mutual else WorkerTls(CA)

    summary = run_with(server(tmp_path, mutual=mutual), tmp_path, of)
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"
    assert summary["predicted_equals_measured"] and summary["replicas_agree"]
    for direction in ("uplink", "downlink"):
        messages, tcp = summary[direction]["message_bytes"], summary[direction]["tcp_bytes"]
        # A TLS 1.3 record adds 22 bytes (RFC 8446, 5.2: header 5, type 1, tag 16) to what plaintext sends.
        assert messages + 2 * 30 * 22 < tcp < messages + 2 * 31 * 200


@asynccontextmanager
async def serving(tls: ServerTls | None, folder: Path) -> Any:
    run = Run(CONFIG, folder / "run", tls=tls)
    task = asyncio.create_task(run.serve())
    try:
        async with asyncio.timeout(TIMEOUT):
            await run.address
            yield run
    finally:
        task.cancel()
        await asyncio.wait([task])


def refusal(tls: ServerTls | None, folder: Path, join: Callable[[Run], Awaitable[None]]) -> str:
    """The one line that keeps a worker out."""

    async def main() -> str:
        async with serving(tls, folder) as run:
            with pytest.raises((Unauthenticated, PermissionDenied)) as caught:
                await join(run)
            return str(caught.value)

    message = asyncio.run(main())
    assert "\n" not in message
    return message


def joining(own: WorkerTls | None, name: str = "alice") -> Callable[[Run], Awaitable[None]]:
    return lambda run: run.work(name, (0, 1), own)


def test_a_server_of_another_authority(tmp_path: Path) -> None:
    own = WorkerTls(certificate_pem(OTHER.certificate))
    assert "another authority signed it" in refusal(server(tmp_path), tmp_path, joining(own))


def test_a_worker_of_another_authority(tmp_path: Path) -> None:
    own = worker(tmp_path, "alice", authority=OTHER)
    assert "does not accept the certificate in" in refusal(server(tmp_path), tmp_path, joining(own))


def test_an_expired_certificate_of_the_worker(tmp_path: Path) -> None:
    own = worker(tmp_path, "alice", days=0)
    assert "does not accept the certificate in" in refusal(server(tmp_path), tmp_path, joining(own))


def test_an_expired_certificate_of_the_server(tmp_path: Path) -> None:
    message = refusal(server(tmp_path, days=0), tmp_path, joining(worker(tmp_path, "alice")))
    assert "the server's certificate is not accepted: it has expired" in message


def test_a_certificate_for_another_host(tmp_path: Path) -> None:
    own = worker(tmp_path, "alice")

    async def main() -> str:
        run = Run(CONFIG, tmp_path / "run", tls=server(tmp_path, hosts=("train.example",)))
        task = asyncio.create_task(run.serve("127.0.0.3:0"))
        try:
            with pytest.raises(Unauthenticated) as caught:
                await run.work("alice", (0, 1), own)
            return str(caught.value)
        finally:
            task.cancel()
            await asyncio.wait([task])

    message = asyncio.run(main())
    assert "it is not for 127.0.0.3: make one with `gradwire certs --host 127.0.0.3 --force`" in message


def test_a_servers_certificate_does_not_make_a_worker(tmp_path: Path) -> None:
    own = WorkerTls(CA, identity(AUTHORITY.server((), 10), "server", tmp_path))
    assert "it has to be a worker's" in refusal(server(tmp_path), tmp_path, joining(own))


def test_no_certificate_where_one_is_asked_for(tmp_path: Path) -> None:
    assert "asks for a certificate: " in refusal(server(tmp_path), tmp_path, joining(WorkerTls(CA)))


@pytest.mark.parametrize("mutual", [True, False])
def test_plaintext_to_tls(mutual: bool, tmp_path: Path) -> None:
    assert "speaks TLS: give" in refusal(server(tmp_path, mutual=mutual), tmp_path, joining(None))


def test_tls_to_plaintext(tmp_path: Path) -> None:
    assert "does not speak TLS" in refusal(None, tmp_path, joining(worker(tmp_path, "alice")))


def test_a_process_is_called_what_its_certificate_says(tmp_path: Path) -> None:
    message = refusal(server(tmp_path), tmp_path, joining(worker(tmp_path, "alice"), "bob"))
    assert "this certificate is for 'alice', the process calls itself 'bob'" in message


def test_somebody_elses_worker_id_is_refused_even_when_they_are_away(tmp_path: Path) -> None:
    async def main() -> tuple[grpc.StatusCode, str]:
        async with serving(server(tmp_path), tmp_path) as run:
            target = await run.address
            alice, eve = (RawWorker(target, worker(tmp_path, name)) for name in ("alice", "eve"))
            await alice.greet(CONFIG, "alice", (0, 1))
            await alice.close()
            await eve.send(join=wire_pb2.Join(protocol=protocol.PROTOCOL, process="eve", workers=[1]))
            refused = await eve.refused()
            await eve.close()
            return refused

    code, details = asyncio.run(main())
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "worker 1 belongs to a process with another certificate" in details


def test_an_impostor_leaves_the_owners_stream_alone(tmp_path: Path) -> None:
    """Joining under a name ends the earlier stream of that name: not for somebody who may not bear it."""

    async def main() -> None:
        async with serving(server(tmp_path), tmp_path) as run:
            target = await run.address
            alice, eve = (RawWorker(target, worker(tmp_path, name)) for name in ("alice", "eve"))
            await alice.join(CONFIG, "alice", (0, 1, 2, 3))
            await eve.send(join=wire_pb2.Join(protocol=protocol.PROTOCOL, process="alice", workers=[0]))
            code, _ = await eve.refused()
            assert code is grpc.StatusCode.PERMISSION_DENIED
            await alice.send(push=wire_pb2.Push(round=99))
            code, _ = await alice.refused()
            assert code is grpc.StatusCode.INVALID_ARGUMENT  # for this push, hence its stream was still there
            await alice.close()
            await eve.close()

    asyncio.run(main())


@pytest.mark.parametrize("secret", [True, False], ids=["tls", "plaintext"])
def test_a_port_that_is_forwarded_to_nobody_is_not_a_matter_of_certificates(
    secret: bool, tmp_path: Path
) -> None:
    """Whatever forwards ports may accept a connection, find nobody behind, and hang up: the worker is to try again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            with suppress(OSError):  # the listener is closed at the end
                while True:
                    listener.accept()[0].close()

        forwarding = threading.Thread(target=hang_up, daemon=True)
        forwarding.start()
        tls = worker(tmp_path, "alice") if secret else None
        assert diagnose(Address("127.0.0.1", port), tls) is None
        listener.shutdown(socket.SHUT_RDWR)
        forwarding.join(TIMEOUT)
    assert not forwarding.is_alive()
