"""One worker process's stream: joining, pushes in, entries out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Callable, Sequence

import grpc
import numpy as np

from gradwire.common.arrays.compat import all_finite
from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs.symbols import memory_bytes
from gradwire.common.downlinks import announced
from gradwire.common.errors import (
    FailedPrecondition,
    InvalidArgument,
    LogError,
    PayloadError,
    SpecError,
    Unavailable,
)
from gradwire.common.system.memory import largest_dim
from gradwire.common.training.digest import digest_of
from gradwire.common.transport import payloads as joined
from gradwire.common.transport import protocol
from gradwire.common.transport.specs import run_to_message, spec_from_message, spec_to_message
from gradwire.proto import wire_pb2
from gradwire.server.assignment import assign
from gradwire.server.coordinator import Coordinator
from gradwire.server.identity import check_process, name_in_certificate
from gradwire.server.inbox import GREETING_BYTES, Inbox
from gradwire.server.outgoing import Outgoing, OutgoingEntry
from gradwire.server.rounds.events import Contribution, Pushed
from gradwire.server.session import Session
from gradwire.server.stream_check import StreamCheck

FLUSH_SECONDS = 1.0  # for a stream that ends early to take what is queued
UPLOAD_PATIENCE = 60.0  # seconds without a byte of the initial model, for which all others wait
UPLOAD_RATE = 16 << 10  # bytes a second that it has to come with, or another worker is asked
UNPACKED_BYTES = 1 << 29  # of an open round; payloads that unpack to more are unpacked again when it commits
MAX_METRICS = 64  # in a report, and characters of a name


class ParameterServer:
    """The gRPC service: thin, everything that matters happens in the coordinator."""

    def __init__(
        self, coordinator: Coordinator, on_stream: Callable[[], None], dim: int | None = None
    ) -> None:
        self._run = coordinator
        self._on_stream = on_stream
        self._dim = dim
        self._numbers = itertools.count(1)
        self._initial = asyncio.Lock()
        self._streams: dict[str, Session] = {}
        self._streams_seen = StreamCheck(coordinator.tally)

    async def train(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        """Serve one process until its stream ends."""
        self._on_stream()
        try:
            await self._serve(Inbox(requests), context)
        except LogError as error:  # what it says is the business of whoever runs the server
            self._run.fail(error)
            raise Unavailable("the server cannot write its log and stops: it goes on once it can") from error

    async def _serve(self, inbox: Inbox, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        session = await self._greet(inbox, name_in_certificate(context))
        writer = asyncio.create_task(self._write(session, context))
        try:
            await self._bring_in(session, inbox)
            while (message := await inbox.next()) is not None:
                await self._dispatch(session, inbox, message)
            if session.done:  # all leave together: who runs containers stops them all once one has left
                await self._run.ending.over.wait()
        except asyncio.CancelledError:
            if session.cut_because is None:  # by grpc: the worker is gone
                raise
            raise Unavailable(session.cut_because) from None
        finally:
            await self._part(session, writer)

    async def _part(self, session: Session, writer: asyncio.Task[None]) -> None:
        """The stream ends: the run goes on without it; what is queued still goes out, if the peer takes it."""
        session.is_leaving = True
        if self._streams.get(session.process) is session:
            del self._streams[session.process]
        try:
            await self._run.leave(session)
            session.outbox.put_nowait(None)
            # grpc cannot end a stream with a status while a write is under way.
            await asyncio.wait([writer], timeout=None if session.done else FLUSH_SECONDS)
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    def cut_all(self, reason: str) -> None:
        """End every stream; the workers are told why, and that they may come again."""
        for session in self._streams.values():
            session.cut(reason)

    # ---- joining -------------------------------------------------------------------------------------------

    async def _greet(self, inbox: Inbox, certified: str | None) -> Session:
        join = (await inbox.expect("join")).join
        if join.protocol != protocol.PROTOCOL:
            raise FailedPrecondition(
                f"the worker speaks protocol {join.protocol}, this server {protocol.PROTOCOL}: install one version"
            )
        if not 1 <= len(join.process) <= 128 or not join.process.isprintable():
            raise InvalidArgument("a process name has 1 to 128 printable characters")
        check_process(join.process, certified)
        await self._drop_earlier_stream(join.process)
        known = self._run.log.assignments()
        workers = assign(
            join.process,
            join.count,
            tuple(join.workers),
            workers=self._run.config.workers,
            known=known,
            connected=self._streams.keys(),
            certified=certified is not None,
        )
        if join.process in known:
            self._run.tally.reconnects += 1
        if known.get(join.process) != workers:
            self._run.log.assign(join.process, workers)
        task = asyncio.current_task()
        assert task is not None
        session = self._streams[join.process] = Session(next(self._numbers), join.process, workers, task)
        return session

    async def _drop_earlier_stream(self, process: str) -> None:
        """A process that comes back before its old stream was seen to die replaces it."""
        while (earlier := self._streams.pop(process, None)) is not None:  # while we wait, another may come
            earlier.cut("the process has come back on another stream")
            await earlier.left.wait()  # not for its end: a write that nobody reads may hold that up for long

    async def _bring_in(self, session: Session, inbox: Inbox) -> None:
        run = run_to_message(self._run.config, self._run.log.run_id)
        downlink = announced(self._run.config.downlink)
        if downlink is not None:
            run.downlink.CopyFrom(spec_to_message(downlink))
        welcome = wire_pb2.Welcome(run=run, workers=session.workers, stream=session.mark)
        session.send(wire_pb2.FromServer(welcome=welcome))
        ready = (await inbox.expect("ready")).ready
        self._check_dim(ready.codec.dim)
        codec = self._check_codec(ready.codec)
        async with self._initial:
            if not self._run.fold.has_model:
                await self._take_initial(session, inbox, codec, ready.digest)
        known = self._run.fold.codec
        if known.fingerprint != codec.fingerprint:
            raise FailedPrecondition(
                f"the worker's task has {codec.dim} parameters, the run has {known.dim}: give it the run's data"
            )
        inbox.assembly.limit = max(GREETING_BYTES, protocol.longest_push(codec, len(session.workers)))
        for count in ready.earlier:
            self._streams_seen.check(count.stream, count.sent, count.received)
        self._streams_seen.opened(session)
        await self._run.admit(session, ready)

    def _check_codec(self, message: wire_pb2.CodecSpec) -> AnyCodec:
        """The run's codec at the worker's dimension. What the worker sent is compared with it and never built."""
        try:
            codec = self._run.fold.codec_at(message.dim)
            theirs = str(spec_from_message(message.spec))
        except SpecError as error:
            raise FailedPrecondition(str(error)) from error
        if theirs != codec.spec:
            raise FailedPrecondition(f"the worker encodes with {theirs}, the run with {codec.spec}")
        if message.fingerprint != codec.fingerprint:
            raise FailedPrecondition(
                f"{codec.spec} has another fingerprint at the worker: both ends need the same gradwire version"
            )
        return codec

    def _check_dim(self, dim: int) -> None:
        """The first worker's word makes the model: what the task cannot have, or memory cannot hold, is refused."""
        if self._dim is not None and dim != self._dim and not self._run.fold.has_model:
            raise FailedPrecondition(
                f"the worker's task has {dim} parameters, the run's has {self._dim}: give it the run's data"
            )
        most = largest_dim()
        if dim > most:
            raise FailedPrecondition(
                f"a model of {dim} parameters, this server's memory holds {most}: choose a smaller task"
            )

    async def _take_initial(self, session: Session, inbox: Inbox, codec: AnyCodec, digest: int) -> None:
        session.send(wire_pb2.FromServer(upload=wire_pb2.Upload()))
        inbox.assembly.limit = 4 * codec.dim + 64
        try:
            async with asyncio.timeout(UPLOAD_PATIENCE + 4 * codec.dim / UPLOAD_RATE):
                initial = (await inbox.expect("initial", UPLOAD_PATIENCE)).initial
        except TimeoutError as error:
            raise Unavailable(
                "the initial model came at a trickle while others wait: another worker is asked"
            ) from error
        if len(initial.state) != 4 * codec.dim:
            raise InvalidArgument(f"an initial model of {len(initial.state)} bytes, expected {4 * codec.dim}")
        if digest_of(np.frombuffer(initial.state, "<f4")) != digest:
            raise InvalidArgument("the initial model's digest is not the one announced: it was damaged")
        if not all_finite(np.frombuffer(initial.state, "<f4")):
            raise InvalidArgument("the initial model holds numbers that are not finite: correct the task")
        await self._run.begin(initial.state, codec)

    # ---- the rounds ----------------------------------------------------------------------------------------

    async def _dispatch(self, session: Session, inbox: Inbox, message: wire_pb2.FromWorker) -> None:
        kind = message.WhichOneof("message")
        if kind == "push":
            await self._push(session, message.push, inbox.assembly.received)
        elif kind == "ready" and session.astray is not None:
            await self._run.back_in_step(session)
        elif kind == "report":
            await self._report(session, message.report)
        elif kind == "done" and self._run.finished:
            await self._done(session, message.done)
        else:
            raise InvalidArgument(f"{kind} came in the middle of the run: the peer speaks another protocol")

    async def _push(self, session: Session, push: wire_pb2.Push, received: int) -> None:
        codec, model = self._run.fold.codec, self._run.fold.model
        payloads = joined.split(codec, push.payloads, push.lengths, len(session.workers))
        examples = self._check_push(session, push)
        unpacked = self._unpacked(codec, payloads)
        session.count_push(self._run.tally.uplink, codec, push, received)
        if session.astray is not None:
            session.astray.add(push.round)
            return
        if push.digest and push.round == model.round and push.digest != model.digest:
            await self._run.resync(session, push.round)
            return
        if push.losses and push.round == self._run.state.round:
            self._run.note_losses(dict(zip(session.workers, push.losses, strict=True)))
        contributions = tuple(map(Contribution, session.workers, payloads, examples, unpacked))
        await self._run.handle(Pushed(session.number, push.round, contributions))

    def _unpacked(self, codec: AnyCodec, payloads: Sequence[bytes]) -> list[object]:
        """The payloads, validated and unpacked; None in place of those that are too large to be kept until the commit.

        Raises:
            InvalidArgument: no encoder of the codec makes one of them.
        """
        most = UNPACKED_BYTES // self._run.config.workers
        try:
            symbols = codec.unpack_all(payloads)
            return [each if memory_bytes(each) <= most else None for each in symbols]
        except PayloadError as error:
            raise InvalidArgument(str(error)) from error

    def _check_push(self, session: Session, push: wire_pb2.Push) -> tuple[int, ...]:
        count = len(session.workers)
        if len(push.losses) not in (0, count):
            raise InvalidArgument(f"{len(push.losses)} losses for {count} workers, expected one each or none")
        if not all(map(math.isfinite, push.losses)):
            raise InvalidArgument("a loss is infinite or not a number, expected finite ones or none")
        if self._run.config.weighting != "examples":
            if push.examples:
                raise InvalidArgument("example counts in a run that weighs workers equally, expected none")
            return (1,) * count
        if len(push.examples) != count or min(push.examples) < 1:
            raise InvalidArgument(f"this run weighs by examples: expected {count} positive counts")
        return tuple(push.examples)

    async def _report(self, session: Session, report: wire_pb2.Report) -> None:
        names = [m.name for m in report.metrics]
        if 0 not in session.workers or report.round > self._run.config.rounds:
            raise InvalidArgument("metrics come from the process with worker 0, for a round of the run")
        if len(names) > MAX_METRICS or not all(n.isprintable() and len(n) <= MAX_METRICS for n in names):
            raise InvalidArgument(f"at most {MAX_METRICS} metrics with short printable names are taken")
        await self._run.note_metrics(report.round, {m.name: m.value for m in report.metrics})

    async def _done(self, session: Session, done: wire_pb2.Done) -> None:
        session.done = True
        self._streams_seen.check(session.mark, done.sent, done.received)
        await self._run.done(session, done.digest)

    async def _write(self, session: Session, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        """Send what is queued until None, or until the connection is gone: the reader hears of that too."""
        with contextlib.suppress(grpc.aio.BaseError, grpc.aio.UsageError, asyncio.InvalidStateError):
            while (outgoing := await session.outbox.get()) is not None:
                if isinstance(outgoing, OutgoingEntry):
                    session.count_begun(outgoing)
                for frame in outgoing.frames:
                    await context.write(frame)
                session.waiting_bytes -= outgoing.size
                self._count_sent(session, outgoing)

    def _count_sent(self, session: Session, outgoing: Outgoing) -> None:
        if isinstance(outgoing, OutgoingEntry):
            session.count_entry(self._run.tally.downlink, outgoing)
