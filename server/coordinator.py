"""The run: state machine, model and log, driven by one event at a time.

Everything that changes the run goes through ``handle`` under one lock, so a commit is in the log, folded and
announced before the next event is looked at. No socket is touched here: sessions are outboxes that messages
are put into.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import WireError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.record import RoundRecord
from gradwire.proto import wire_pb2
from gradwire.server.ending import Ending
from gradwire.server.fold import Fold
from gradwire.server.log.notes import TALLY
from gradwire.server.log.run_log import RunLog
from gradwire.server.outgoing import OutgoingEntry, snapshot_message
from gradwire.server.progress import Progress
from gradwire.server.rounds import events, machine
from gradwire.server.rounds.state import Phase, start
from gradwire.server.session import Session
from gradwire.server.tally import Tally
from gradwire.server.tcp_count import TcpCount


class Coordinator:
    """One run on this server."""

    def __init__(self, runlog: RunLog, progress: Progress) -> None:
        self.log = runlog
        self.fold = Fold(runlog)
        self.tally = Tally.restored(runlog.get(TALLY), runlog.metrics())
        self.tcp = TcpCount(self.tally)
        self.sessions: dict[int, Session] = {}
        self.ending = Ending(runlog, self.sessions, progress)
        self.failure: BaseException | None = None
        self.on_open: Callable[[], None] = lambda: None  # called once, when the first round opens
        self._progress = progress
        self._losses: dict[int, float] = {}
        self._lock = asyncio.Lock()
        self._deadline: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="log")
        config = self.config
        self.state = start(config.workers, config.rounds, config.needed, runlog.next_round)

    @property
    def config(self) -> RunConfig:
        """The run's configuration, its downlink resolved once the model is known."""
        return self.fold.config

    async def begin(self, params: bytes, codec: AnyCodec) -> None:
        """Begin with the initial model that the first worker built: float32 little-endian [dim]."""
        await self._whole(self._begin_once(params, codec))

    async def _begin_once(self, params: bytes, codec: AnyCodec) -> None:
        async with self._lock:
            if not self.fold.has_model:  # the worker that was asked before may have vanished half-way
                await self._on_disk(self.fold.begin, params, codec)

    # ---- events --------------------------------------------------------------------------------------------

    async def handle(self, event: events.Event) -> None:
        """Feed one event to the state machine and carry out what it asks for.

        Raises:
            WireError: the event is not allowed; nothing changed.
        """
        await self._whole(self._locked_step(event))

    async def _locked_step(self, event: events.Event) -> None:
        async with self._lock:
            await self._step(event)

    async def _whole(self, work: Coroutine[Any, Any, None]) -> None:
        """Carry something out to its end, even when the stream that asked for it is cancelled in between."""
        await asyncio.shield(self._begin(work))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A refusal is the asker's business; anything else may have left the run half-way, so it ends."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, WireError):
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the run for this reason, unless there is an earlier one."""
        self.failure = self.failure or error
        self.ending.over.set()

    async def admit(self, session: Session, ready: wire_pb2.Ready) -> None:
        """Bring a replica up to date and let its process take part; no round commits in between."""
        await self._whole(self._admit(session, ready))

    async def _admit(self, session: Session, ready: wire_pb2.Ready) -> None:
        async with self._lock:
            catch_up = await self._on_disk(self.fold.catch_up, ready)
            for outgoing in catch_up:
                session.queue(outgoing)
            self.sessions[session.number] = session
            for round_ in await self._on_disk(self.fold.missed_by, session.workers):
                session.send(wire_pb2.FromServer(late=wire_pb2.Late(round=round_)))
            if self.state.phase is Phase.OPEN:
                self._send_open(session)
            await self._step(events.Joined(session.number, session.workers))
            if self.finished:
                self.ending.came_again(session.process)
                self._send_finish(session)
        self._announce("joined", session)
        self._look_at_the_end()

    async def resync(self, session: Session, round_: int) -> None:
        """A replica differed in that round: send it the server's model; its pushes count again once it has said Ready.

        What it sent before it knew was computed at other parameters, and there may be more of it on the way.
        """
        async with self._lock:
            self.tally.resyncs += 1
            session.astray = {round_}
            session.queue(snapshot_message(self.fold.model))
        self._progress({"event": "resync", "process": session.process, "round": self.state.round})

    async def back_in_step(self, session: Session) -> None:
        """A replica has taken the server's model: ask for the round that is open now."""
        async with self._lock:
            astray, session.astray = session.astray or set(), None
            for round_ in sorted(r for r in astray if r < self.state.round):
                self._send_late(session, round_)
            if self.state.phase is Phase.OPEN:
                self._send_open(session)

    async def leave(self, session: Session) -> None:
        """A stream ended."""
        await self._whole(self._leave(session))

    async def _leave(self, session: Session) -> None:
        async with self._lock:
            if self.sessions.pop(session.number, None) is not None:
                await self._step(events.Left(session.number))
                self._announce("left", session)
        if all(other.process != session.process for other in self.sessions.values()):
            self.ending.left(session.process)
        session.left.set()
        self._look_at_the_end()

    async def done(self, session: Session, digest: int) -> None:
        """A process has folded the last entry and ended with that digest; the log remembers, so a restart knows."""
        await self._whole(self._done(session, digest))

    async def _done(self, session: Session, digest: int) -> None:
        await self._on_disk(self.ending.mark, session.process, digest)
        session.done = True
        self._look_at_the_end()

    @property
    def finished(self) -> bool:
        """Whether the last round is in the log."""
        return self.state.phase is Phase.FINISHED

    def _look_at_the_end(self) -> None:
        if self.finished:
            self.ending.look()

    def note_losses(self, losses: dict[int, float]) -> None:
        """Training losses of workers at the open round's parameters; they count once the round commits."""
        self._losses.update(losses)

    async def note_metrics(self, round_: int, metrics: dict[str, float]) -> None:
        """What a worker evaluated at the parameters before that round; heard again, it counts once."""
        point = self.tally.point(round_)
        if point.metrics.items() >= metrics.items():
            return
        point.metrics.update(metrics)
        await self._on_disk(self.log.record_metrics, round_, point.to_notes())
        self._progress({"event": "metrics", "round": round_, "metrics": metrics})

    def _announce(self, event: str, session: Session) -> None:
        live, expected = len(self.state.live), self.config.workers
        row = {"event": event, "process": session.process, "workers": list(session.workers)}
        self._progress({**row, "live": live, "expected": expected})

    # ---- effects -------------------------------------------------------------------------------------------

    async def _step(self, event: events.Event) -> None:
        gathering = self.state.phase is Phase.GATHERING
        state, effects = machine.step(self.state, event)
        self.state = state
        if gathering and state.phase is Phase.OPEN:
            self._opened()
        for effect in effects:
            await self._perform(effect)

    def _opened(self) -> None:
        """Enough workers are here. They are told only now, so every byte from here on belongs to the rounds."""
        self.tally.start(self.state.round)
        self.on_open()
        for session in self.sessions.values():
            self._send_open(session)

    async def _perform(self, effect: events.Effect) -> None:
        if isinstance(effect, events.Commit):
            await self._commit(effect)
        elif isinstance(effect, events.AnswerLate):
            self._send_late(self.sessions[effect.session], effect.round)
        elif isinstance(effect, events.ArmDeadline):
            self._arm(effect.round)
        else:
            self._arm(None)
            for session in self.sessions.values():
                self._send_finish(session)

    async def _commit(self, commit: events.Commit) -> None:
        weigh = self.config.weighting == "examples"
        record = RoundRecord(
            commit.round,
            tuple(c.worker for c in commit.contributions),
            tuple(c.payload for c in commit.contributions),
            tuple(c.examples for c in commit.contributions) if weigh else (),
        )
        cohort = frozenset(record.workers)
        point = self.tally.committed(commit.round, [v for w, v in self._losses.items() if w in cohort])
        self._losses.clear()
        # When this fails the model may be ahead of the log; nothing was announced, so a restart is exact.
        unpacked = [c.unpacked for c in commit.contributions]
        committed = await self._on_disk(
            self.fold.append, record, unpacked, point.to_notes(), self._tally_json()
        )
        entry = self.fold.entry(committed)
        for session in self.sessions.values():
            session.send_entry(entry)
        self._progress(self._round_row(record, entry))

    def _arm(self, round_: int | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if round_ is not None and self.config.deadline:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self.config.deadline, self._deadline_passed, round_)

    def _deadline_passed(self, round_: int) -> None:
        self._begin(self._locked_step(events.DeadlinePassed(round_)))

    def _tally_json(self) -> str:
        return self.tally.to_json(*self.tcp.recent())

    async def save_tally(self) -> None:
        """Keep what was counted since the last round: for a server that stops in order."""
        await self._on_disk(self.log.put, TALLY, self.tally.to_json(*self.tcp.read()))

    async def _on_disk(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *args)

    def close(self) -> None:
        """Stop the log thread and close the log."""
        self._arm(None)
        self.ending.stop()
        self._disk.shutdown()
        self.log.close()

    # ---- messages ------------------------------------------------------------------------------------------

    def _send_open(self, session: Session) -> None:
        pushed = [w for w in session.workers if w in self.state.pushed]
        session.send(wire_pb2.FromServer(open=wire_pb2.Open(round=self.state.round, pushed=pushed)))

    def _send_late(self, session: Session, round_: int) -> None:
        self.tally.late += 1
        session.send(wire_pb2.FromServer(late=wire_pb2.Late(round=round_)))

    def _send_finish(self, session: Session) -> None:
        session.send(wire_pb2.FromServer(finish=wire_pb2.Finish(rounds=self.config.rounds)))

    def _round_row(self, record: RoundRecord, entry: OutgoingEntry) -> dict[str, Any]:
        codec = self.fold.codec
        return {
            "event": "round",
            "round": record.round,
            "rounds": self.config.rounds,
            "loss": self.tally.point(record.round).loss,
            "workers": len(record.workers),
            "epsilon": codec.epsilon if codec.private else None,
            "uplink_bits": sum(codec.nbits if codec.fixed_length else 8 * len(p) for p in record.payloads),
            "downlink_bits": entry.counts.payload_bits.measured * len(self.sessions),
            "uplink_bytes": self.tally.uplink.message_bytes.measured,
            "downlink_bytes": self.tally.downlink.message_bytes.measured,
            "seconds": self.tally.seconds,
        }
