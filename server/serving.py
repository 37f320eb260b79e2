"""A gRPC server around a coordinator, from listening to the summary."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from gradwire.common.downlinks import check_downlink
from gradwire.common.errors import ConfigError, LogError
from gradwire.common.system.signals import StopSignals
from gradwire.common.training.config import RunConfig
from gradwire.common.transport import protocol
from gradwire.common.transport.address import Address
from gradwire.common.transport.framing import MAX_MESSAGE_BYTES
from gradwire.common.transport.options import server_options
from gradwire.common.transport.statuses import StatusInterceptor
from gradwire.common.transport.tls import ServerTls
from gradwire.server.coordinator import Coordinator
from gradwire.server.interfaces import InterfaceCounters, read_interfaces
from gradwire.server.log.run_log import RunLog
from gradwire.server.progress import Progress
from gradwire.server.service import ParameterServer
from gradwire.server.summary import add_interfaces, summarise
from gradwire.server.tcp.meter import TcpMeter

STOP_GRACE = 2.0  # seconds for streams to end by themselves once the run is over


class Interrupted(Exception):
    """A signal asked the server to stop; the log holds everything announced so far."""

    def __init__(self, signum: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(signum).name}: start again with the same state directory to go on"
        )
        self.exit_code = 128 + signum


def open_log(directory: Path, config: RunConfig | None) -> RunLog:
    """The log of the run in a state directory: a new one, or the one that is there.

    A run that no worker has brought a model to yet is nothing that could be lost: another one takes its place.

    Raises:
        ConfigError: no configuration for a new run, or one that contradicts the stored run.
        SpecError: no such downlink.
        LogError: the directory's run cannot be used.
    """
    if config is not None:
        check_downlink(config.downlink)
    if not RunLog.exists(directory):
        if config is None:
            raise ConfigError(f"there is no run in {directory}: pass --task to begin one")
        return RunLog.create(directory, config, os.urandom(16))
    log = RunLog.open(directory)
    if config is None or config == log.config:
        return log
    if not log.has_initial:
        log.begin_anew(config, os.urandom(16))
        return log
    log.close()
    raise ConfigError(
        f"{directory} holds another run ({_difference(log.config, config)}): pass another --state-dir"
    )


def _difference(stored: RunConfig, given: RunConfig) -> str:
    import dataclasses

    for field in dataclasses.fields(RunConfig):
        a, b = getattr(stored, field.name), getattr(given, field.name)
        if a != b:
            return f"its {field.name} is {a}, given was {b}"
    raise LogError("two equal configurations compared unequal")


async def serve(
    opened: Callable[[], RunLog],
    address: Address,
    progress: Progress,
    *,
    dim: int | None = None,
    await_workers: bool = False,
    tls: ServerTls | None = None,
    signals: StopSignals | None = None,
) -> dict[str, Any]:
    """Serve one run to its end and return its summary.

    Args:
        opened: opens the run's log, which may make it: called once the address is this server's.
        dim: coordinates that the model must have; None takes the first worker's word, as far as memory goes.
        await_workers: of a run that is finished: they come to hear so, some seconds from now.
        tls: certificates; None is plaintext.
        signals: ask the server to stop; that the run is over is told to them.

    Raises:
        ConfigError: the address cannot be listened on.
        Interrupted: ``signals`` caught SIGINT or SIGTERM.
        GradwireError: the run failed, or its log cannot be used.
    """
    signals = signals or StopSignals()
    server, port = _bound(address, tls)
    try:
        run = Coordinator(opened(), progress)
    except BaseException:
        await server.stop(None)  # gives the address back
        raise
    meter = TcpMeter()
    try:
        service = ParameterServer(run, on_stream=meter.scan, dim=dim)
        _attach(server, service)
        if await_workers:
            run.ending.await_all()
        meter.observe(local_port=port)
        run.tcp.use(meter)
        here = Address(address.host, port)
        caught: list[int] = []
        loop, stop = asyncio.get_running_loop(), partial(_stop, caught, run)
        with signals.waking(loop):
            signals.heed = lambda signum: loop.call_soon_threadsafe(stop, signum)
            summary = await _serve(
                run, server, service, meter, caught, lambda: _announce(run, here, progress)
            )
            signals.over = True
        return summary
    finally:
        signals.heed = None
        meter.close()
        run.close()


def _announce(run: Coordinator, address: Address, progress: Progress) -> None:
    progress(
        {
            "event": "listening",
            "address": str(address),
            "run_id": run.log.run_id.hex(),
            "round": run.state.round,
            "rounds": run.config.rounds,
            "over": run.finished and not run.ending.missing(),
        }
    )


async def _serve(
    run: Coordinator,
    server: grpc.aio.Server,
    service: ParameterServer,
    meter: TcpMeter,
    caught: list[int],
    announce: Callable[[], None],
) -> dict[str, Any]:
    interfaces: list[InterfaceCounters | None] = [read_interfaces()]
    await server.start()

    def opened() -> None:
        run.tcp.opened()
        interfaces.append(read_interfaces())

    run.on_open = opened
    announce()
    grace = None
    try:
        if run.finished:
            run.ending.look()
        await run.ending.over.wait()
        if caught:
            raise Interrupted(caught[0])
        grace = STOP_GRACE
        if run.failure is not None:
            raise run.failure
        # The last bytes are counted when connections have ended.
        await asyncio.to_thread(meter.settle, STOP_GRACE)
        await run.save_tally()
        summary = summarise(run)
        add_interfaces(summary, interfaces[0], interfaces[-1], read_interfaces())
        return summary
    except Exception:
        grace = STOP_GRACE
        await asyncio.sleep(0)  # the stream that caused a failure is to hear of it by itself
        service.cut_all("the server stops: it goes on once it is started again")
        if not isinstance(run.failure, LogError):
            await run.save_tally()
        raise
    finally:
        await server.stop(grace)


def _bound(address: Address, tls: ServerTls | None) -> tuple[grpc.aio.Server, int]:
    """A server that has the address to itself, and the port; it takes no connection before it is started."""
    server = grpc.aio.server(interceptors=[StatusInterceptor()], options=server_options(MAX_MESSAGE_BYTES))
    try:
        if tls is None:
            return server, server.add_insecure_port(address.target)
        return server, server.add_secure_port(address.target, tls.credentials())
    except RuntimeError as error:
        raise ConfigError(
            f"cannot listen on {address}: the port is in use or the address is not this machine's"
        ) from error


def _attach(server: grpc.aio.Server, service: ParameterServer) -> None:
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(service.train)
    name, method = protocol.METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {method: handler}),))


def _stop(caught: list[int], run: Coordinator, signum: int) -> None:
    """A signal came; once the run is over it changes nothing, for the summary is seconds away by then."""
    if not run.ending.over.is_set():
        caught.append(signum)
        run.ending.over.set()
