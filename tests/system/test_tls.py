"""Runs over TLS: the same bits as in plaintext, counted bytes, and one clear line for each refused worker."""

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
from tests.system.harness import TIMEOUT, Run, cancel, run_script, simulate
from tests.system.raw_worker import RawWorker

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


@pytest.mark.parametrize("mutual", [True, False])
def test_run_over_tls_gives_the_same_bits_and_counts_bytes(mutual: bool, tmp_path: Path) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for name, ids in HOSTS.items():
            tls = worker(tmp_path, name) if mutual else WorkerTls(CA)
            group.create_task(run.work(name, ids, tls=tls))

    summary, _ = run_script(CONFIG, tmp_path / "run", script, tls=server(tmp_path, mutual=mutual))
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
        await cancel(task)


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
    return lambda run: run.work(name, (0, 1), tls=own)


def test_server_of_another_authority(tmp_path: Path) -> None:
    own = WorkerTls(certificate_pem(OTHER.certificate))
    assert "another authority signed it" in refusal(server(tmp_path), tmp_path, joining(own))


def test_worker_of_another_authority(tmp_path: Path) -> None:
    own = worker(tmp_path, "alice", authority=OTHER)
    assert "does not accept the certificate in" in refusal(server(tmp_path), tmp_path, joining(own))


def test_expired_worker_certificate(tmp_path: Path) -> None:
    own = worker(tmp_path, "alice", days=0)
    assert "does not accept the certificate in" in refusal(server(tmp_path), tmp_path, joining(own))


def test_expired_server_certificate(tmp_path: Path) -> None:
    message = refusal(server(tmp_path, days=0), tmp_path, joining(worker(tmp_path, "alice")))
    assert "the server's certificate is not accepted: it has expired" in message


def test_certificate_for_another_host(tmp_path: Path) -> None:
    own = worker(tmp_path, "alice")

    async def main() -> str:
        run = Run(CONFIG, tmp_path / "run", tls=server(tmp_path, hosts=("train.example",)))
        task = asyncio.create_task(run.serve("127.0.0.3:0"))
        try:
            with pytest.raises(Unauthenticated) as caught:
                await run.work("alice", (0, 1), tls=own)
            return str(caught.value)
        finally:
            await cancel(task)

    message = asyncio.run(main())
    assert "it is not for 127.0.0.3: make one with `gradwire certs --host 127.0.0.3 --force`" in message


def test_server_certificate_is_no_worker_certificate(tmp_path: Path) -> None:
    own = WorkerTls(CA, identity(AUTHORITY.server((), 10), "server", tmp_path))
    assert "it has to be a worker's" in refusal(server(tmp_path), tmp_path, joining(own))


def test_missing_worker_certificate(tmp_path: Path) -> None:
    assert "asks for a certificate: " in refusal(server(tmp_path), tmp_path, joining(WorkerTls(CA)))


@pytest.mark.parametrize("mutual", [True, False])
def test_plaintext_to_tls(mutual: bool, tmp_path: Path) -> None:
    assert "speaks TLS: give" in refusal(server(tmp_path, mutual=mutual), tmp_path, joining(None))


def test_tls_to_plaintext(tmp_path: Path) -> None:
    assert "does not speak TLS" in refusal(None, tmp_path, joining(worker(tmp_path, "alice")))


def test_process_name_must_be_that_of_the_certificate(tmp_path: Path) -> None:
    message = refusal(server(tmp_path), tmp_path, joining(worker(tmp_path, "alice"), "bob"))
    assert "this certificate is for 'alice', the process calls itself 'bob'" in message


def test_worker_id_of_an_absent_process_is_refused(tmp_path: Path) -> None:
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


def test_stream_is_not_replaced_by_another_certificate(tmp_path: Path) -> None:
    """Joining under a name ends the earlier stream of that name only if the certificate is for that name."""

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
def test_closed_forwarded_port_is_no_certificate_error(secret: bool, tmp_path: Path) -> None:
    """A port forwarder may accept a connection, find no server, and close it: the worker tries again."""
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
