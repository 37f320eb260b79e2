"""A worker that sends whatever a test gives it, message by message."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc

from gradwire.common.codecs import parse
from gradwire.common.training.config import RunConfig
from gradwire.common.training.digest import digest_of
from gradwire.common.transport import protocol
from gradwire.common.transport.framing import Reassembler, frames
from gradwire.common.transport.specs import codec_to_message
from gradwire.common.transport.tls import WorkerTls
from gradwire.proto import wire_pb2
from gradwire.worker.tasks import build_task
from tests.system.harness import TIMEOUT, Run, cancel


class RawWorker:
    """A worker that sends whatever a test gives it."""

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
        self,
        config: RunConfig,
        name: str,
        workers: tuple[int, ...],
        initial: Any = None,
        last: Mapping[int, int] = MappingProxyType({}),
        **ready: Any,
    ) -> str | None:
        """Join and say ready, with another initial model than the task's if one is given; the answer's kind.

        ``last`` are the last pushes by worker, ``ready`` further fields of Ready.
        """
        task = build_task(config.task, workers=config.workers, seed=config.seed)
        codec = parse(config.codec, task.dim)
        self.params = task.initial() if initial is None else initial
        await self.send(join=wire_pb2.Join(protocol=protocol.PROTOCOL, process=name, workers=workers))
        await self.receive()
        digest = digest_of(self.params)
        pushes = [wire_pb2.LastPush(worker=worker, round=round_) for worker, round_ in last.items()]
        await self.send(
            ready=wire_pb2.Ready(codec=codec_to_message(codec), digest=digest, last=pushes, **ready)
        )
        return (await self.receive()).WhichOneof("message")

    async def join(self, config: RunConfig, name: str, workers: tuple[int, ...], **ready: Any) -> None:
        """Join as a good worker would, up to the open round."""
        answer = await self.greet(config, name, workers, **ready)
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


def refused_by(
    config: RunConfig,
    directory: Path,
    act: Callable[[RawWorker], Awaitable[None]],
    *,
    dim: int | None = None,
) -> tuple[grpc.StatusCode, str]:
    """The status with which a new server ends the stream of a worker that does this."""

    async def main() -> tuple[grpc.StatusCode, str]:
        run = Run(config, directory)
        async with asyncio.timeout(TIMEOUT):
            server = asyncio.create_task(run.serve(dim=dim))
            worker = RawWorker(await run.address)
            await act(worker)
            refused = await worker.refused()
            await worker.close()
            await cancel(server)
        return refused

    return asyncio.run(main())
