"""The run: state machine, model and log, driven by one event at a time.

Everything that changes the run goes through ``handle`` under one lock, so a commit is in the log, folded and
announced before the next event is looked at. No socket is touched here: sessions are outboxes that messages
are put into.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.config import RunConfig, resolve_downlink
from gradwire.common.digest import digest_of
from gradwire.common.errors import FailedPrecondition, LogError, WireError
from gradwire.common.model import Model
from gradwire.common.optimizers import parse_optimizer
from gradwire.common.record import RoundRecord, aggregate
from gradwire.common.update import Sparse, Vector
from gradwire.proto import wire_pb2
from gradwire.server import rounds
from gradwire.server.log import RunLog
from gradwire.server.outgoing import (
    Outgoing,
    OutgoingEntry,
    log_entry,
    model_entry,
    snapshot_message,
    sum_entry,
)
from gradwire.server.progress import Progress
from gradwire.server.session import Session
from gradwire.server.tally import Tally

SNAPSHOT_FACTOR = 4  # a snapshot is written when the log since the last one is this many times its size
SNAPSHOT_FLOOR = 1 << 20  # bytes of log that are never worth a snapshot
FINISH_WAIT = (
    15.0  # seconds that a restarted server of a finished run waits for workers to come and hear of it
)
DONE = "done "  # prefix of the log's marks of processes that have ended
KEEP_LOG_BYTES = 1 << 30  # a run whose payloads add up to more keeps only the log since its last snapshot

log = logging.getLogger(__name__)


class Coordinator:
    """One run on this server."""

    def __init__(self, runlog: RunLog, progress: Progress) -> None:
        self.config: RunConfig = runlog.config
        self.log = runlog
        self.tally = Tally()
        self.codec: AnyCodec | None = None
        self.model: Model | None = None
        self.sessions: dict[int, Session] = {}
        self.finished = asyncio.Event()
        self.failure: BaseException | None = None
        self.on_open: Callable[[], None] = lambda: None  # called once, when the first round opens
        self._progress = progress
        self._losses: dict[int, float] = {}
        self._lock = asyncio.Lock()
        self._deadline: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="log")
        config = self.config
        self.state = rounds.start(config.workers, config.rounds, config.needed, runlog.next_round)
        snapshot = runlog.latest_snapshot()
        if snapshot is not None:
            self._rebuild(*snapshot)

    # ---- the model -----------------------------------------------------------------------------------------

    def _rebuild(self, round_: int, snapshot: bytes) -> None:
        """The model after the last committed round: the latest snapshot and the entries since."""
        optimizer = parse_optimizer(self.config.optimizer)
        arrays = 1 + len(optimizer.initial_state(np.zeros(1, np.float32)))
        params = np.frombuffer(snapshot, "<f4")[: len(snapshot) // (4 * arrays)]
        model = Model(params, optimizer)
        model.restore(snapshot, round_)
        codec = parse(self.config.codec, model.dim)
        self.config = resolve_downlink(self.config, codec)
        for record in self.log.read(round_, self.log.next_round):
            model.apply(aggregate(codec, self.config.seed, record))
        recorded = self.log.digest_at(model.round - 1) if model.round else None
        if recorded is not None and recorded != model.digest:
            raise LogError(
                f"replaying the log gave other parameters at round {model.round} than the server had: it is damaged"
            )
        self.codec, self.model = codec, model

    def codec_at(self, dim: int) -> AnyCodec:
        """The run's codec for gradients of ``dim`` coordinates."""
        return parse(self.config.codec, dim)

    async def set_initial(self, params: bytes, codec: AnyCodec) -> None:
        """Begin with the initial model that the first worker built: float32 little-endian [dim]."""
        model = Model(np.frombuffer(params, "<f4"), parse_optimizer(self.config.optimizer))
        await self._on_disk(self.log.set_initial, model.snapshot())
        self.config = resolve_downlink(self.config, codec)
        model.digest  # noqa: B018 - taken once in full; sparse rounds keep it from here on
        self.codec, self.model = codec, model

    @property
    def ready(self) -> tuple[AnyCodec, Model]:
        """Codec and model, once the initial model is known."""
        if self.codec is None or self.model is None:
            raise FailedPrecondition("the run has no initial model yet: finish joining first")
        return self.codec, self.model

    # ---- events --------------------------------------------------------------------------------------------

    async def handle(self, event: rounds.Event) -> None:
        """Feed one event to the state machine and carry out what it asks for.

        Raises:
            WireError: the event is not allowed; nothing changed.
        """
        await self._whole(self._locked_step(event))

    async def _locked_step(self, event: rounds.Event) -> None:
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
            self.failure = self.failure or error
            self.finished.set()

    async def admit(self, session: Session, ready: wire_pb2.Ready) -> None:
        """Bring a replica up to date and let its process take part; no round commits in between."""
        await self._whole(self._admit(session, ready))

    async def _admit(self, session: Session, ready: wire_pb2.Ready) -> None:
        async with self._lock:
            catch_up = await self._on_disk(self._catch_up, ready)
            for outgoing in catch_up:
                session.outbox.put_nowait(outgoing)
            self.sessions[session.number] = session
            if self.state.phase is rounds.Phase.OPEN:
                self._send_open(session)
            await self._step(rounds.Joined(session.number, session.workers))
            if self.state.phase is rounds.Phase.FINISHED:
                self._send_finish(session)
        self._announce("joined", session)

    async def resync(self, session: Session) -> None:
        """A replica differs: send it the server's model and ask for the round again."""
        _, model = self.ready
        async with self._lock:
            self.tally.resyncs += 1
            session.outbox.put_nowait(snapshot_message(model))
            self._send_open(session)
        self._progress({"event": "resync", "process": session.process, "round": model.round})

    async def leave(self, session: Session) -> None:
        """A stream ended."""
        await self._whole(self._leave(session))

    async def _leave(self, session: Session) -> None:
        async with self._lock:
            if self.sessions.pop(session.number, None) is not None:
                await self._step(rounds.Left(session.number))
                self._announce("left", session)
        self._finish_if_all_done()

    async def done(self, session: Session, digest: int) -> None:
        """A process has folded the last entry and ended with that digest; the log remembers, so a restart knows."""
        await self._on_disk(self.log.put, f"{DONE}{session.process}", f"{digest:016x}")
        session.done = True
        self._finish_if_all_done()

    def final_digests(self) -> dict[str, int]:
        """The digest that each process ended with."""
        ended = {name: self.log.get(f"{DONE}{name}") for name in self.log.assignments()}
        return {name: int(digest, 16) for name, digest in ended.items() if digest is not None}

    def finish_if_over(self) -> None:
        """For a server that starts on a finished run: wait, not long, for processes that have not seen its end."""
        if self.state.phase is not rounds.Phase.FINISHED:
            return
        if self.final_digests().keys() == self.log.assignments().keys():
            self.finished.set()
        else:
            asyncio.get_running_loop().call_later(FINISH_WAIT, self.finished.set)

    def note_losses(self, losses: dict[int, float]) -> None:
        """Training losses of workers at the open round's parameters; they count once the round commits."""
        self._losses.update(losses)

    def note_metrics(self, round_: int, metrics: dict[str, float]) -> None:
        """What a worker evaluated at the parameters before that round."""
        self.tally.point(round_).metrics.update(metrics)
        self._progress({"event": "metrics", "round": round_, "metrics": metrics})

    def _announce(self, event: str, session: Session) -> None:
        live, expected = len(self.state.live), self.config.workers
        row = {"event": event, "process": session.process, "workers": list(session.workers)}
        self._progress({**row, "live": live, "expected": expected})

    def _finish_if_all_done(self) -> None:
        finished = self.state.phase is rounds.Phase.FINISHED
        if finished and all(s.done for s in self.sessions.values()):
            self.finished.set()

    # ---- effects -------------------------------------------------------------------------------------------

    async def _step(self, event: rounds.Event) -> None:
        gathering = self.state.phase is rounds.Phase.GATHERING
        state, effects = rounds.step(self.state, event)
        self.state = state
        if gathering and state.phase is rounds.Phase.OPEN:
            self._opened()
        for effect in effects:
            await self._perform(effect)

    def _opened(self) -> None:
        """Enough workers are here. They are told only now, so every byte from here on belongs to the rounds."""
        self.tally.start(self.state.round)
        self.on_open()
        for session in self.sessions.values():
            self._send_open(session)

    async def _perform(self, effect: rounds.Effect) -> None:
        if isinstance(effect, rounds.Commit):
            await self._commit(effect)
        elif isinstance(effect, rounds.AnswerLate):
            self.tally.late += 1
            self.sessions[effect.session].send(wire_pb2.FromServer(late=wire_pb2.Late(round=effect.round)))
        elif isinstance(effect, rounds.ArmDeadline):
            self._arm(effect.round)
        else:
            self._arm(None)
            for session in self.sessions.values():
                self._send_finish(session)

    async def _commit(self, commit: rounds.Commit) -> None:
        codec, model = self.ready
        weigh = self.config.weighting == "examples"
        record = RoundRecord(
            commit.round,
            tuple(c.worker for c in commit.contributions),
            tuple(c.payload for c in commit.contributions),
            tuple(c.examples for c in commit.contributions) if weigh else (),
        )
        # When this fails the model may be ahead of the log; nothing was announced, so a restart is exact.
        update = await self._on_disk(self._fold_and_append, codec, model, record)
        entry = self._entry(record, update)
        for session in self.sessions.values():
            session.outbox.put_nowait(entry)
        self.tally.committed(commit.round, [v for w, v in self._losses.items() if w in record.workers])
        self._losses.clear()
        self._progress(self._round_row(record, entry))

    def _fold_and_append(self, codec: AnyCodec, model: Model, record: RoundRecord) -> Vector:
        update = aggregate(codec, self.config.seed, record)
        model.apply(update)
        # A dense step invalidates the digest: it is taken anew only in the rounds that compare it.
        due = isinstance(update, Sparse) or model.round % self.config.digest_every == 0
        last = model.round == self.config.rounds
        self.log.append(record, model.digest if due or last else None)
        self._snapshot_if_due(model)
        return update

    def _snapshot_if_due(self, model: Model) -> None:
        since = self.log.bytes_since_snapshot()
        if since < max(SNAPSHOT_FLOOR, SNAPSHOT_FACTOR * 4 * model.dim):
            return
        self.log.snapshot(model.round, model.snapshot())
        assert self.codec is not None
        if self.config.rounds * self.config.workers * self.codec.nbytes > KEEP_LOG_BYTES:
            self.log.prune(model.round)

    def _arm(self, round_: int | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if round_ is not None and self.config.deadline:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self.config.deadline, self._deadline_passed, round_)

    def _deadline_passed(self, round_: int) -> None:
        self._begin(self._locked_step(rounds.DeadlinePassed(round_)))

    async def _on_disk(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *args)

    def close(self) -> None:
        """Stop the log thread and close the log."""
        self._arm(None)
        self._disk.shutdown()
        self.log.close()

    # ---- messages ------------------------------------------------------------------------------------------

    def _entry(self, record: RoundRecord, update: Vector) -> OutgoingEntry:
        codec, model = self.ready
        if self.config.downlink == "log":
            return log_entry(codec, record, self.config.workers)
        if self.config.downlink == "sum":
            return sum_entry(record.round, update, codec.dim)
        return model_entry(record.round, model)

    def _catch_up(self, ready: wire_pb2.Ready) -> list[Outgoing]:
        """What brings a replica to the open round: nothing, the entries that it misses, or a snapshot."""
        codec, model = self.ready
        follows = ready.round == 0 or ready.run_id == self.log.run_id
        if follows and ready.round == model.round and ready.digest == model.digest:
            return []
        missing = range(ready.round, model.round)
        relays = self.config.downlink == "log" and codec.fixed_length
        smaller = len(missing) * self.config.workers * codec.nbytes < 4 * model.dim
        if follows and relays and smaller and missing.start >= self.log.first_kept():
            if self._digest_before(ready.round) == ready.digest:
                return [
                    log_entry(codec, r, self.config.workers)
                    for r in self.log.read(missing.start, missing.stop)
                ]
        return [snapshot_message(model)]

    def _digest_before(self, round_: int) -> int | None:
        """The digest of the parameters before a committed round; None where it was not taken."""
        if round_ > 0:
            return self.log.digest_at(round_ - 1)
        _, model = self.ready
        params = np.frombuffer(self.log.initial(), "<f4")[: model.dim]
        return digest_of(params)

    def _send_open(self, session: Session) -> None:
        pushed = [w for w in session.workers if w in self.state.pushed]
        session.send(wire_pb2.FromServer(open=wire_pb2.Open(round=self.state.round, pushed=pushed)))

    def _send_finish(self, session: Session) -> None:
        session.send(wire_pb2.FromServer(finish=wire_pb2.Finish(rounds=self.config.rounds)))

    def _round_row(self, record: RoundRecord, entry: OutgoingEntry) -> dict[str, Any]:
        codec, _ = self.ready
        return {
            "event": "round",
            "round": record.round,
            "rounds": self.config.rounds,
            "loss": self.tally.point(record.round).loss,
            "workers": len(record.workers),
            "uplink_bits": sum(codec.nbits if codec.fixed_length else 8 * len(p) for p in record.payloads),
            "downlink_bits": entry.payload_bits.measured * len(self.sessions),
            "uplink_bytes": self.tally.uplink.message_bytes.measured,
            "downlink_bytes": self.tally.downlink.message_bytes.measured,
            "seconds": self.tally.seconds,
        }
