"""The run: state machine, model and log, driven by one event at a time.

Everything that changes the run goes through ``handle`` under one lock, so a commit is in the log, folded and announced
before the next event is handled. No socket is touched here: sessions are outboxes that messages are put into.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import LayoutError, SpecError, Unavailable
from gradwire.common.training.config import RunConfig
from gradwire.common.training.layout import Layout
from gradwire.common.weights.start import Start
from gradwire.proto import wire_pb2
from gradwire.server.best import BestModel
from gradwire.server.commits import Commits
from gradwire.server.counters import Counters
from gradwire.server.deadline import Deadline
from gradwire.server.evaluations import Evaluations
from gradwire.server.executor import RunExecutor
from gradwire.server.fold import Fold
from gradwire.server.log.notes import TALLY
from gradwire.server.log.run_log import RunLog
from gradwire.server.measures import SiteMetrics
from gradwire.server.memories import Memories
from gradwire.server.outgoing import snapshot_message
from gradwire.server.own_loops import OwnLoops
from gradwire.server.progress import Progress
from gradwire.server.rounds import events, machine
from gradwire.server.rounds.drawing import Draw
from gradwire.server.rounds.state import Phase
from gradwire.server.rounds.state import start as first_state
from gradwire.server.shutdown import Shutdown
from gradwire.server.stream.session import Session
from gradwire.server.tcp_totals import TcpTotals


class Coordinator:
    """One run on this server.

    Attributes:
        log: the run's log.
        fold: its model.
        state: of the round state machine.
        counters: what the run has cost and achieved so far.
        tcp: its TCP bytes.
        sessions: the streams that take part, by number.
        shutdown: when the server may leave a finished run.
        own_loops: sites that train in loops of their own.
        best: the model with the best evaluation, where the run keeps it.
        evaluations: who evaluates, and what was measured.
        failure: why the run cannot go on; None while it can.
        on_open: is called once, when the first round of this server opens.
    """

    def __init__(self, runlog: RunLog, progress: Progress, start: Start | None = None) -> None:
        self.log = runlog
        self.fold = Fold(runlog)
        self.counters = Counters.restored(runlog.get(TALLY), runlog.metrics())
        self.tcp = TcpTotals(self.counters)
        self.sessions: dict[int, Session] = {}
        self.own_loops = OwnLoops(runlog)
        self.shutdown = Shutdown(runlog, self.sessions, progress)
        self.failure: BaseException | None = None
        self.on_open: Callable[[], None] = lambda: None
        config = self.config
        draw = Draw(config.seed, config.cohort, config.least) if config.changing else None
        self.state = first_state(
            config.workers,
            config.rounds,
            config.needed,
            runlog.next_round,
            draw=draw,
            opening=config.opening,
        )
        self._memories = Memories(runlog)
        self._opened = False  # a round, by this server
        self._progress = progress
        self._start = start
        self._lock = asyncio.Lock()
        self._executor = RunExecutor(self.fail)
        self.best = BestModel(self.fold, progress)
        self._commits = Commits(self.fold, self.counters, self.tcp, self._executor, self.best)
        self.evaluations = Evaluations(
            self.fold, self.counters, self.best, self._executor, self.sessions, progress
        )
        self._deadline = Deadline(config.deadline, self._deadline_passed)

    @property
    def config(self) -> RunConfig:
        """The run's configuration, its downlink resolved once the model is known."""
        return self.fold.config

    @property
    def finished(self) -> bool:
        """Whether the last round is in the log."""
        return self.state.phase is Phase.FINISHED

    def fail(self, error: BaseException) -> None:
        """End the run for this reason, unless there is an earlier one."""
        self.failure = self.failure or error
        self.shutdown.requested.set()

    async def begin(
        self, params: bytes, codec: AnyCodec, layout: Layout | None = None, constants: Sequence[bytes] = ()
    ) -> None:
        """Begin with the initial model that the first worker built, or from the given start: see ``Fold.begin``."""
        await self._executor.run(self._begin(params, codec, layout, constants))

    async def _begin(
        self, params: bytes, codec: AnyCodec, layout: Layout | None, constants: Sequence[bytes]
    ) -> None:
        async with self._lock:
            # The upload of a worker that disconnected meanwhile may have been taken.
            if not self.fold.has_model:
                await self._store_initial(params, codec, layout, constants)
                await self._executor.on_disk(self.best.keep_if_due)
                self.warn_of_pruning()

    async def _store_initial(
        self, params: bytes, codec: AnyCodec, layout: Layout | None, constants: Sequence[bytes]
    ) -> None:
        try:
            await self._executor.on_disk(self.fold.begin, params, codec, layout, constants, self._start)
        except LayoutError as error:
            self.fail(error)
            raise Unavailable("the server stops: its --init does not fit the run's model") from error
        except SpecError as error:  # of the run, whichever worker brings the model
            self.fail(error)
            raise Unavailable("the server stops: its downlink cannot send this model") from error

    def warn_of_pruning(self) -> None:
        """Report, once the model is known, that the log will not keep all rounds."""
        if self.fold.has_model and self.fold.prunes:
            message = (
                f"the log would grow to {self.fold.payload_bytes / 1e9:.1f} GB, so rounds before its newest snapshot "
                "are deleted and an audit can begin only there: --keep-log keeps all rounds"
            )
            self._progress({"event": "warning", "message": message})

    # ---- events --------------------------------------------------------------------------------------------

    async def handle(self, event: events.Event) -> None:
        """Feed one event to the state machine and carry out what it asks for.

        Raises:
            WireError: the event is not allowed; nothing changed.
        """
        await self._executor.run(self._locked_step(event))

    async def admit(self, session: Session, ready: wire_pb2.Ready) -> None:
        """Bring a replica up to date and let its process take part; no round commits in between."""
        await self._executor.run(self._admit(session, ready))

    async def _admit(self, session: Session, ready: wire_pb2.Ready) -> None:
        async with self._lock:
            for outgoing in await self._executor.on_disk(self.fold.catch_up, ready):
                session.queue(outgoing)
            missed = await self._executor.on_disk(self._memories.settle, session, ready, self.state)
            self.sessions[session.number] = session
            self.evaluations.joined(session, evaluates=ready.evaluates)
            if self.state.phase is not Phase.GATHERING:
                self.evaluations.name_one(over=self.finished)
            for round_, workers in missed.items():
                session.send_late(round_, workers)
            was_open = self.state.phase is Phase.OPEN
            await self._step(events.Joined(session.number, session.workers))
            if was_open:
                self._send_open(session, self.state.round, self.state.due)
            if self.finished:
                self.shutdown.rejoined(session.process)
                self._send_finish(session)
            elif session.started:
                await self._note_start(session)
        self._announce("joined", session)
        self._update_shutdown()

    async def _note_start(self, session: Session) -> None:
        """A program with a training loop of its own takes part for the first time since it was started."""
        first = self.state.phase is Phase.GATHERING and not self.state.round
        starts = await self._executor.on_disk(self.own_loops.started, session.process, first)
        if starts > 1:
            row = {"process": session.process, "round": self.state.round, "starts": starts}
            self._progress({"event": "restarted", **row})

    async def resync(self, session: Session, round_: int) -> None:
        """Send a replica that differed in that round the server's model.

        Its pushes are discarded until it has sent Ready: what it sent before it took the model was computed at other
        parameters, and there may be more of it on the way.
        """
        async with self._lock:
            self.counters.resyncs += 1
            session.discarded_rounds = {round_}
            session.queue(snapshot_message(self.fold.model))
        self._progress({"event": "resync", "process": session.process, "round": self.state.round})

    async def resynced(self, session: Session) -> None:
        """A replica has taken the server's model: its pushes count again, beginning with the open round's."""
        async with self._lock:
            discarded, session.discarded_rounds = session.discarded_rounds or set(), None
            for round_ in sorted(r for r in discarded if r < self.state.round):
                self._send_late(session, round_, session.workers)
            if self.state.phase is Phase.OPEN:
                self._send_open(session, self.state.round, self.state.due)

    async def leave(self, session: Session) -> None:
        """Remove the session of a stream that ended."""
        await self._executor.run(self._leave(session))

    async def _leave(self, session: Session) -> None:
        async with self._lock:
            if self.sessions.pop(session.number, None) is not None:
                await self._step(events.Left(session.number))
                if self.finished:
                    self.evaluations.name_one(over=True)
                self._announce("left", session)
        if all(other.process != session.process for other in self.sessions.values()):
            self.shutdown.disconnected(session.process)
        session.removed.set()
        self._update_shutdown()

    async def done(self, session: Session, digest: int) -> None:
        """Record that a process has folded the last entry and ended with that digest; a restarted server reads it."""
        await self._executor.run(self._done(session, digest))

    async def _done(self, session: Session, digest: int) -> None:
        await self._executor.on_disk(self.shutdown.record_done, session.process, digest)
        session.done = True
        self._update_shutdown()

    def note_losses(self, losses: dict[int, float]) -> None:
        """Training losses of workers at the open round's parameters; they count once the round commits."""
        self._commits.note_losses(losses)

    async def note_metrics(self, session: Session, round_: int, found: SiteMetrics) -> None:
        """What a process measured at the parameters before that round; a repeated report counts once."""
        await self.evaluations.note(session, round_, found)

    # ---- effects -------------------------------------------------------------------------------------------

    async def _locked_step(self, event: events.Event) -> None:
        async with self._lock:
            await self._step(event)

    async def _step(self, event: events.Event) -> None:
        self.state, effects = machine.step(self.state, event)
        for effect in effects:
            await self._perform(effect)

    def _open_round(self, opened: events.Opened) -> None:
        """A round opens, or is drawn again. The first Open of all is sent only now: all later bytes are the rounds'."""
        if not self._opened:
            self._opened = True
            self.counters.start(opened.round)
            self.on_open()
            self.evaluations.name_one()
        for session in (self.sessions[number] for number in opened.sessions):
            self._send_open(session, opened.round, opened.due)

    async def _perform(self, effect: events.Effect) -> None:
        if isinstance(effect, events.Commit):
            record, entry = await self._commits.commit(effect)
            if self.evaluations.due:
                self.evaluations.name_one()
            for session in self.sessions.values():
                session.send_late(effect.round, self._memories.missed(session, effect))
                session.send_entry(entry)
            self._progress(self._commits.progress(record, entry, len(self.sessions)))
        elif isinstance(effect, events.Opened):
            self._open_round(effect)
        elif isinstance(effect, events.AnswerLate):
            self._send_late(self.sessions[effect.session], effect.round, effect.workers)
        elif isinstance(effect, events.ArmDeadline):
            self._deadline.arm(effect.round)
        else:
            self._deadline.cancel()
            for session in self.sessions.values():
                self._send_finish(session)

    def _deadline_passed(self, round_: int) -> None:
        self._executor.start(self._locked_step(events.DeadlinePassed(round_)))

    def _update_shutdown(self) -> None:
        if self.finished:
            self.shutdown.update()

    async def save_counters(self) -> None:
        """Store what was counted since the last round: for a server that stops in order."""
        counters = self.counters.to_json(*self.tcp.read())
        await self._executor.on_disk(self.log.put, TALLY, counters)

    def close(self) -> None:
        """Stop the timers and the log's thread, and close the log."""
        self._deadline.cancel()
        self.shutdown.cancel()
        self._executor.close()
        self.log.close()

    # ---- messages ------------------------------------------------------------------------------------------

    def _send_open(self, session: Session, round_: int, due: Collection[int]) -> None:
        waived = [w for w in session.workers if w not in due]
        session.send(wire_pb2.FromServer(open=wire_pb2.Open(round=round_, pushed=waived)))

    def _send_late(self, session: Session, round_: int, workers: Sequence[int]) -> None:
        self.counters.late += 1
        session.send_late(round_, self._memories.not_counted(round_, workers))

    def _send_finish(self, session: Session) -> None:
        session.send(wire_pb2.FromServer(finish=wire_pb2.Finish(rounds=self.config.rounds)))

    def _announce(self, event: str, session: Session) -> None:
        live, config = len(self.state.live), self.config
        row = {"event": event, "process": session.process, "workers": list(session.workers)}
        why = {"reason": session.left} if session.left else {}
        expected = {"least": config.min_workers, "expected": config.workers}
        self._progress({**row, "live": live, **expected, **why})
