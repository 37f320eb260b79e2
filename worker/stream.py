"""One stream to the server: join, catch up, push and fold until the run ends or the connection does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

import grpc

from gradwire.common.errors import DivergenceError, GradwireError, InvalidArgument, LayoutError, WireError
from gradwire.common.transport import limits
from gradwire.common.transport.layouts import layout_from_message
from gradwire.common.transport.threads import in_thread
from gradwire.proto import wire_pb2
from gradwire.worker import messages
from gradwire.worker.inbox import Call, Inbox, Received, StreamClosed
from gradwire.worker.outbox import Outbox, add_traffic
from gradwire.worker.privacy import check_assignment
from gradwire.worker.run_state import RunState
from gradwire.worker.updates.handed_over import LoopLeft

GOODBYE_SECONDS = 3.0  # for Leave to reach the server and be acknowledged


class Stream:
    """The conversation of one connection."""

    def __init__(
        self, call: Call, state: RunState, join: wire_pb2.Join, progress: Callable[[str], None]
    ) -> None:
        """Start to receive.

        Args:
            call: the open call.
            state: what this process keeps of the run between streams.
            join: the first message, which names the process and the workers that it asks for.
            progress: called with lines for the user.
        """
        self._state = state
        self._join = join
        self._progress = progress
        self._inbox = Inbox(call, state.note_contact)
        self._outbox = Outbox(call, state.sent)
        self._received = wire_pb2.Traffic()
        self._stream_id: int | None = None  # by which Welcome names this stream
        self._acknowledged = False  # the server has received Done, and with it our counts
        self._unacknowledged_report: wire_pb2.Report | None = None  # of the stream before
        self._open = False  # the server takes pushes from here
        # Workers of whom a push is due, maybe none of this process; None once the round is done with.
        self._due: frozenset[int] | None = None
        self._pushed: tuple[int, frozenset[int]] = (
            -1,
            frozenset(),
        )  # the last round here, and its workers so far

    async def run(self) -> None:
        """Take part until the server has no more rounds.

        Raises:
            Unavailable: the connection was lost; the next stream continues where this one stopped.
            WireError: the server refused something.
        """
        try:
            await self._join_run()
            await self._take_part()
            await self._half_close()
        except LoopLeft as left:
            if not self._state.finished:
                await self._say_goodbye(str(left))
            raise
        except GradwireError as error:
            if self._state.own_loop and not isinstance(error, WireError):
                await self._say_goodbye(f"its part ended with {type(error).__name__}: {error}")
            raise
        finally:
            if self._stream_id is not None and not self._acknowledged:
                self._state.broken.append(
                    wire_pb2.StreamCount(
                        stream=self._stream_id, sent=self._outbox.sent, received=self._received
                    )
                )
            await self._inbox.close()

    def leave(self, reason: str) -> None:
        """End this stream before the run is finished, and tell the server why, at the next message or wait."""
        self._inbox.interrupt(LoopLeft(reason))

    async def _join_run(self) -> None:
        state = self._state
        await self._send(wire_pb2.FromWorker(join=self._join))
        welcome = (await self._inbox.expect("welcome")).welcome
        check_assignment(self._join, welcome.workers)
        await in_thread(state.prepare, welcome)
        self._inbox.set_limit(messages.longest(state))
        self._progress(f"joined as {self._join.process} with {_workers(welcome.workers)}")
        notice = state.privacy.notice(state.codec)
        if notice is not None:
            self._progress(notice)
        self._stream_id = welcome.stream
        self._unacknowledged_report, state.reports.named = state.reports.last, False
        await self._ready(earlier=tuple(state.broken))

    async def _take_part(self) -> None:
        """Fold everything received before a gradient is computed: only a push for the newest round counts."""
        while not await self._handle(await self._inbox.next()):
            while self._due is not None and self._inbox.is_empty:
                encoder, due = self._state.encoder, self._due
                ready = encoder.holds(self._state.replica.round, due)
                if ready or await self._inbox.comes_after(encoder.ready(self._state.model)):
                    await self._push(due)
            await self._report_if_due()

    async def _say_goodbye(self, reason: str) -> None:
        """Tell the server that this process leaves before the end, if it can be told."""
        with contextlib.suppress(WireError, grpc.aio.AioRpcError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._send(wire_pb2.FromWorker(leave=wire_pb2.Leave(reason=limits.reason(reason))))
                await self._outbox.half_close()
                await self._inbox.ended()

    async def _half_close(self) -> None:
        """Half-close, then wait for OK: the server has received Done."""
        await self._outbox.half_close()
        try:
            while True:
                await self._inbox.next()
        except StreamClosed:
            self._acknowledged = True

    async def _ready(self, earlier: tuple[wire_pb2.StreamCount, ...] = ()) -> None:
        self._pushed = (-1, frozenset())  # a server that asks for Ready has not kept them
        await self._send(await in_thread(messages.ready, self._state, earlier))

    async def _send(self, message: wire_pb2.FromWorker) -> None:
        await self._outbox.send(message)

    # ---- messages from the server --------------------------------------------------------------------------

    async def _handle(self, received: Received) -> bool:
        """Act on one message; True when the run is finished."""
        message, kind = received.message, received.kind
        if kind == "entry":
            await self._fold(message.entry, received.size)
        elif kind == "open":
            await self._open_round(message.open)
        elif kind == "snapshot":
            await self._restore(message.snapshot)
        elif kind == "upload":
            await self._send(await in_thread(messages.initial, self._state))
        elif kind == "layout":
            difference = self._state.layout.difference(layout_from_message(message.layout))
            if difference is None:
                raise InvalidArgument(
                    "layout came, and it is this worker's: the peer speaks another protocol"
                )
            raise LayoutError(f"this site's model is not the run's: {difference}")
        elif kind == "evaluate":
            self._state.reports.named = True
        elif kind == "late":
            await self._late(message.late)
        elif kind == "finish":
            await self._finish(message.finish.rounds)
            return True
        else:
            raise InvalidArgument(f"{kind} came in the middle of the run: the peer speaks another protocol")
        return False

    async def _fold(self, entry: wire_pb2.Entry, size: int) -> None:
        state = self._state
        payload_bytes = await in_thread(state.replica.fold, entry)
        for counts in (self._received, state.received):
            add_traffic(counts, payload_bytes, size)
        assert state.run is not None
        if self._open and state.replica.round < state.run.rounds:
            hosted = frozenset(state.encoder.workers)
            self._due = hosted.intersection(entry.cohort) if state.run.cohort else hosted

    async def _open_round(self, message: wire_pb2.Open) -> None:
        round_, sent = self._pushed
        waived = sent.union(message.pushed) if round_ == self._state.replica.round else message.pushed
        self._open, self._due = True, frozenset(self._state.encoder.workers).difference(waived)
        self._state.started = False
        # This process may have finished another run, or an earlier copy of this one.
        self._state.finished = self._state.done_sent = False
        self._state.broken.clear()  # the server has read them in Ready
        await self._repeat_report()

    async def _restore(self, snapshot: wire_pb2.Snapshot) -> None:
        self._progress(f"taking the server's model after round {snapshot.round}")
        await in_thread(self._state.replica.restore, snapshot)
        self._state.encoder.discard_last()
        self._state.reports.restored(snapshot.round)
        self._due = None
        if self._open:  # a resync: the server counts no push until it has the replica's round from Ready
            self._open = False
            await self._ready()

    async def _late(self, late: wire_pb2.Late) -> None:
        workers = tuple(late.workers) or self._state.encoder.workers
        added_back = await self._add_back(late.round, workers)
        # A worker that remembers nothing learns of it when its push has come too late.
        if added_back or not self._state.encoder.remembers:
            self._progress(f"round {late.round} was committed without {_named(late.workers)}")

    async def _finish(self, rounds: int) -> None:
        state = self._state
        if state.replica.round != rounds:
            raise DivergenceError(f"the run has {rounds} rounds, this replica folded {state.replica.round}")
        await self._repeat_report()
        await self._report()
        if not await in_thread(state.model.verify):
            raise DivergenceError("the incremental digest differs from the parameters': memory is damaged")
        state.finished = True
        done = wire_pb2.Done(digest=state.model.digest, sent=self._outbox.sent, received=self._received)
        await self._send(wire_pb2.FromWorker(done=done))
        state.done_sent = True
        if state.encoder.records is not None and state.encoder.records.bytes_written:
            each = state.encoder.records.bytes_per_round
            self._progress(f"wrote {each:,.0f} bytes of records per round")
        self._progress(f"all {rounds} rounds are done; waiting until every worker has reported its replica")

    # ---- pushes and reports --------------------------------------------------------------------------------

    async def _push(self, due: frozenset[int]) -> None:
        state = self._state
        self._due, round_ = None, state.replica.round
        if due:
            message = await in_thread(messages.push, state, due)
            newest = self._inbox.newest_round()
            if newest is not None:  # the round was committed meanwhile, or the server sends its model first
                if newest > round_:
                    await self._add_back(round_, due)
                return
            earlier, sent = self._pushed
            self._pushed = (round_, due | sent if earlier == round_ else due)
            await self._send(message)

    async def _add_back(self, round_: int, workers: Collection[int]) -> bool:
        """Undo a round that was not counted of these workers; it waits for the disk."""
        return await in_thread(self._state.encoder.add_back, round_, workers)

    async def _report_if_due(self) -> None:
        """Evaluate after the push, for which others wait; before it only where the round is committed by now."""
        state = self._state
        assert state.run is not None
        round_ = state.replica.round
        if not self._open or round_ == state.run.rounds or not state.reports.is_due(round_):
            return
        if not state.can_evaluate:  # the next entries do not wait for the user's loop
            return
        newest = self._inbox.newest_round()
        if (self._due is None or newest is not None) and state.reports.is_due(round_, newest):
            await self._report()

    async def _report(self) -> None:
        state = self._state
        if not state.reports_metrics:
            return
        report = await in_thread(state.reports.evaluate, state.model)
        if report is not None:
            self._unacknowledged_report = None
            await self._send(wire_pb2.FromWorker(report=report))

    async def _repeat_report(self) -> None:
        """Send the last report of the stream before once more: it may have been lost. The server takes it once."""
        report = self._unacknowledged_report
        if report is not None and self._state.reports_metrics and report.round <= self._state.replica.round:
            self._unacknowledged_report = None
            await self._send(wire_pb2.FromWorker(report=report))


def _named(workers: Collection[int]) -> str:
    """Some workers of this process, or the process where none are named."""
    return _workers(workers) if workers else "this process"


def _workers(workers: Collection[int]) -> str:
    return f"worker{'s' if len(workers) > 1 else ''} {_ranges(workers)}"


def _ranges(workers: Collection[int]) -> str:
    ids = sorted(workers)
    together = len(ids) > 1 and ids[-1] - ids[0] == len(ids) - 1
    return f"{ids[0]}-{ids[-1]}" if together else ", ".join(map(str, ids))
