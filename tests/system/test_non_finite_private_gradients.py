"""A private worker answers every round alike: a failed encoding would disclose something of its data."""

import logging
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import GradwireError, NotFiniteError, TaskError
from gradwire.common.privacy.budget import Run
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.encoder import Encoder
from gradwire.worker.privacy import Ledger
from gradwire.worker.tasks import Gradient
from gradwire.worker.tasks.base import checked_loss
from gradwire.worker.updates import TaskGradient

DIM = 24
PARAMS = np.zeros(DIM, np.float32)
MODEL = Model(PARAMS, parse_optimizer("sgd"))
PRIVATE = "private_top(epsilon=40, repeats=8)"


class Given:
    """Worker 0 gives the value and loss that it is made with, worker 1 ones."""

    dim = DIM

    def __init__(self, value: Any, loss: float = 0.0) -> None:
        self.value, self.loss = value, loss

    def initial(self) -> np.ndarray:
        return PARAMS

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        if worker == 1:
            return Gradient(np.ones(DIM, np.float32), 0.5, 1)
        return Gradient(self.value, checked_loss(self.loss, round=round, worker=worker), 1)

    def evaluate(self, params: np.ndarray) -> dict[str, float]:
        return {}


def paid(task: Given, spec: str = PRIVATE) -> tuple[Encoder, Ledger]:
    codec, ledger = parse(spec, DIM), Ledger(None)
    ledger.admit(Run(b"run", codec.fingerprint, codec.epsilon, frozenset({0, 1})))
    return Encoder(TaskGradient(task), codec, 0, (0, 1), ledger=ledger), ledger


WILD = {
    "nan": Given(np.full(DIM, np.nan, np.float32)),
    "one infinity": Given(np.append(np.ones(DIM - 1, np.float32), np.float32(np.inf))),
    "a norm beyond float64": Given(np.full(DIM, 1e300)),
    "the loss alone": Given(np.ones(DIM, np.float32), np.inf),
}


@pytest.mark.parametrize("wild", WILD)
def test_gradient_without_encoding_is_sent_as_zero(wild: str, caplog: pytest.LogCaptureFixture) -> None:
    encoder, ledger = paid(WILD[wild])
    with caplog.at_level(logging.WARNING):
        batches = [encoder.encode(MODEL, round_) for round_ in range(3)]
    assert ledger.totals.pushes == 3
    assert all(len(p) == encoder._codec.nbytes for batch in batches for p in batch.payloads)
    assert all(batch.losses == () for batch in batches)
    assert len(caplog.records) == 3 and "worker 0, round 2" in caplog.text
    assert "zero is encoded in place of this gradient" in caplog.text


@pytest.mark.parametrize("wild", WILD)
def test_without_privacy_a_non_finite_gradient_is_an_error(wild: str) -> None:
    with pytest.raises(GradwireError, match="worker 0, round 0"):
        Encoder(TaskGradient(WILD[wild]), parse("cross_polytope", DIM), 0, (0, 1)).encode(MODEL, 0)


def test_payload_is_that_of_a_zero_gradient() -> None:
    """Hadamard rows are drawn uniformly for zero: with the coins given, the bytes are those of zero."""
    spec = "private(rr(0.5), hadamard)"

    class Fixed:
        secret = True

        def words(self, count: int) -> Any:
            return np.random.default_rng(7).integers(0, 2**64 - 1, count, np.uint64, endpoint=True)

        def uniforms(self, count: int) -> Any:
            return (self.words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    encoder, _ = paid(WILD["nan"], spec)
    encoder._coins = lambda worker, round_: Fixed()  # type: ignore[method-assign]
    zero = parse(spec, DIM).encode(np.zeros(DIM), Fixed())
    assert encoder.encode(MODEL, 0).payloads[0] == zero


@pytest.mark.parametrize("value", [np.ones(DIM + 1, np.float32), np.ones(DIM, np.int64)])
def test_wrong_shape_or_dtype_is_still_an_error(value: Any) -> None:
    encoder, ledger = paid(Given(value))
    with pytest.raises(TaskError, match="worker 0, round 0: the gradient has"):
        encoder.encode(MODEL, 0)
    assert ledger.totals.pushes == 0


def test_without_privacy_a_non_finite_loss_is_an_error() -> None:
    plain = Encoder(TaskGradient(WILD["the loss alone"]), parse("cross_polytope", DIM), 0, (0,))
    with pytest.raises(NotFiniteError, match="the training loss is inf; lower the learning rate"):
        plain.encode(MODEL, 0)
