"""One round of local steps: each variant against a few plain lines of NumPy, bit for bit."""

from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import LogError, SpecError
from gradwire.common.training.local import parse_local
from gradwire.common.training.model import CONTROL, Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.tasks import Gradient
from gradwire.worker.updates import LocalUpdate, TaskGradient
from gradwire.worker.updates.controls import Controls
from tests.worker.toy_tasks import DIM, Logistic, Still, WithStatistics

H = 4


def model_of(task: Any, round_: int = 0) -> Model:
    model = Model(task.initial(), parse_optimizer("sgd(lr=1.0)"))
    model.round = round_
    return model


def source_of(task: Any, arguments: str) -> LocalUpdate:
    return LocalUpdate(task, parse_local(f"local(steps={H}, {arguments})"))


def gradient(task: Any, x: np.ndarray, step: int, worker: int = 1) -> np.ndarray:
    return task.gradient(x, round=step, worker=worker).value


def test_task_gradient_is_the_tasks_own() -> None:
    task = Logistic()
    given = TaskGradient(task).update(model_of(task), round=3, worker=1)
    own = task.gradient(task.initial(), round=3, worker=1)
    assert given.value.tobytes() == own.value.tobytes()
    assert (given.loss, given.examples) == (own.loss, own.examples)


def test_plain_steps() -> None:
    task = Logistic()
    given = source_of(task, "optimizer=sgd(lr=0.3)").update(model_of(task), round=2, worker=1)
    x, losses = task.initial(), []
    for step in range(2 * H, 3 * H):
        losses.append(task.gradient(x, round=step, worker=1).loss)
        x = x - np.float32(0.3) * gradient(task, x, step)
    assert given.value.dtype == np.float32 and given.value.tobytes() == (task.initial() - x).tobytes()
    assert given.loss == sum(losses) / H and given.examples == 5 * H


def test_prox_pulls_back_to_the_model() -> None:
    task = Logistic()
    given = source_of(task, "optimizer=sgd(lr=0.3), prox=0.5").update(model_of(task), round=0, worker=1)
    w = x = task.initial()
    for step in range(H):
        x = x - np.float32(0.3) * (gradient(task, x, step) + np.float32(0.5) * (x - w))
    assert given.value.tobytes() == (w - x).tobytes()


def test_clip_bounds_each_step() -> None:
    task = Logistic()
    given = source_of(task, "optimizer=sgd(lr=0.3), clip=0.25").update(model_of(task), round=0, worker=1)
    x, lengths = task.initial(), []
    for step in range(H):
        g = gradient(task, x, step)
        length = float(np.sqrt(np.sum(g.astype(np.float64) ** 2)))
        lengths.append(length)
        x = x - np.float32(0.3) * (g * np.float32(0.25 / length) if length > 0.25 else g)
    assert max(lengths) > 0.25, "no step was clipped"
    assert given.value.tobytes() == (task.initial() - x).tobytes()
    assert np.linalg.norm(given.value) <= H * 0.3 * 0.25 * (1 + 1e-6)


def test_clip_leaves_prox_alone() -> None:
    """Only the data's gradient is clipped: the pull back to the model is not."""
    task = Logistic()
    given = source_of(task, "optimizer=sgd(lr=0.3), clip=0.25, prox=2.0").update(
        model_of(task), round=0, worker=1
    )
    w = x = task.initial()
    for step in range(H):
        g = gradient(task, x, step)
        length = float(np.sqrt(np.sum(g.astype(np.float64) ** 2)))
        g = g * np.float32(0.25 / length) if length > 0.25 else g
        x = x - np.float32(0.3) * (g + np.float32(2.0) * (x - w))
    assert given.value.tobytes() == (w - x).tobytes()


def test_averaged_coordinates_take_their_differences_at_rate_one() -> None:
    """Neither the inner rate nor clip nor prox reach them."""
    task = WithStatistics()
    given = source_of(task, "optimizer=sgd(lr=0.3), clip=0.01, prox=9.0").update(
        model_of(task), round=0, worker=1
    )
    running = task.initial()[-2:]
    for step in range(H):
        running = running - np.float32(0.1) * (running - np.float32([step, 1]))
    assert given.value[-2:].tobytes() == (task.initial()[-2:] - running).tobytes()
    assert np.linalg.norm(given.value[:-2]) > 0


@pytest.mark.parametrize(
    "arguments", ["optimizer=sgd(lr=0.3)", "optimizer=sgd(lr=1.0, momentum=0.9), prox=1.0"]
)
def test_steps_that_change_nothing_give_exactly_zero(arguments: str) -> None:
    task = Still()
    given = source_of(task, arguments).update(model_of(task), round=0, worker=0)
    assert not given.value.any() and given.loss is None and given.examples == H


def test_gradient_that_aliases_the_parameters_is_not_disturbed() -> None:
    class Quadratic(Logistic):
        def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
            return Gradient(params, 0.0, 1)  # of |x|^2 / 2

    task = Quadratic()
    given = source_of(task, "optimizer=sgd(lr=0.5)").update(model_of(task), round=0, worker=0)
    assert given.value.tobytes() == (task.initial() - task.initial() * np.float32(0.5**H)).tobytes()


# ---- the inner optimizer's state ----------------------------------------------------------------------------


def plain_momentum(task: Any, x: np.ndarray, velocity: np.ndarray, round_: int) -> tuple[Any, Any]:
    for step in range(round_ * H, (round_ + 1) * H):
        velocity = np.float32(0.9) * velocity + gradient(task, x, step)
        x = x - np.float32(0.1) * velocity
    return x, velocity


@pytest.mark.parametrize("inner", ["reset", "kept"])
def test_state_is_reset_or_kept(inner: str) -> None:
    task, w, velocity = Logistic(), Logistic().initial(), np.zeros(DIM, np.float32)
    source = source_of(task, f"optimizer=sgd(lr=0.1, momentum=0.9), inner={inner}")
    for round_ in range(3):
        given = source.update(model_of(task, round_), round=round_, worker=1).value
        before = velocity if inner == "kept" else np.zeros(DIM, np.float32)
        x, velocity = plain_momentum(task, w, before, round_)
        assert given.tobytes() == (w - x).tobytes()
    assert source.remembers is bool(source.state(1)) is (inner == "kept")


@pytest.mark.parametrize("inner", ["reset", "kept"])
def test_schedule_follows_the_steps_of_the_run(inner: str) -> None:
    task = Logistic()
    source = source_of(task, f"optimizer=sgd(lr=0.3, schedule=inverse_sqrt), inner={inner}")
    given = source.update(model_of(task), round=5, worker=1).value  # its first round, too
    x = task.initial()
    for step in range(5 * H, 6 * H):
        x = x - np.float32(0.3 / (step + 1) ** 0.5) * gradient(task, x, step)
    assert given.tobytes() == (task.initial() - x).tobytes()


def test_kept_state_is_restored_bit_for_bit() -> None:
    task, arguments = Logistic(), "optimizer=sgd(lr=0.1, momentum=0.9), inner=kept"
    whole, first, again = (source_of(task, arguments) for _ in range(3))
    model = model_of(task)
    updates = [whole.update(model, round=t, worker=1).value for t in range(3)]
    first.update(model, round=0, worker=1)
    kept = first.state(1)
    bits = {name: array.tobytes() for name, array in kept.items()}
    first.update(model, round=1, worker=1)
    assert {name: array.tobytes() for name, array in kept.items()} == bits, "a later round wrote to a state"
    again.restore(1, kept)
    assert [again.update(model, round=t, worker=1).value.tobytes() for t in (1, 2)] == [
        u.tobytes() for u in updates[1:]
    ]
    again.restore(1, kept)  # as for a round that has to be computed again
    assert again.update(model, round=1, worker=1).value.tobytes() == updates[1].tobytes()


def test_state_before_the_first_round_is_restored() -> None:
    task, arguments = Logistic(), "optimizer=sgd(lr=0.1, momentum=0.9), inner=kept"
    source = source_of(task, arguments)
    beginning = source.state(1)
    first = source.update(model_of(task), round=0, worker=1).value
    source.restore(1, beginning)
    assert source.update(model_of(task), round=0, worker=1).value.tobytes() == first.tobytes()


def test_state_of_another_optimizer_is_refused() -> None:
    task = Logistic()
    source = source_of(task, "optimizer=sgd(lr=0.1, momentum=0.9), inner=kept")
    source.restore(1, {"inner.steps": np.array([4]), "inner.exp_avg": np.zeros(DIM, np.float32)})
    with pytest.raises(LogError, match=r"has no velocity of \[6\]"):
        source.update(model_of(task), round=1, worker=1)


# ---- control variates ---------------------------------------------------------------------------------------


def test_scaffold_corrects_by_the_control_variates() -> None:
    task, server = Logistic(), np.linspace(1, 2, DIM, dtype=np.float32)
    source = source_of(task, "optimizer=sgd(lr=0.25), scaffold=true")
    own, model = np.zeros(DIM, np.float32), model_of(task)
    model.state[CONTROL] = server
    for round_ in range(3):
        given = source.update(model, round=round_, worker=1).value
        w = x = task.initial()
        for step in range(round_ * H, (round_ + 1) * H):
            x = x - np.float32(0.25) * (gradient(task, x, step) + (server - own))
        assert given.tobytes() == (w - x).tobytes()
        carried = given + np.float32(0.5)  # what a payload makes of it
        source.follow(model, round=round_, worker=1, carried=carried)
        own = own + (carried * np.float32(1 / (H * 0.25)) - server)
        assert source.state(1)[CONTROL].tobytes() == own.tobytes()


def test_scaffold_needs_the_servers_control_variate() -> None:
    task = Logistic()
    with pytest.raises(SpecError, match="no control variate for scaffold"):
        source_of(task, "optimizer=sgd(lr=0.25), scaffold=true").update(model_of(task), round=0, worker=1)


def changed(controls: Controls, *rounds: int) -> Controls:
    for round_ in rounds:
        controls.advance(0, round_, np.full(DIM, round_ + 1, np.float32), np.full(DIM, 2, np.float32))
    return controls


def test_change_is_damped() -> None:
    whole, damped = changed(Controls(DIM, 0.1), 0), changed(Controls(DIM, 0.1, 0.25), 0)
    assert damped.value(0).tobytes() == (whole.value(0) / 4).tobytes()


def test_round_without_the_worker_is_taken_back() -> None:
    controls = changed(Controls(DIM, 0.1), 0)
    before = controls.value(0)
    assert changed(controls, 1).take_back(0, 1)
    assert controls.value(0).tobytes() == before.tobytes()
    assert not controls.take_back(0, 1), "once"


def test_only_the_last_round_is_taken_back() -> None:
    """Before a worker computes another round it knows whether the last one was counted."""
    controls = changed(Controls(DIM, 0.1), 4, 5)
    before = controls.value(0)
    assert not controls.take_back(0, 4) and controls.value(0) is before


def test_last_change_survives_a_restart() -> None:
    controls, again = changed(Controls(DIM, 0.1), 4, 5), Controls(DIM, 0.1)
    again.restore(0, controls.state(0))
    assert again.value(0).tobytes() == controls.value(0).tobytes()
    assert again.take_back(0, 5) and not again.take_back(0, 4)
    assert again.value(0).tobytes() == changed(Controls(DIM, 0.1), 4).value(0).tobytes()
