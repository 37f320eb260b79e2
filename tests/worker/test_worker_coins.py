"""Private payloads do not follow from the run's seed, which the server knows; others do."""

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.encoder import Encoder
from gradwire.worker.tasks import Gradient
from gradwire.worker.updates import TaskGradient

DIM = 40


class Ones:
    """Every gradient is the same."""

    dim = DIM

    def initial(self) -> np.ndarray:
        return np.zeros(DIM, np.float32)

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        return Gradient(np.ones(DIM, np.float32), loss=0.0, examples=1)

    def evaluate(self, params: np.ndarray) -> dict[str, float]:
        return {}


def encoder(spec: str) -> Encoder:
    return Encoder(TaskGradient(Ones()), parse(spec, DIM), seed=5, workers=(0, 1))


@pytest.mark.parametrize(
    "spec",
    ["cpsgd", "simplex(gain=bound(1.0), repeats=30)", "rotated(3, hadamard(gain=bound(1.0), repeats=30))"],
)
def test_private_payloads_are_not_reproducible(spec: str) -> None:
    model = Model(Ones().initial(), parse_optimizer("sgd"))
    first = encoder(spec)
    batch = first.encode(model, 0)
    assert len(set(batch.payloads)) == 2
    assert encoder(spec).encode(model, 0).payloads != batch.payloads
    assert first.encode(model, 0) is batch, "a retry must send the same bytes"


def test_other_payloads_are_reproducible() -> None:
    model = Model(Ones().initial(), parse_optimizer("sgd"))
    spec = "simplex(repeats=30)"
    assert encoder(spec).encode(model, 0).payloads == encoder(spec).encode(model, 0).payloads
