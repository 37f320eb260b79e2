"""Whole algorithms with local steps: rounds through encoder, codec and model against plain NumPy, bit for bit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.training.local import control_damping, parse_local
from gradwire.common.training.model import CONTROL, Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.training.optimizers.portable import power
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.worker.encoder import Encoder
from gradwire.worker.tasks import Gradient
from gradwire.worker.updates import LocalUpdate
from tests.worker.toy_tasks import DIM, Logistic

H, N, ROUNDS = 4, 3, 6
F32 = np.float32
EVERYBODY = [tuple(range(N))] * ROUNDS
SOME = [(0, 2), (1,), (0, 1, 2), (2,), (0, 1), (1, 2)]
cohorts = pytest.mark.parametrize("cohorts", [EVERYBODY, SOME], ids=["everybody", "some"])


class Training:
    """A run without server and wire: one encoder per worker, and the model that folds their payloads."""

    def __init__(
        self, local: str, task: Logistic | None = None, codec: str = "float32", feedback: bool = False
    ) -> None:
        self.task, self.codec = task or Logistic(N), parse(codec, DIM)
        steps = parse_local(f"local(steps={H}, {local})")
        damping = control_damping(steps, self.codec, feedback=feedback)
        self.model = Model(
            self.task.initial(),
            parse_optimizer("sgd(lr=1.0)"),
            control_rate=steps.control_rate,
            control_damping=damping,
        )
        self.encoders = [
            Encoder(
                LocalUpdate(self.task, steps, control_damping=damping), self.codec, 0, (i,), feedback=feedback
            )
            for i in range(N)
        ]

    def round(self, cohort: Sequence[int], late: Sequence[int] = ()) -> None:
        """One round of these workers; those that are ``late`` compute it and are not counted."""
        t = self.model.round
        for worker in late:
            self.encoders[worker].encode(self.model, t)
        payloads = [self.encoders[worker].encode(self.model, t).payloads[0] for worker in cohort]
        record = RoundRecord(t, tuple(cohort), tuple(payloads))
        self.model.apply(aggregate(self.codec, 0, record), len(cohort) / N)
        for worker in late:
            self.encoders[worker].add_back(t)

    def control(self, worker: int) -> np.ndarray:
        state: dict[str, Any] = self.encoders[worker]._source.state(worker)
        return state[CONTROL]


def mean(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """As the server takes it: added up in float64, in worker order."""
    return (sum(vector.astype(np.float64) for vector in vectors) / len(vectors)).astype(F32)


def gradient(x: np.ndarray, step: int, worker: int) -> np.ndarray:
    return Logistic(N).gradient(x, round=step, worker=worker).value


# ---- plain reimplementations: each a generator of the models after every round -------------------------------


def fedavg(cohorts: Sequence[Sequence[int]], lr: float, mu: float = 0.0) -> Any:
    """[FedAvg] Algorithm 1; with mu, [FedProx] Algorithm 2."""
    w = Logistic(N).initial()
    for t, cohort in enumerate(cohorts):
        drifts = []
        for i in cohort:
            x = w
            for h in range(H):
                g = gradient(x, t * H + h, i)
                x = x - F32(lr) * (g + F32(mu) * (x - w) if mu else g)
            drifts.append(w - x)
        w = w - mean(drifts)
        yield w


def scaffold(cohorts: Sequence[Sequence[int]], lr: float) -> Any:
    """[Scaffold] Algorithm 1, option II, global step size 1."""
    w, c, own = Logistic(N).initial(), np.zeros(DIM, F32), [np.zeros(DIM, F32) for _ in range(N)]
    for t, cohort in enumerate(cohorts):
        drifts, before = [], c
        for i in cohort:
            x = w
            for h in range(H):
                x = x - F32(lr) * (gradient(x, t * H + h, i) + (before - own[i]))
            drifts.append(w - x)
            own[i] = own[i] + ((w - x) * F32(1 / (H * lr)) - before)
        c = c + F32(len(cohort) / N) * (mean(drifts) * F32(1 / (H * lr)) - c)
        w = w - mean(drifts)
        yield w, c, own


def local_momentum(cohorts: Sequence[Sequence[int]], lr: float, beta: float) -> Any:
    """Heavy-ball momentum inside, kept from round to round."""
    w, velocity = Logistic(N).initial(), [np.zeros(DIM, F32) for _ in range(N)]
    for t, cohort in enumerate(cohorts):
        drifts = []
        for i in cohort:
            x = w
            for h in range(H):
                velocity[i] = F32(beta) * velocity[i] + gradient(x, t * H + h, i)
                x = x - F32(lr) * velocity[i]
            drifts.append(w - x)
        w = w - mean(drifts)
        yield w


def local_adamw(cohorts: Sequence[Sequence[int]], lr: float, decay: float, *, kept: bool) -> Any:
    """AdamW inside, in float64 from float32 arrays as ``adamw`` states."""
    w, arrays = Logistic(N).initial(), {i: (np.zeros(DIM, F32), np.zeros(DIM, F32), 0) for i in range(N)}
    for t, cohort in enumerate(cohorts):
        drifts = []
        for i in cohort:
            x, (m, v, n) = w, arrays[i]
            for h in range(H):
                g, n = gradient(x, t * H + h, i).astype(float), n + 1
                second = v.astype(float) * 0.999 + g * g * (1 - 0.999)
                first = m.astype(float) * 0.9 + g * (1 - 0.9)
                root = np.sqrt(second) / np.sqrt(1 - power(0.999, n)) + 1e-8
                x = (x.astype(float) * (1 - lr * decay) - first / root * (lr / (1 - power(0.9, n)))).astype(
                    F32
                )
                m, v = first.astype(F32), second.astype(F32)
            drifts.append(w - x)
            arrays[i] = (m, v, n) if kept else arrays[i]
        w = w - mean(drifts)
        yield w


@cohorts
@pytest.mark.parametrize(
    ("local", "plain"),
    [
        ("optimizer=sgd(lr=0.3)", lambda cohorts: fedavg(cohorts, 0.3)),
        ("optimizer=sgd(lr=0.3), prox=0.5", lambda cohorts: fedavg(cohorts, 0.3, 0.5)),
        (
            "optimizer=sgd(lr=0.1, momentum=0.9), inner=kept",
            lambda cohorts: local_momentum(cohorts, 0.1, 0.9),
        ),
        (
            "optimizer=adamw(lr=0.05, weight_decay=0.1), inner=kept",
            lambda cohorts: local_adamw(cohorts, 0.05, 0.1, kept=True),
        ),
        (
            "optimizer=adamw(lr=0.05, weight_decay=0.1)",
            lambda cohorts: local_adamw(cohorts, 0.05, 0.1, kept=False),
        ),
    ],
    ids=["FedAvg", "FedProx", "momentum", "AdamW kept", "AdamW reset"],
)
def test_models_are_those_of_a_plain_loop(local: str, plain: Any, cohorts: Any) -> None:
    training = Training(local)
    for cohort, w in zip(cohorts, plain(cohorts), strict=True):
        training.round(cohort)
        assert training.model.params.tobytes() == w.tobytes()


@cohorts
def test_scaffold_is_that_of_a_plain_loop(cohorts: Any) -> None:
    training = Training("optimizer=sgd(lr=0.25), scaffold=true")
    for cohort, (w, c, own) in zip(cohorts, scaffold(cohorts, 0.25), strict=True):
        training.round(cohort)
        assert training.model.params.tobytes() == w.tobytes()
        assert training.model.state[CONTROL].tobytes() == c.tobytes()
        assert [training.control(i).tobytes() for i in range(N)] == [each.tobytes() for each in own]
        np.testing.assert_allclose(c, np.mean(own, axis=0), atol=1e-6)


def test_worker_that_was_not_counted_is_one_that_took_no_part() -> None:
    training = Training("optimizer=sgd(lr=0.25), scaffold=true")
    for cohort, (w, _, own) in zip(SOME, scaffold(SOME, 0.25), strict=True):
        training.round(cohort, late=[i for i in range(N) if i not in cohort])
        assert training.model.params.tobytes() == w.tobytes()
        assert [training.control(i).tobytes() for i in range(N)] == [each.tobytes() for each in own]


def distance_after(rounds: int, local: str, codec: str = "float32", feedback: bool = False) -> float:
    """Of the model from the minimum of the mean objective."""
    training = Training(local, Quadratic(), codec, feedback)
    for _ in range(rounds):
        training.round(range(N))
    return float(np.linalg.norm(training.model.params - Quadratic.solution()))


class Quadratic(Logistic):
    """Worker i has |A_i (x - b_i)|^2 / 2 with a curvature of its own, and no noise."""

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        curvature = np.linspace(0.2, 1, DIM, dtype=F32) ** F32(worker)
        return Gradient(curvature * (params - F32(worker)), 0.0, 1)

    @staticmethod
    def solution() -> np.ndarray:
        curvatures = [np.linspace(0.2, 1, DIM) ** i for i in range(N)]
        return sum(i * a for i, a in enumerate(curvatures)) / sum(curvatures)


def test_scaffold_removes_the_drift_of_sites_that_differ() -> None:
    assert distance_after(200, "optimizer=sgd(lr=0.5)") > 0.05
    assert distance_after(200, "optimizer=sgd(lr=0.5), scaffold=true") < 1e-5


@pytest.mark.parametrize(
    ("codec", "feedback"),
    [
        ("rand_k(3)", False),
        ("cross_polytope(repeats=4)", False),
        ("qsgd(coding=fixed)", False),
        ("top_k(1)", True),
    ],
)
def test_scaffold_reaches_the_optimum_through_few_bits(codec: str, feedback: bool) -> None:
    """Payloads of sites that differ do not vanish at the optimum without it; their errors must not stay in c."""
    assert distance_after(400, "optimizer=sgd(lr=0.2)", codec, feedback) > 0.02
    assert distance_after(400, "optimizer=sgd(lr=0.2), scaffold=true", codec, feedback) < 1e-4


@pytest.mark.parametrize("codec", ["rand_k(3)", "cross_polytope(repeats=4)", "float32"])
def test_control_variate_is_the_mean_of_the_workers(codec: str) -> None:
    """Whatever the payloads carry, with workers that are missing or late."""
    training = Training("optimizer=sgd(lr=0.1), scaffold=true", codec=codec)
    for cohort in 5 * SOME:
        training.round(cohort, late=[i for i in range(N) if i not in cohort])
    own = [training.control(i) for i in range(N)]
    assert np.linalg.norm(own) > 0.1
    np.testing.assert_allclose(training.model.state[CONTROL], np.mean(own, axis=0), atol=1e-5)
