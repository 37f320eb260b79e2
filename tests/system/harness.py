"""A whole run inside one process: the real server and worker code over real loopback connections."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from gradwire.common.codecs import parse
from gradwire.common.system.signals import StopSignals
from gradwire.common.training.config import RunConfig
from gradwire.common.training.digest import digest_of
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.common.transport import protocol
from gradwire.common.transport.address import parse_address
from gradwire.common.transport.framing import Reassembler, frames
from gradwire.common.transport.specs import codec_to_message
from gradwire.common.transport.tls import ServerTls, WorkerTls
from gradwire.proto import wire_pb2
from gradwire.server.serving import open_log, serve
from gradwire.worker.encoder import Encoder
from gradwire.worker.feedback_store import FeedbackStore
from gradwire.worker.process import WorkerOptions, WorkerProcess
from gradwire.worker.tasks import build_task

TIMEOUT = 60.0  # seconds: a run that hangs fails instead of holding the suite

Watch = Callable[[dict[str, Any]], None]


def simulate(config: RunConfig) -> Model:
    """What the run must end with: the same fold, with no server, no wire and no concurrency."""
    task = build_task(config.task, workers=config.workers, seed=config.seed)
    codec = parse(config.codec, task.dim)
    model = Model(task.initial(), parse_optimizer(config.optimizer))
    workers = tuple(range(config.workers))
    memories = FeedbackStore(codec, b"", workers, None) if config.feedback == "error" else None
    encoder = Encoder(task, codec, config.seed, workers, memories)
    for round_ in range(config.rounds):
        batch = encoder.encode(model.params, round_)
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
        tls: ServerTls | None = None,
    ) -> None:
        self.config = config
        self.tls = tls
        self.directory = directory
        self.address = asyncio.get_running_loop().create_future()
        self.events: list[dict[str, Any]] = []
        self.signals = StopSignals()
        self.await_workers = False
        self._watch = watch
        self._came: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def _progress(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._came[event["event"]].set()
        if event["event"] == "listening":
            self.address.set_result(event["address"])
        self._watch(event)

    async def seen(self, kind: str) -> None:
        """Wait for the first event of that kind."""
        await self._came[kind].wait()

    async def serve(self, listen: str = "127.0.0.1:0", dim: int | None = None) -> dict[str, Any]:
        """Serve to the end; the summary."""
        address = parse_address(listen, any_port=True)
        opened = partial(open_log, self.directory, self.config)
        return await serve(
            opened,
            address,
            self._progress,
            dim=dim,
            await_workers=self.await_workers,
            tls=self.tls,
            signals=self.signals,
        )

    async def work(self, name: str, workers: tuple[int, ...], tls: WorkerTls | None = None) -> None:
        """One worker process's part."""
        options = WorkerOptions(
            parse_address(await self.address),
            name,
            workers=workers,
            retry_for=10.0,
            state_dir=self.directory / name,
            tls=tls,
        )
        await WorkerProcess(options).run()


def whole_run(config: RunConfig, directory: Path, hosts: list[tuple[int, ...]]) -> dict[str, Any]:
    """A run with one process for each tuple of worker ids; the server's summary."""

    async def main() -> dict[str, Any]:
        run = Run(config, directory)
        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
            server = group.create_task(run.serve())
            for i, ids in enumerate(hosts):
                group.create_task(run.work(f"process-{i}", ids))
        return server.result()

    return asyncio.run(main())


class RawWorker:
    """A worker that sends whatever a test tells it to."""

    def __init__(self, target: str, tls: WorkerTls | None = None) -> None:
        if tls is None:
            self._channel = grpc.aio.insecure_channel(target)
        else:
            self._channel = grpc.aio.secure_channel(target, tls.credentials())
        self.call = self._channel.stream_stream(protocol.METHOD)()
        self._inbox = Reassembler(wire_pb2.FromServer, 1 << 30)

    async def send(self, **message: Any) -> None:
        for frame in frames(wire_pb2.FromWorker(**message)):
            await self.call.write(frame)

    async def send_raw(self, raw: bytes) -> None:
        await self.call.write(raw)

    async def receive(self) -> wire_pb2.FromServer:
        while True:
            raw = await self.call.read()
            if raw is grpc.aio.EOF:
                raise grpc.aio.AioRpcError(
                    await self.call.code(),
                    grpc.aio.Metadata(),
                    grpc.aio.Metadata(),
                    await self.call.details(),
                )
            message = self._inbox.add(raw)
            if message is not None:
                return message

    async def greet(
        self, config: RunConfig, name: str, workers: tuple[int, ...], initial: Any = None
    ) -> str | None:
        """Join and say ready, with another initial model than the task's if one is given; the answer's kind."""
        task = build_task(config.task, workers=config.workers, seed=config.seed)
        codec = parse(config.codec, task.dim)
        self.params = task.initial() if initial is None else initial
        await self.send(join=wire_pb2.Join(protocol=protocol.PROTOCOL, process=name, workers=workers))
        await self.receive()
        digest = digest_of(self.params)
        await self.send(ready=wire_pb2.Ready(codec=codec_to_message(codec), digest=digest))
        return (await self.receive()).WhichOneof("message")

    async def join(self, config: RunConfig, name: str, workers: tuple[int, ...]) -> None:
        """Join as a good worker would, up to the open round."""
        answer = await self.greet(config, name, workers)
        while answer != "open":
            if answer == "upload":
                await self.send(initial=wire_pb2.Snapshot(state=self.params.tobytes()))
            answer = (await self.receive()).WhichOneof("message")

    async def refused(self) -> tuple[grpc.StatusCode, str]:
        """The status that ends the stream."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await self.call.read() is not grpc.aio.EOF:
                pass
        return await self.call.code(), await self.call.details()

    async def close(self) -> None:
        self.call.cancel()
        await self._channel.close()
