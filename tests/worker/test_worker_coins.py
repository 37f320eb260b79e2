"""Private payloads do not follow from the run's seed, which the server knows; others do."""

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.worker.encoder import Encoder
from gradwire.worker.tasks import Gradient

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
    return Encoder(Ones(), parse(spec, DIM), seed=5, workers=(0, 1))


@pytest.mark.parametrize(
    "spec",
    ["cpsgd", "simplex(gain=bound(1.0), repeats=30)", "rotated(3, hadamard(gain=bound(1.0), repeats=30))"],
)
def test_private_payloads_are_not_reproducible(spec: str) -> None:
    params = Ones().initial()
    first = encoder(spec)
    batch = first.encode(params, 0)
    assert len(set(batch.payloads)) == 2
    assert encoder(spec).encode(params, 0).payloads != batch.payloads
    assert first.encode(params, 0) is batch, "a retry must send the same bytes"


def test_other_payloads_are_reproducible() -> None:
    params = Ones().initial()
    spec = "simplex(repeats=30)"
    assert encoder(spec).encode(params, 0).payloads == encoder(spec).encode(params, 0).payloads
