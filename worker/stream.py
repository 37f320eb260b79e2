"""One stream to the server: join, catch up, push and fold until the run ends or the connection does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import grpc

from gradwire.common.errors import DivergenceError, InvalidArgument, Unavailable
from gradwire.common.transport import limits, protocol
from gradwire.common.transport.framing import frames
from gradwire.common.transport.specs import codec_to_message
from gradwire.proto import wire_pb2
from gradwire.worker.arrivals import Arrival, Arrivals, Call, EndedInOrder, ended
from gradwire.worker.privacy import check_assignment
from gradwire.worker.work import Work


class Stream:
    """One connection's conversation."""

    def __init__(
        self,
        call: Call,
        work: Work,
        name: str,
        count: int,
        workers: tuple[int, ...],
        progress: Callable[[str], None],
    ) -> None:
        self._call = call
        self._work = work
        self._join = wire_pb2.Join(protocol=protocol.PROTOCOL, process=name, count=count, workers=workers)
        self._progress = progress
        self._arrivals = Arrivals(call, work.touch)
        self._sent = wire_pb2.Traffic()
        self._received = wire_pb2.Traffic()
        self._mark: int | None = None  # by which the server knows this stream
        self._told = False  # it knows our counts
        self._earlier_report: wire_pb2.Report | None = (
            None  # that the stream before may not have brought home
        )
        self._open = False  # the server takes pushes from here
        self._due: frozenset[int] | None = None  # workers to leave out of the push that is due; None: none is

    async def run(self) -> None:
        """Take part until the server has no more rounds.

        Raises:
            Unavailable: the connection was lost; the next stream goes on where this one stopped.
            WireError: the server refused something.
        """
        try:
            await self._join_run()
            await self._take_part()
            await self._leave()
        finally:
            if self._mark is not None and not self._told:
                count = wire_pb2.StreamCount(stream=self._mark, sent=self._sent, received=self._received)
                self._work.broken.append(count)
            await self._arrivals.close()

    async def _join_run(self) -> None:
        await self._send(wire_pb2.FromWorker(join=self._join))
        welcome = (await self._arrivals.expect("welcome")).welcome
        check_assignment(self._join, welcome.workers)
        await asyncio.to_thread(self._work.prepare, welcome)
        self._arrivals.set_limit(self._longest())
        self._progress(f"joined as {self._join.process} with workers {_ranges(welcome.workers)}")
        notice = self._work.privacy.notice(self._work.codec)
        if notice is not None:
            self._progress(notice)
        self._mark = welcome.stream
        self._earlier_report = self._work.report if 0 in welcome.workers else None
        await self._ready(earlier=tuple(self._work.broken))

    async def _take_part(self) -> None:
        """Fold all that has come before anything is computed: a push is of use for the newest round alone."""
        while not await self._handle(await self._arrivals.next()):
            if self._due is not None and self._arrivals.is_idle:
                await self._push(self._due)

    async def _leave(self) -> None:
        """Be sure that the server has heard the last word."""
        await self._call.done_writing()
        try:
            while True:
                await self._arrivals.next()
        except EndedInOrder:
            self._told = True

    def _longest(self) -> int:
        """Bytes of the longest message that this run's server sends: an entry or a snapshot."""
        work = self._work
        arrays = 1 + len(work.model.state)
        return max(
            limits.CONTROL_BYTES,
            work.replica.longest_entry,
            limits.snapshot_bytes(work.codec.dim, arrays),
        )

    async def _ready(self, earlier: tuple[wire_pb2.StreamCount, ...] = ()) -> None:
        work = self._work
        assert work.run is not None
        ready = wire_pb2.Ready(
            codec=codec_to_message(work.codec),
            run_id=work.run.run_id,
            round=work.replica.round,
            digest=await asyncio.to_thread(lambda: work.model.digest),
            earlier=earlier,
        )
        await self._send(wire_pb2.FromWorker(ready=ready))

    # ---- messages ------------------------------------------------------------------------------------------

    async def _handle(self, arrival: Arrival) -> bool:
        """Answer one message; True when the run is finished."""
        message, kind = arrival.message, arrival.kind
        if kind == "entry":
            await self._fold(message.entry, arrival.size)
        elif kind == "open":
            self._open, self._due = True, frozenset(message.open.pushed)
            self._work.finished = self._work.said = (
                False  # what was: another run, or an older copy of this one
            )
            self._work.broken.clear()  # it has read our Ready
            self._work.evaluated = max(self._work.evaluated, self._work.replica.round - 1)
            await self._report_again()
        elif kind == "snapshot":
            await self._restore(message.snapshot)
        elif kind == "upload":
            state = self._work.model.snapshot()[: 4 * self._work.codec.dim]
            await self._send(wire_pb2.FromWorker(initial=wire_pb2.Snapshot(state=state)))
        elif kind == "late":
            returned = self._work.encoder.take_back(message.late.round)
            if (
                self._open or returned
            ):  # before that it is word of the last rounds, of which most were never pushed
                self._progress(f"round {message.late.round} was committed without this process")
        elif kind == "finish":
            await self._finish(message.finish.rounds)
            return True
        else:
            raise InvalidArgument(f"{kind} came in the middle of the run: the peer speaks another protocol")
        return False

    async def _fold(self, entry: wire_pb2.Entry, size: int) -> None:
        payload_bytes = await asyncio.to_thread(self._work.replica.fold, entry)
        _count(self._received, payload_bytes, size)
        assert self._work.run is not None
        if self._open and self._work.replica.round < self._work.run.rounds:
            self._due = frozenset()

    async def _restore(self, snapshot: wire_pb2.Snapshot) -> None:
        self._progress(f"taking the server's model after round {snapshot.round}")
        await asyncio.to_thread(self._work.replica.restore, snapshot)
        self._work.encoder.forget()
        self._due = None
        if self._open:  # in the middle of the run: the server counts no push until it knows where we stand
            self._open = False
            await self._ready()

    async def _push(self, pushed: frozenset[int]) -> None:
        work = self._work
        assert work.run is not None
        self._due, round_ = None, work.replica.round
        if not pushed.issuperset(work.encoder.workers):
            message = await asyncio.to_thread(self._push_message)
            newest = self._arrivals.newest_round()
            if newest is not None:  # the round was committed meanwhile, or the server sends its model first
                if newest > round_:
                    work.encoder.take_back(round_)
                return
            await self._send(message)
        every = work.run.evaluate_every
        if 0 in work.encoder.workers and every and round_ // every > work.evaluated // every:
            await self._report()

    def _push_message(self) -> wire_pb2.FromWorker:
        work = self._work
        assert work.run is not None
        round_ = work.replica.round
        batch = work.encoder.batch(work.model.params, round_)
        return protocol.push_message(
            work.codec,
            round_,
            batch.payloads,
            losses=batch.losses if work.reports else (),
            examples=batch.examples if work.run.weigh_by_examples else (),
            digest=work.model.digest if round_ % work.run.digest_every == 0 else 0,
        )

    async def _report(self) -> None:
        work = self._work
        if not work.reports:
            return
        values = await asyncio.to_thread(work.task.evaluate, work.model.reported)
        if values:
            metrics = [wire_pb2.Metric(name=name, value=value) for name, value in values.items()]
            work.report = wire_pb2.Report(round=work.replica.round, metrics=metrics)
            self._earlier_report = None
            await self._send(wire_pb2.FromWorker(report=work.report))
        work.evaluated = work.replica.round

    async def _report_again(self) -> None:
        """Say again, once a stream, what the stream before may have lost on its way: the server takes it once."""
        report, self._earlier_report = self._earlier_report, None
        if report is not None:
            await self._send(wire_pb2.FromWorker(report=report))

    async def _finish(self, rounds: int) -> None:
        work = self._work
        if work.replica.round != rounds:
            raise DivergenceError(f"the run has {rounds} rounds, this replica folded {work.replica.round}")
        await self._report_again()
        if 0 in work.encoder.workers:
            await self._report()
        if not await asyncio.to_thread(work.model.verify):
            raise DivergenceError("the digest kept in step is not that of the parameters: memory is damaged")
        work.finished = True
        done = wire_pb2.Done(digest=work.model.digest, sent=self._sent, received=self._received)
        await self._send(wire_pb2.FromWorker(done=done))
        work.said = True
        self._progress(f"{rounds} rounds are done: leaving once every worker has said so")

    # ---- the wire ------------------------------------------------------------------------------------------

    async def _send(self, message: wire_pb2.FromWorker) -> None:
        """Write one message; a push counts as sent from its first byte on."""
        pieces = tuple(frames(message))
        if message.HasField("push"):
            _count(self._sent, len(message.push.payloads), sum(map(len, pieces)))
        try:
            for piece in pieces:
                await self._call.write(piece)
        except asyncio.InvalidStateError:  # grpc's word for a stream that the server has ended
            raise await ended(self._call) from None
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INTERNAL:
                raise
            # A write into a connection that just broke is grpc's "internal error", whatever the server's last word was:
            # if that was a refusal, the next attempt hears it again.
            raise Unavailable("the connection broke while a message was written") from error


def _count(traffic: wire_pb2.Traffic, payload_bytes: int, message_bytes: int) -> None:
    traffic.messages += 1
    traffic.payload_bytes += payload_bytes
    traffic.message_bytes += message_bytes


def _ranges(workers: Collection[int]) -> str:
    ids = sorted(workers)
    together = len(ids) > 1 and ids[-1] - ids[0] == len(ids) - 1
    return f"{ids[0]}-{ids[-1]}" if together else ", ".join(map(str, ids))
