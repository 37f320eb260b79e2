"""Faults to put into a run: killed processes, damaged replicas, and pushes that are held back."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.training.config import RunConfig
from gradwire.proto import wire_pb2
from gradwire.worker.replica import Replica
from tests.system.harness import TIMEOUT, Run, Script, cancel


async def killed(run: Run, server: "asyncio.Task[Any]") -> None:
    """How the first of two servers ends, unless a test says otherwise."""
    await cancel(server)


def run_with_two_servers(
    config: RunConfig,
    directory: Path,
    *,
    after: int,
    end: Callable[..., Awaitable[None]] = killed,
    **options: Any,
) -> tuple[dict[str, Any], Run]:
    """A run of one process per worker, whose server ends once that round is committed, and is started again.

    ``options`` are further WorkerOptions.

    Returns the summary of the second server, and its run.
    """

    async def main() -> tuple[dict[str, Any], Run]:
        run, again = Run(config, directory), Run(config, directory)
        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
            first = asyncio.create_task(run.serve())
            for i in range(config.workers):
                group.create_task(run.work(f"process-{i}", (i,), **options))
            await run.committed(after)
            await end(run, first)
            second = group.create_task(again.serve(await run.address))
        return second.result(), again

    return asyncio.run(main())


def killed_and_rejoining(*, after: int, **options: Any) -> Script:
    """Workers 0 and 1 in one process, and worker 2 in one that is killed once that round is committed, and rejoins."""

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("steady", (0, 1), **options))
        killed = asyncio.create_task(run.work("killed", (2,), **options))
        await run.committed(after)
        await cancel(killed)
        group.create_task(run.work("killed", (2,), **options))

    return script


def damage_one_replica(monkeypatch: pytest.MonkeyPatch, round_: int) -> None:
    """Let the parameters of the first replica that folds that round differ from then on."""
    fold, is_first = Replica.fold, iter([True])

    def damaged(self: Replica, entry: wire_pb2.Entry) -> int:
        size = fold(self, entry)
        if entry.round == round_ and next(is_first, False):
            self.model.round -= 1
            self.model.replace(self.model.params + np.float32(1))
        return size

    monkeypatch.setattr(Replica, "fold", damaged)


class PushGate:
    """Holds pushes back at the server, from a given round on, until a test releases them."""

    def __init__(self) -> None:
        self._first_held = math.inf
        self._released = asyncio.Event()

    def hold(self, round_: int) -> None:
        """Let no push of that round or a later one in."""
        self._first_held = round_

    def release(self) -> None:
        """Let all pushes in."""
        self._released.set()

    async def let_in(self, round_: int) -> None:
        """Wait until a push of that round may reach the run."""
        if round_ >= self._first_held:
            await self._released.wait()
