"""What a worker process keeps of a run between connections: task, replica, payloads of the open round, reports."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import InvalidArgument, PrivacyError, TaskError
from gradwire.common.system.memory import ARRAYS, require_fits, require_memory
from gradwire.common.training.config import MAX_ROUNDS, MAX_WORKERS, OWN
from gradwire.common.training.layout import Layout, Role
from gradwire.common.training.local import parse_local
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.transport.limits import MAX_EXAMPLES
from gradwire.common.transport.specs import spec_from_message
from gradwire.proto import wire_pb2
from gradwire.worker.encoder import EncodedRound, Encoder
from gradwire.worker.feedback import ARRAYS_KEPT
from gradwire.worker.privacy import Limits, Privacy
from gradwire.worker.records import Records, owner_of
from gradwire.worker.replica import Replica
from gradwire.worker.reports import Reports
from gradwire.worker.site import Site
from gradwire.worker.tasks import Task, build_task, parse_task
from gradwire.worker.tasks.base import layout_of, training_size
from gradwire.worker.updates import HandedOver, LocalUpdate, TaskGradient, UpdateSource

if TYPE_CHECKING:
    from gradwire.worker.join.loop import OwnLoop

MAX_BROKEN_STREAMS = 64  # whose counts are kept until a server has received them


class RunState:
    """A worker process's part in one run.

    Attributes:
        privacy: the owner's limits, and the ledger.
        started: the server may not know yet that a program with a loop of its own was started.
        finished: the last round is folded and checked.
        done_sent: Done was written; the server may not have acknowledged it.
        broken: counts of streams that broke, until a server has received them.
        sent, received: pushes and entries of all streams of this process.
        run: as Welcome described it; None before the first Welcome, and so are the attributes below.
        task, layout, codec, replica, encoder, reports: built for this run.
    """

    task: Task
    layout: Layout
    codec: AnyCodec
    replica: Replica
    encoder: Encoder
    reports: Reports

    def __init__(
        self,
        allow_import: Collection[str] = (),
        state_dir: Path | None = None,
        limits: Limits | None = None,
        site: Site | None = None,
        loop: OwnLoop | None = None,
    ) -> None:
        """Nothing is joined yet.

        Args:
            allow_import: tasks of the user's own that may be imported.
            state_dir: folder for what must survive a restart; None keeps it in memory.
            limits: what the worker's owner allows.
            site: name and data of this process; its workers and seed are those of the run.
            loop: of the user's own, which computes the updates; None where the run's task does.
        """
        self.privacy = Privacy(limits or Limits(), state_dir)
        self._allow_import = allow_import
        self._state_dir = state_dir
        self._site = site or Site()
        self._loop = loop
        self.sent, self.received = wire_pb2.Traffic(), wire_pb2.Traffic()
        self._contact = False
        self.started = loop is not None
        self.finished = False
        self.done_sent = False
        self.broken: deque[wire_pb2.StreamCount] = deque(maxlen=MAX_BROKEN_STREAMS)
        self.run: wire_pb2.Run | None = None

    def prepare(self, welcome: wire_pb2.Welcome) -> None:
        """Build task, replica and encoder, unless they are this run's already; loads the data.

        Raises:
            GradwireError: the task, codec or optimizer cannot be built here.
        """
        run = welcome.run
        workers = tuple(welcome.workers)
        if run.rounds > MAX_ROUNDS or run.workers > MAX_WORKERS:
            raise InvalidArgument(
                f"a run of {run.rounds} rounds and {run.workers} workers, expected at most {MAX_ROUNDS} and "
                f"{MAX_WORKERS}"
            )
        if self.run is None or not _is_continued(self.run, run):
            self.task = self._task(run, workers)
            averaged = layout_of(self.task).averaged
            self.codec = parse(spec_from_message(run.codec), self.task.dim, averaged=averaged)
            self.layout = self._sent_layout()
            self._refuse_private_averages(run)
            optimizer = parse_optimizer(spec_from_message(run.optimizer))
            self.replica = Replica(self.task.initial(), self.codec, optimizer, run, averaged)
            self.reports = Reports(
                self.task, run.evaluate_every, own=self._own_data(run), counted=not self.codec.private
            )
            self.encoder = self._encoder(run, workers)
        elif self.encoder.workers != workers:
            self.task = self._task(run, workers)  # its own data are dealt to the workers of this process
            self.layout = self._sent_layout()
            self.reports.evaluate_with(self.task)
            self.encoder = self._encoder(run, workers)
        self.run = run

    def _task(self, run: wire_pb2.Run, workers: tuple[int, ...]) -> Task:
        spec = spec_from_message(run.task)
        if self._loop is not None:
            if spec.name != OWN:
                raise TaskError(
                    f"the run's task is {spec}, whose gradients gradwire worker computes: start the server with "
                    f"--task {OWN} for sites that train in loops of their own"
                )
            return self._loop
        partition = spec_from_message(run.partition) if run.HasField("partition") else None
        task = build_task(
            spec,
            workers=run.workers,
            seed=run.seed,
            site=replace(self._site, workers=workers, seed=run.seed),
            partition=partition,
            allow_import=self._allow_import,
        )
        require_fits(task.dim, str(spec))
        return task

    def _own_data(self, run: wire_pb2.Run) -> bool:
        """Whether the task's data are this process's own, not dealt from data that all processes have."""
        kind = parse_task(spec_from_message(run.task), allow_import=self._allow_import)
        return kind.own_data and not run.HasField("partition")

    def _sent_layout(self) -> Layout:
        """The task's layout as the server receives it."""
        layout = layout_of(self.task)
        return layout.with_hidden_schema() if self.codec.private else layout

    def _refuse_private_averages(self, run: wire_pb2.Run) -> None:
        """Refuse to send running statistics, which travel as they are, beside private payloads."""
        if not self.layout.averaged:
            return
        if parse(spec_from_message(run.codec), self.layout.trained).private:
            first = next(array.name for array in self.layout.arrays if array.role is Role.AVERAGED)
            raise PrivacyError(
                f"the model has running statistics ({first}, …), which would be sent in the clear beside private "
                "payloads: use GroupNorm or LayerNorm, or keep them here with torch(…, buffers=local)"
            )

    def weights(self, encoded: EncodedRound) -> Sequence[int]:
        """The workers' weights in a push; none where the run weighs equally.

        Raises:
            TaskError: the run weighs by size, and the task does not say it; or more than can be sent.
        """
        assert self.run is not None
        if self.run.weigh_by_size:
            counts: Sequence[int] = [training_size(self.task, worker) for worker in encoded.workers]
        else:
            counts = encoded.examples if self.run.weigh_by_examples else ()
        if max(counts, default=1) > MAX_EXAMPLES:
            raise TaskError(
                f"a worker weighs {max(counts)} examples in round {encoded.round}, at most {MAX_EXAMPLES} are taken: "
                "use --weighting equal, or fewer local steps"
            )
        return counts

    def _encoder(self, run: wire_pb2.Run, workers: tuple[int, ...]) -> Encoder:
        local = parse_local(spec_from_message(run.local)) if run.HasField("local") else None
        feedback = run.error_feedback
        damping = self.replica.model.control_damping
        source: UpdateSource
        if self._loop is not None:
            source = HandedOver(self._loop, keep=feedback)
        elif local is not None:
            source = LocalUpdate(self.task, local, control_damping=damping)
        else:
            source = TaskGradient(self.task)
        self._require_memory(source.arrays_kept + feedback * ARRAYS_KEPT, workers)
        records = None
        # What a loop of the user's own sent once, it cannot compute again.
        always = feedback or local is not None or self.own_loop
        if self._state_dir is not None and (always or source.remembers):
            owner = owner_of(run.run_id, self.codec, local, feedback=feedback)
            records = Records(self._state_dir, owner, always=always)
        if self.codec.private and len(workers) > 1 and getattr(self.task, "shares_samples", False):
            raise PrivacyError(
                f"the site's loader gives the same samples to all {len(workers)} workers of this process, and the "
                "ledger counts workers as holding disjoint data: host one (--count 1), or give train as a Dataset"
            )
        ledger = self.privacy.admit(run, self.codec, workers)
        return Encoder(
            source, self.codec, run.seed, workers, feedback=feedback, records=records, ledger=ledger
        )

    def _require_memory(self, kept: int, workers: tuple[int, ...]) -> None:
        """Refuse workers that remember more than this machine holds: each has so many arrays [dim].

        Raises:
            ConfigError: they do.
        """
        dim = self.task.dim
        if kept:
            require_memory(
                4 * dim * (ARRAYS + kept * len(workers)),
                f"what {len(workers)} workers remember, {kept} arrays of {dim:,} numbers each,",
                "host fewer workers in one process",
            )

    @property
    def own_loop(self) -> bool:
        """Whether the updates come from a training loop of the user's own."""
        return self._loop is not None

    @property
    def can_evaluate(self) -> bool:
        """Whether an evaluation would begin now: a loop of the user's own evaluates between its steps."""
        return self._loop is None or self._loop.waits

    def status(self) -> dict[str, Any]:
        """Where this process stands in the run, as JSON; empty before it is joined."""
        if self.run is None:
            return {}
        return {
            "run": self.run.run_id.hex(),
            "workers": list(self.encoder.workers),
            "round": self.replica.round,
            "rounds": self.run.rounds,
            "codec": self.codec.spec,
            "optimizer": self.model.optimizer.spec,
            "private": self.codec.private,
            "uplink": _counted(self.sent),
            "downlink": _counted(self.received),
        }

    @property
    def sends_metrics(self) -> bool:
        """Whether losses and metrics may be sent."""
        return self.privacy.limits.allow_metrics(self.codec)

    @property
    def reports_metrics(self) -> bool:
        """Whether this process evaluates: on data of its own, or because the server named it."""
        return self.sends_metrics and self.reports.wanted

    @property
    def model(self) -> Model:
        """The replica's model."""
        return self.replica.model

    def close(self) -> None:
        """Let another process have the ledger."""
        self.privacy.close()

    def note_contact(self) -> None:
        """Remember that the server answered."""
        self._contact = True

    def pop_contact(self) -> bool:
        """Whether the server answered since the last call."""
        contact, self._contact = self._contact, False
        return contact


def _counted(traffic: wire_pb2.Traffic) -> dict[str, int]:
    names = ("messages", "payload_bytes", "message_bytes")
    return {name: getattr(traffic, name) for name in names}


def _is_continued(run: wire_pb2.Run, later: wire_pb2.Run) -> bool:
    """Whether two descriptions are of one run; its number of rounds may have grown in between."""
    grown = wire_pb2.Run()
    grown.CopyFrom(run)
    grown.rounds = later.rounds
    return grown == later
