"""From the payloads of a round to a round that is measured, folded and durable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gradwire.common.downlinks import CommittedRound
from gradwire.common.training.record import RoundRecord
from gradwire.server.best import BestModel
from gradwire.server.counters import Counters
from gradwire.server.executor import RunExecutor
from gradwire.server.fold import Fold
from gradwire.server.log.notes import RoundNotes
from gradwire.server.outgoing import OutgoingEntry
from gradwire.server.rounds.events import Commit
from gradwire.server.tcp_totals import TcpTotals


class Commits:
    """Commits rounds, each with the losses that were reported for it and the counters so far."""

    def __init__(
        self, fold: Fold, counters: Counters, tcp: TcpTotals, executor: RunExecutor, best: BestModel
    ) -> None:
        """Commit to a run's log.

        Args:
            fold: the run's model and log.
            counters: what the run has cost so far, which is stored with every round.
            tcp: its TCP bytes.
            executor: where calls that wait for the disk run.
            best: keeps what is to be evaluated.
        """
        self._fold = fold
        self._counters = counters
        self._tcp = tcp
        self._executor = executor
        self._best = best
        self._losses: dict[int, float] = {}

    def note_losses(self, losses: Mapping[int, float]) -> None:
        """Training losses of workers at the open round's parameters; they count once the round commits."""
        self._losses.update(losses)

    async def commit(self, commit: Commit) -> tuple[RoundRecord, OutgoingEntry]:
        """Fold a round and make it durable; what the log has of it, and the entry to send.

        When this raises, the model may be ahead of the log. Nothing was announced, so a restart is exact.

        Raises:
            NotFiniteError: the round's mean, or the model after it, is beyond float32.
            LogError: the disk refused it.
        """
        record = self._record(commit)
        unpacked = [c.unpacked for c in commit.contributions]
        committed = await self._executor.on_disk(
            self._append, record, unpacked, self._notes(commit, record.examples)
        )
        return record, self._fold.entry(committed, commit.cohort)

    def _append(self, record: RoundRecord, unpacked: Sequence[Any], notes: RoundNotes) -> CommittedRound:
        committed = self._fold.append(record, unpacked, notes)
        self._best.keep_if_due()
        return committed

    def _notes(self, commit: Commit, weights: Sequence[int]) -> RoundNotes:
        losses = tuple(self._losses.get(c.worker, math.nan) for c in commit.contributions)
        self._losses.clear()
        point = self._counters.round_committed(commit.round, losses, weights)
        # In a private run the log holds losses and metrics of single workers only if this end has opted in, too.
        stored = self._fold.config.report_metrics or not self._fold.codec.private
        return RoundNotes(
            point.to_notes(single=stored),
            losses if stored and point.loss is not None else (),
            tuple(c.process for c in commit.contributions),
            self._counters.to_json(*self._tcp.recent()),
        )

    def _record(self, commit: Commit) -> RoundRecord:
        weigh = self._fold.config.weighted
        return RoundRecord(
            commit.round,
            tuple(c.worker for c in commit.contributions),
            tuple(c.payload for c in commit.contributions),
            tuple(c.examples for c in commit.contributions) if weigh else (),
        )

    def progress(self, record: RoundRecord, entry: OutgoingEntry, processes: int) -> dict[str, Any]:
        """The progress event of a round whose entry was sent to so many processes."""
        config, codec, counters = self._fold.config, self._fold.codec, self._counters
        return {
            "event": "round",
            "round": record.round,
            "rounds": config.rounds,
            "loss": counters.point(record.round).loss,
            "workers": len(record.workers),
            "epsilon": codec.epsilon if codec.private else None,
            "uplink_bits": sum(codec.nbits if codec.fixed_length else 8 * len(p) for p in record.payloads),
            "downlink_bits": entry.counts.payload_bits.measured * processes,
            "uplink_bytes": counters.uplink.message_bytes.measured,
            "downlink_bytes": counters.downlink.message_bytes.measured,
            "seconds": counters.seconds,
        }
