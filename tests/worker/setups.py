"""Processes of two workers that remember something, in each of the ways there are."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gradwire.common.codecs import parse
from gradwire.common.privacy.budget import Run
from gradwire.common.training.local import parse_local
from gradwire.common.training.model import CONTROL, Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.encoder import Encoder
from gradwire.worker.privacy import Ledger
from gradwire.worker.records import Records, owner_of
from gradwire.worker.updates import LocalUpdate, TaskGradient
from tests.worker.toy_tasks import DIM, Logistic, WithBuffers

MOMENTUM = "optimizer=sgd(lr=0.1, momentum=0.9), inner=kept"
PRIVATE = "private_top(epsilon=40, repeats=8)"
WORKERS = (0, 2)


@dataclass
class Setup:
    """How a process of two workers computes, and where it keeps their records."""

    local: str = ""
    codec: str = "float32"
    feedback: bool = False
    task: type[Logistic] = Logistic
    folder: Path | None = None

    def encoder(self, ledger: Ledger | None = None) -> Encoder:
        """A process that starts, or starts again."""
        task, codec = self.task(), parse(self.codec, DIM)
        local = parse_local(f"local(steps=3, {self.local})") if self.local else None
        source = LocalUpdate(task, local) if local is not None else TaskGradient(task)
        owner = owner_of(b"run", codec, local, feedback=self.feedback)
        records = Records(self.folder, owner) if self.folder is not None else None
        return Encoder(source, codec, 5, WORKERS, feedback=self.feedback, records=records, ledger=ledger)


def model_at(round_: int, shift: float = 0.0) -> Model:
    """The server's model of a round; ``shift`` for one that is not."""
    model = Model(np.linspace(-1, 1 + round_ + shift, DIM, dtype=np.float32), parse_optimizer("sgd"))
    model.state[CONTROL] = np.full(DIM, 0.1 * round_, np.float32)
    model.round = round_
    return model


def state(encoder: Encoder) -> list[dict[str, bytes]]:
    """The bits of each worker's memories."""
    return [{n: np.asarray(a).tobytes() for n, a in m._state().items()} for m in encoder._memories]


SETUPS = {
    "plain": Setup(),
    "feedback": Setup(codec="top_k(2)", feedback=True),
    "reset": Setup("optimizer=sgd(lr=0.1)"),
    "kept": Setup(MOMENTUM),
    "kept and feedback": Setup(MOMENTUM, codec="top_k(2)", feedback=True),
    "scaffold": Setup("optimizer=sgd(lr=0.1), scaffold=true"),
    "scaffold and feedback": Setup("optimizer=sgd(lr=0.1), scaffold=true", codec="sign", feedback=True),
    "buffers": Setup(task=WithBuffers),
    "buffers and kept": Setup(MOMENTUM, task=WithBuffers),
    "coins": Setup(MOMENTUM, codec="cross_polytope(repeats=3)"),
}


def placed(setup: Setup, folder: Path) -> Setup:
    """The same with its records in a folder."""
    return replace(setup, folder=folder)


def ledger_for(codec: str, folder: Path | None = None) -> Ledger:
    """An open ledger that admits these workers with that codec."""
    ledger, built = Ledger(folder), parse(codec, DIM)
    ledger.admit(Run(b"run", built.fingerprint, built.epsilon, frozenset(WORKERS)))
    return ledger
