"""A gRPC server around a coordinator, from listening to the summary."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import grpc

from gradwire.common.downlinks import check_downlink
from gradwire.common.errors import ConfigError, LogError
from gradwire.common.system.signals import StopSignals
from gradwire.common.training.config import RunConfig
from gradwire.common.transport.address import Address
from gradwire.common.transport.tls import ServerTls
from gradwire.common.weights.start import Start
from gradwire.server.coordinator import Coordinator
from gradwire.server.interfaces import read_interfaces
from gradwire.server.listening import attach, listen
from gradwire.server.log.notes import ORIGIN
from gradwire.server.log.run_log import RunLog
from gradwire.server.progress import Progress, to_all
from gradwire.server.stream.service import ParameterServer
from gradwire.server.summary import add_interfaces, summarise
from gradwire.server.tcp.carriers import Carriers
from gradwire.server.tcp.meter import TcpMeter
from gradwire.server.watching.service import WatchService
from gradwire.server.watching.watchers import Watchers, failed, finished

STOP_GRACE = 2.0  # seconds for streams to end by themselves when the server stops


class Interrupted(Exception):
    """A signal asked the server to stop; the log holds everything announced so far."""

    def __init__(self, signum: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(signum).name}: start again with the same state directory to go on"
        )
        self.exit_code = 128 + signum


def open_log(directory: Path, config: RunConfig | None, start: Start | None = None) -> RunLog:
    """The log of the run in a state directory: a new one, or the one that is there.

    A stored run that has no initial model yet is replaced: there is nothing to lose in it. One that differs in its
    number of rounds alone, and has fewer, is continued to the larger number.

    Args:
        directory: of the run.
        config: None for that of the stored run.
        start: what the run is to begin from; None for what its first worker makes.

    Raises:
        ConfigError: no configuration for a new run, or it contradicts the stored run, or its start.
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
    if start is not None and log.has_initial and log.get(ORIGIN) != start.digest:
        log.close()
        raise ConfigError(
            f"the run in {directory} has begun: leave --init out to go on, or pass another --state-dir"
        )
    if config is None or config == log.config:
        return log
    if not log.has_initial:
        log.begin_anew(config, os.urandom(16))
        return log
    if config.rounds > log.config.rounds and config == replace(log.config, rounds=config.rounds):
        log.extend(config.rounds)
        return log
    log.close()
    raise ConfigError(
        f"{directory} holds another run ({_difference(log.config, config)}): pass another --state-dir"
    )


def _difference(stored: RunConfig, given: RunConfig) -> str:
    for field in fields(RunConfig):
        a, b = getattr(stored, field.name), getattr(given, field.name)
        if a != b:
            return f"its {field.name} is {a}, given was {b}"
    raise LogError("two equal configurations compared unequal")


async def serve(
    log_factory: Callable[[], RunLog],
    address: Address,
    progress: Progress,
    *,
    dim: int | None = None,
    own_data: bool = False,
    start: Start | None = None,
    await_workers: bool = False,
    tls: ServerTls | None = None,
    signals: StopSignals | None = None,
) -> dict[str, Any]:
    """Serve one run to its end and return its summary.

    Args:
        log_factory: opens or creates the run's log; called after the address is bound.
        address: where to listen.
        progress: is called with every progress event.
        dim: coordinates that the model must have; None for what the first worker has, as far as memory goes.
        own_data: each process trains on data of its own, so that worker ids stay with its name.
        start: the arrays that a new run begins from; None for those that its first worker makes.
        await_workers: if the run has already finished, wait some seconds for all workers to reconnect.
        tls: certificates; None is plaintext.
        signals: ask the server to stop; marked ``over`` when the run is.

    Raises:
        ConfigError: the address cannot be listened on.
        Interrupted: ``signals`` caught SIGINT or SIGTERM.
        GradwireError: the run failed, or its log cannot be used.
    """
    signals = signals or StopSignals()
    server, port = listen(address, tls)
    watchers = Watchers()
    progress = to_all(progress, watchers.publish)
    try:
        watchers.run = run = Coordinator(log_factory(), progress, start)
    except BaseException:
        # Releases the address.
        await server.stop(None)
        raise
    meter = TcpMeter(port)
    try:
        carriers = Carriers(meter)
        service = ParameterServer(run, on_stream=carriers.trains, dim=dim, own_data=own_data)
        attach(server, service, WatchService(watchers, carriers))
        serving = _Serving(run, server, meter, service, watchers)
        if await_workers:
            run.shutdown.expect_all()
        run.tcp.use(meter)
        loop = asyncio.get_running_loop()
        with signals.waking(loop):
            signals.handler = lambda signum: loop.call_soon_threadsafe(serving.interrupt, signum)
            summary = await serving.to_the_end(Address(address.host, port), progress)
            signals.work_done = True
        return summary
    finally:
        signals.handler = None
        meter.close()
        run.close()


class _Serving:
    """A run on a gRPC server, from its start to the summary."""

    def __init__(
        self,
        run: Coordinator,
        server: grpc.aio.Server,
        meter: TcpMeter,
        service: ParameterServer,
        watchers: Watchers,
    ) -> None:
        self._run = run
        self._server = server
        self._meter = meter
        self._watchers = watchers
        self._service = service
        self._caught: int | None = None
        self._at_start = self._at_open = read_interfaces()

    def interrupt(self, signum: int) -> None:
        """Stop because of a signal; when the run is over already, its summary is only moments away."""
        if not self._run.shutdown.requested.is_set():
            self._caught = signum
            self._run.shutdown.requested.set()

    async def to_the_end(self, address: Address, progress: Progress) -> dict[str, Any]:
        """Serve until the run is over or cannot go on; the summary."""
        run = self._run
        await self._server.start()
        run.on_open = self._opened
        progress(_listening(run, address))
        run.warn_of_pruning()
        looking = asyncio.create_task(self._watchers.look(progress))
        grace = None
        try:
            if run.finished:
                run.shutdown.update()
            await run.shutdown.requested.wait()
            if self._caught is not None:
                raise Interrupted(self._caught)
            grace = STOP_GRACE
            if run.failure is not None:
                raise run.failure
            summary = await self._summary(progress)
            await self._watchers.end(finished(summary))
            return summary
        except Exception as error:
            grace = STOP_GRACE
            await self._stop_streams()
            await self._watchers.end(failed(error))
            raise
        finally:
            looking.cancel()
            await self._server.stop(grace)

    def _opened(self) -> None:
        self._run.tcp.opened()
        self._at_open = read_interfaces()

    async def _summary(self, progress: Progress) -> dict[str, Any]:
        # The kernel counts the last bytes of a connection when it has ended.
        await asyncio.to_thread(self._meter.wait_closed, STOP_GRACE)
        await self._run.evaluations.settle()
        await self._run.save_counters()
        if (warning := self._run.evaluations.warning) is not None:
            progress({"event": "warning", "message": warning})
        summary = summarise(self._run)
        add_interfaces(summary, self._at_start, self._at_open, read_interfaces())
        return summary

    async def _stop_streams(self) -> None:
        # Let the stream that caused a failure end with its own status first.
        await asyncio.sleep(0)
        self._service.abort_all("the server stops: it goes on once it is started again")
        if not isinstance(self._run.failure, LogError):
            await self._run.save_counters()


def _listening(run: Coordinator, address: Address) -> dict[str, Any]:
    return {
        "event": "listening",
        "address": str(address),
        "run_id": run.log.run_id.hex(),
        "round": run.state.round,
        "rounds": run.config.rounds,
        "over": run.finished and not run.shutdown.missing(),
    }
