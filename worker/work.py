"""What outlives a connection: the task, the replica, the payloads of the open round."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from pathlib import Path

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.system.memory import require_fits
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.transport.specs import spec_from_message
from gradwire.proto import wire_pb2
from gradwire.worker.gradients import Encoder
from gradwire.worker.memories import Memories
from gradwire.worker.privacy import Limits, Privacy
from gradwire.worker.replica import Replica
from gradwire.worker.tasks import Task, build_task

TOLD_STREAMS = 64  # that broke one after the other, before a server could be told


class Work:
    """A worker process's part in one run."""

    def __init__(
        self, allow_import: Collection[str] = (), state_dir: Path | None = None, limits: Limits | None = None
    ) -> None:
        self.privacy = Privacy(limits or Limits(), state_dir)
        self._allow_import = allow_import
        self._state_dir = state_dir
        self._contact = False
        self.finished = False  # the last round is folded and checked
        self.said = False  # the server was told so, though it may not have heard it
        self.evaluated = -1  # the round that was evaluated last
        self.report: wire_pb2.Report | None = None  # what came of it
        # What was counted on streams that broke, until a server has heard of it.
        self.broken: deque[wire_pb2.StreamCount] = deque(maxlen=TOLD_STREAMS)
        self.run: wire_pb2.Run | None = None
        self.task: Task
        self.codec: AnyCodec
        self.replica: Replica
        self.encoder: Encoder

    def prepare(self, welcome: wire_pb2.Welcome) -> None:
        """Build task and replica for a run, unless they are this run's already; loads the data.

        Raises:
            GradwireError: the task, codec or optimizer cannot be built here.
        """
        run = welcome.run
        workers = tuple(welcome.workers)
        if self.run is None or self.run != run:
            spec = spec_from_message(run.task)
            self.task = build_task(spec, workers=run.workers, seed=run.seed, allow_import=self._allow_import)
            require_fits(self.task.dim, str(spec))
            self.codec = parse(spec_from_message(run.codec), self.task.dim)
            optimizer = parse_optimizer(spec_from_message(run.optimizer))
            self.replica = Replica(self.task.initial(), self.codec, optimizer, run)
            self.run, self.report, self.evaluated = run, None, -1
            self.encoder = self._encoder(run, workers)
        elif self.encoder.workers != workers:
            self.encoder = self._encoder(run, workers)

    def _encoder(self, run: wire_pb2.Run, workers: tuple[int, ...]) -> Encoder:
        memories = Memories(self.codec, run.run_id, workers, self._state_dir) if run.error_feedback else None
        ledger = self.privacy.admit(run, self.codec, workers)
        return Encoder(self.task, self.codec, run.seed, workers, memories, ledger)

    @property
    def reports(self) -> bool:
        """Whether losses and metrics are sent."""
        return self.privacy.limits.reports(self.codec)

    @property
    def model(self) -> Model:
        """The replica's model."""
        return self.replica.model

    def close(self) -> None:
        """Let another process have the ledger."""
        self.privacy.close()

    def touch(self) -> None:
        """The server answered."""
        self._contact = True

    def take_contact(self) -> bool:
        """Whether the server answered since this was last asked."""
        contact, self._contact = self._contact, False
        return contact
