"""A run in this process, from its configuration to its summary."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.downlinks import check_downlink
from gradwire.common.training.config import RunConfig
from gradwire.common.transport import protocol
from gradwire.common.transport.statuses import wire_errors
from gradwire.common.transport.threads import in_place
from gradwire.deploy.in_process.call import LocalCall
from gradwire.deploy.run.placement import worker_ranges
from gradwire.proto import wire_pb2
from gradwire.server.coordinator import Coordinator
from gradwire.server.log.run_log import RunLog
from gradwire.server.progress import Progress
from gradwire.server.serving import open_log
from gradwire.server.stream.service import ParameterServer
from gradwire.server.summary import add_interfaces, failed_check, summarise
from gradwire.worker.privacy import Limits, budget_from
from gradwire.worker.run_state import RunState
from gradwire.worker.site import Site
from gradwire.worker.stream import Stream


@dataclass(frozen=True)
class Trained:
    """A run that is finished.

    Attributes:
        summary: as ``gradwire run --json`` writes it; TCP and interface bytes are null, for there was no connection.
        params: of the last model, float32 [dim].
    """

    summary: dict[str, Any]
    params: NDArray[np.float32]


def train(
    config: RunConfig,
    *,
    processes: int = 1,
    state_dir: Path | None = None,
    progress: Progress = lambda _: None,
    allow_import: Collection[str] = (),
) -> Trained:
    """Train in this process and thread, without a connection.

    State machine, log, fold and downlink are the server's, encoder and replica the workers', and every message is
    built, framed, counted, checked and parsed as on the wire: digests and message bytes are those of a run over gRPC.

    Args:
        config: of the run.
        processes: into how many worker processes the workers are put: each has a stream, a replica and messages of its
            own, as it would have on the wire.
        state_dir: of the run, which goes on where it stopped; None keeps everything in memory.
        progress: is called with the server's progress events.
        allow_import: tasks of the user's own that may be imported.

    Raises:
        ConfigError: a privacy budget without a folder for its ledger; or the folder holds another run.
        GradwireError: the run failed, or its bytes or replicas are not what they must be.
        RuntimeError: an event loop runs in this thread already.
    """
    check_downlink(config.downlink)
    budget = budget_from(config.max_epsilon or None, config.delta or None, state_dir)
    limits = Limits(budget, config.report_metrics)
    hosts = [
        _Host(f"worker-{i}", tuple(ids), limits, state_dir, allow_import)
        for i, ids in enumerate(worker_ranges(config.workers, processes))
    ]
    with in_place():
        return asyncio.run(_train(config, state_dir, progress, hosts))


class _Host:
    """One worker process of the run."""

    def __init__(
        self,
        name: str,
        workers: tuple[int, ...],
        limits: Limits,
        state_dir: Path | None,
        allow_import: Collection[str],
    ) -> None:
        self._name, self._workers = name, workers
        folder = state_dir / name if state_dir is not None else None
        self._state = RunState(allow_import, folder, limits, Site(name))

    async def take_part(self, service: ParameterServer) -> None:
        """Train until the run is finished."""
        join = wire_pb2.Join(protocol=protocol.PROTOCOL, process=self._name, workers=self._workers)
        call = LocalCall(service.train, f"local:{self._name}")
        try:
            with wire_errors():
                await Stream(call, self._state, join, lambda _: None).run()
        finally:
            call.cancel()
            await call.ended()
            self._state.close()


async def _train(
    config: RunConfig, state_dir: Path | None, progress: Progress, hosts: Sequence[_Host]
) -> Trained:
    log = open_log(state_dir, config) if state_dir else RunLog.in_memory(config, os.urandom(16))
    run = Coordinator(log, progress)
    try:
        await _to_the_end(run, ParameterServer(run, on_stream=lambda _: contextlib.nullcontext()), hosts)
        await run.evaluations.settle()
        await run.save_counters()
        summary = summarise(run)
        add_interfaces(summary, None, None, None)
        failure = failed_check(summary)
        if failure is not None:
            raise failure
        return Trained(summary, run.fold.model.params.copy())
    finally:
        run.close()


async def _to_the_end(run: Coordinator, service: ParameterServer, hosts: Sequence[_Host]) -> None:
    """Let all take part until the run is finished.

    Raises:
        GradwireError: the run has failed, or else the first worker that did.
    """
    parts = [asyncio.create_task(host.take_part(service)) for host in hosts]
    stopped = asyncio.create_task(run.shutdown.requested.wait())
    pending: set[asyncio.Task[Any]] = {stopped, *parts}
    try:
        while pending and run.failure is None:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if run.failure is None:
                for task in done:
                    task.result()
        if run.failure is not None:
            raise run.failure
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
