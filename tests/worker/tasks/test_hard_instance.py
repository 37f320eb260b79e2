"""The hard instances of [S] section 6: the oracle's law, its norm, and the exact gap."""

import math
from typing import cast

import numpy as np
import pytest

from gradwire.common.errors import SpecError
from gradwire.common.training.config import RunConfig
from gradwire.deploy.in_process.run import train
from gradwire.worker.tasks import build_task, parse_task
from gradwire.worker.tasks.kinds.hard_instance import HardInstanceTask


def task(text: str, seed: int = 0) -> HardInstanceTask:
    return cast(HardInstanceTask, build_task(text, workers=1, seed=seed))


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 4.0, math.inf])
def test_gradients_have_norm_one_and_the_gap_at_zero_is_a_half(p: float) -> None:
    q = math.inf if p == 1 else p / (p - 1) if p < math.inf else 1.0
    for law in ("product", "axes") if p >= 2 else ("product",):
        made = task(f"hard_instance(dim=30, p={p}, law={law})")
        value = made.gradient(made.initial(), round=3, worker=0).value
        assert np.linalg.norm(value.astype(float), q) == pytest.approx(1.0, rel=1e-6)
        # With s = dim the axes' function is flatter by dim^(1/q - 1) = dim^(-1/p).
        at_zero = 0.5 * (30 ** (-1 / p) if law == "axes" else 1)
        assert made.evaluate(made.initial())["gap"] == pytest.approx(at_zero)
        best = (-made.half_side * made.signs).astype(np.float32)
        assert made.evaluate(best)["gap"] == pytest.approx(0.0, abs=1e-7)
        assert made.evaluate(-best)["gap"] == pytest.approx(2 * at_zero)


@pytest.mark.parametrize("law", ["product", "axes"])
def test_gradients_have_the_mean_of_the_function(law: str) -> None:
    made = task(f"hard_instance(dim=8, p=2.0, law={law})", seed=4)
    values = np.array([made.gradient(made.initial(), round=t, worker=0).value for t in range(20_000)], float)
    error = values.std(axis=0) / math.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - 0.5 * made.step * made.signs) < 5 * error).all()
    slope = made.evaluate(np.eye(8, dtype=np.float32)[2])["gap"] - made.evaluate(made.initial())["gap"]
    assert slope == pytest.approx(0.5 * made.step * made.signs[2])


def test_other_seeds_have_other_minima() -> None:
    assert (task("hard_instance", 1).signs != task("hard_instance", 2).signs).any()


@pytest.mark.parametrize(
    "text",
    [
        "hard_instance(p=0.5)",
        "hard_instance(law=normal)",
        "hard_instance(p=1.5, law=axes)",
        "hard_instance(0)",
    ],
)
def test_bad_parameters(text: str) -> None:
    with pytest.raises(SpecError, match="expected") as caught:
        parse_task(text)
    assert "\n" not in str(caught.value)


def test_the_mean_iterate_is_evaluated() -> None:
    """A run to the corner: the last iterate is there, and the gap that the summary shows is that of the mean."""
    config = RunConfig(
        task="hard_instance(dim=4, p=inf)", workers=1, rounds=300, evaluate_every=0, codec="float32",
        optimizer="averaged(projected_sgd(lr=0.5, radius=1.0, p=inf))",
    )  # fmt: skip
    trained = train(config)
    made = task("hard_instance(dim=4, p=inf)")
    gap = trained.summary["history"][-1]["gap"]
    assert 0.0 < gap < 0.2 and gap != made.evaluate(trained.params)["gap"]
