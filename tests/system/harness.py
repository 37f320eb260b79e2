"""A whole run inside one process: the real server and worker code over real loopback connections."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.spec import parse_spec
from gradwire.common.system.signals import StopSignals
from gradwire.common.training.config import RunConfig
from gradwire.common.training.local import control_damping, parse_local
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.common.transport.address import parse_address
from gradwire.common.transport.tls import ServerTls
from gradwire.common.weights.start import Start
from gradwire.server.serving import open_log, serve
from gradwire.worker.encoder import Encoder
from gradwire.worker.process import WorkerOptions, WorkerProcess
from gradwire.worker.site import Site
from gradwire.worker.tasks import build_task
from gradwire.worker.tasks.base import layout_of
from gradwire.worker.updates import LocalUpdate, TaskGradient

TIMEOUT = 300.0  # seconds: only a run that hangs takes so long, on a loaded machine too

Watch = Callable[[dict[str, Any]], None]


def simulation(config: RunConfig, allow_import: Collection[str] = ()) -> tuple[Encoder, Model, AnyCodec]:
    """All workers of a run in one encoder, its initial model, and its codec."""
    workers = tuple(range(config.workers))
    task = build_task(
        config.task,
        workers=config.workers,
        seed=config.seed,
        site=Site(workers=workers, seed=config.seed),
        partition=parse_spec(config.partition) if config.partition else None,
        allow_import=allow_import,
    )
    averaged = layout_of(task).averaged
    codec = parse(config.codec, task.dim, averaged=averaged)
    local = parse_local(config.local) if config.local else None
    feedback = config.feedback == "error"
    damping = control_damping(local, codec, feedback=feedback)
    model = Model(
        task.initial(),
        parse_optimizer(config.optimizer),
        averaged=averaged,
        control_rate=local.control_rate if local is not None else None,
        control_damping=damping,
    )
    source = LocalUpdate(task, local, control_damping=damping) if local is not None else TaskGradient(task)
    return Encoder(source, codec, config.seed, workers, feedback=feedback), model, codec


def simulate(config: RunConfig, allow_import: Collection[str] = ()) -> Model:
    """What the run must end with: the same fold, with no server, no wire and no concurrency."""
    encoder, model, codec = simulation(config, allow_import)
    for round_ in range(config.rounds):
        batch = encoder.encode(model, round_)
        examples = batch.examples if config.weighting == "examples" else ()
        model.apply(
            aggregate(codec, config.seed, RoundRecord(round_, encoder.workers, batch.payloads, examples))
        )
    return model


class Run:
    """One server, and worker processes that are tasks of this event loop."""

    def __init__(
        self,
        config: RunConfig,
        directory: Path,
        watch: Watch = lambda event: None,
        *,
        tls: ServerTls | None = None,
        await_workers: bool = False,
        start: Start | None = None,
        own_data: bool = False,
    ) -> None:
        self.own_data = own_data
        self.config = config
        self.tls = tls
        self.await_workers = await_workers
        self.start = start
        self.directory = directory
        self.address = asyncio.get_running_loop().create_future()
        self.events: list[dict[str, Any]] = []
        self.signals = StopSignals()
        self._watch = watch
        self._seen: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def _progress(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._seen[event["event"]].set()
        if event["event"] == "listening":
            self.address.set_result(event["address"])
        elif event["event"] == "round":
            self._seen[f"round {event['round']}"].set()
        elif event["event"] == "joined":
            times = sum(e["event"] == "joined" and e["process"] == event["process"] for e in self.events)
            self._seen[f"joined {event['process']} {times}"].set()
        self._watch(event)

    async def seen(self, kind: str) -> None:
        """Wait for the first event of that kind."""
        await self._seen[kind].wait()

    async def joined(self, process: str, times: int = 1) -> None:
        """Wait until that process has joined so many times."""
        await self.seen(f"joined {process} {times}")

    async def committed(self, round_: int) -> None:
        """Wait until that round is committed."""
        await self.seen(f"round {round_}")

    async def serve(self, listen: str = "127.0.0.1:0", dim: int | None = None) -> dict[str, Any]:
        """Serve to the end; the summary."""
        address = parse_address(listen, any_port=True)
        opened = partial(open_log, self.directory, self.config, self.start)
        return await serve(
            opened,
            address,
            self._progress,
            dim=dim,
            own_data=self.own_data,
            start=self.start,
            await_workers=self.await_workers,
            tls=self.tls,
            signals=self.signals,
        )

    async def work(self, name: str, workers: tuple[int, ...], **options: Any) -> None:
        """One worker process; ``options`` are further WorkerOptions."""
        address, state_dir = parse_address(await self.address), self.directory / name
        given = WorkerOptions(
            address, name, workers=workers, retry_for=TIMEOUT, state_dir=state_dir, **options
        )
        await WorkerProcess(given).run()


Script = Callable[[Run, asyncio.TaskGroup], Awaitable[None]]


def run_script(
    config: RunConfig, directory: Path, script: Script, **options: Any
) -> tuple[dict[str, Any], Run]:
    """Serve a run to its end while a script starts its workers; the summary, and the run with its events."""

    async def main() -> tuple[dict[str, Any], Run]:
        run = Run(config, directory, **options)
        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            await script(run, group)
        return server.result(), run

    return asyncio.run(main())


def run_hosts(
    config: RunConfig, directory: Path, hosts: list[tuple[int, ...]], **options: Any
) -> tuple[dict[str, Any], Run]:
    """A run with one process for each tuple of worker ids: process-0, process-1, …"""

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for i, ids in enumerate(hosts):
            group.create_task(run.work(f"process-{i}", ids))

    return run_script(config, directory, script, **options)


def whole_run(config: RunConfig, directory: Path, hosts: list[tuple[int, ...]]) -> dict[str, Any]:
    """The summary of such a run."""
    return run_hosts(config, directory, hosts)[0]


async def cancel(task: "asyncio.Task[Any]") -> None:
    """In place of kill -9."""
    task.cancel()
    await asyncio.wait([task])
