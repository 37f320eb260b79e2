"""Private workers answer every round, and count as holding disjoint data only where they do."""

from pathlib import Path

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import NotFiniteError, PrivacyError, TaskError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.local import parse_local
from gradwire.common.transport.specs import run_to_message
from gradwire.proto import wire_pb2
from gradwire.worker.encoder import Encoder
from gradwire.worker.run_state import RunState
from gradwire.worker.tasks import Gradient
from gradwire.worker.updates import LocalUpdate
from tests.worker.setups import PRIVATE, ledger_for, model_at
from tests.worker.toy_tasks import DIM, Logistic

FAR = parse_local("local(steps=4, optimizer=sgd(lr=3e38))")


class Particular(Logistic):
    """The user's code raises at numbers that are not finite, as many loss functions do."""

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        if not np.isfinite(params).all():
            raise TaskError("the loss takes probabilities")
        return Gradient(10 * super().gradient(params, round=round, worker=worker).value, None, 1)


def test_local_steps_that_leave_float32_are_no_error_of_the_task() -> None:
    """The server chooses the rate, so whether a task raises would depend on the data."""
    source = LocalUpdate(Particular(), FAR)
    with pytest.raises(NotFiniteError, match=r"worker 0, round 0: .* not finite after 1 local steps"):
        source.update(model_at(0), round=0, worker=0)
    encoder = Encoder(source, parse(PRIVATE, DIM), 5, (0, 2), ledger=ledger_for(PRIVATE))
    assert len(encoder.encode(model_at(0), 0).payloads) == 2


def test_more_examples_than_can_be_sent_are_refused_in_one_line() -> None:
    config = RunConfig(
        task="least_squares(samples=32, dim=4)", codec="float32", workers=1, rounds=1, weighting="examples"
    )
    state = RunState()
    state.prepare(wire_pb2.Welcome(run=run_to_message(config, b"r" * 16), workers=[0]))
    encoded = state.encoder.encode(state.model, 0)
    assert state.weights(encoded) == (32,)
    object.__setattr__(encoded, "examples", (1 << 32,))
    with pytest.raises(TaskError, match="weighs 4294967296 examples in round 0, at most 4294967295"):
        state.weights(encoded)


LOADER = """
import torch, gradwire
def make(site):
    data = torch.utils.data.TensorDataset(torch.ones(8, 2), torch.zeros(8, dtype=torch.long))
    train = torch.utils.data.DataLoader(data, batch_size=4) if {loader} else data
    return gradwire.TorchProblem(torch.nn.Linear(2, 2), torch.nn.functional.cross_entropy, train)
"""


@pytest.mark.parametrize(
    ("loader", "workers", "refused"), [(True, 2, True), (True, 1, False), (False, 2, False)]
)
def test_workers_that_share_a_loader_are_no_private_run(
    loader: bool, workers: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger counts the busiest worker; here each sample would be in the payloads of both."""
    pytest.importorskip("torch")
    name = f"loader_{loader}_{workers}"
    (tmp_path / f"{name}.py").write_text(LOADER.format(loader=loader), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    config = RunConfig(task=f"torch({name}:make)", codec="private_top(epsilon=4)", workers=workers, rounds=1)
    welcome = wire_pb2.Welcome(run=run_to_message(config, b"r" * 16), workers=range(workers))
    state = RunState([f"{name}:make"])
    if refused:
        with pytest.raises(PrivacyError, match="same samples to all 2 workers of this process"):
            state.prepare(welcome)
    else:
        state.prepare(welcome)
    state.close()
