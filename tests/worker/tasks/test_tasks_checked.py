"""A user's own task with a mistake: the error is one line that names the task and the remedy."""

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import NotFiniteError, TaskError
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.encoder import Encoder
from gradwire.worker.tasks import Gradient, Task, build_task
from gradwire.worker.updates import TaskGradient

DIM = 3
ZEROS = np.zeros(DIM, np.float32)
GOOD = Gradient(np.ones(DIM), 0.5, 2)


class Mine:
    """A task that answers whatever a test has put into it."""

    def __init__(self, **answers: Any) -> None:
        self.dim = answers.get("dim", DIM)
        self._answers = {"initial": ZEROS, "gradient": GOOD, "evaluate": {}, **answers}

    def _answer(self, name: str) -> Any:
        answer = self._answers[name]
        return answer() if callable(answer) else answer

    def initial(self) -> Any:
        return self._answer("initial")

    def gradient(self, params: Any, *, round: int, worker: int) -> Any:
        return self._answer("gradient")

    def evaluate(self, params: Any) -> Any:
        return self._answer("evaluate")


Build = Callable[..., Task]


@pytest.fixture
def build() -> Iterator[Build]:
    """Build a custom task from a factory as if it stood in a user's module."""
    module = types.ModuleType("a_users_mistakes")
    sys.modules["a_users_mistakes"] = module

    def make(factory: Callable[..., Any]) -> Task:
        module.make = factory  # type: ignore[attr-defined]
        target = "a_users_mistakes:make"
        return build_task(f"custom({target})", workers=2, seed=0, allow_import=[target])

    yield make
    del sys.modules["a_users_mistakes"]


def mine(**answers: Any) -> Callable[..., Mine]:
    return lambda workers, seed: Mine(**answers)


def raises() -> Any:
    raise KeyError("no such\ncolumn")


def refused(call: Callable[[], Any], kind: type[Exception] = TaskError) -> str:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def of(**fields: Any) -> Gradient:
    return Gradient(**{"value": np.ones(DIM), "loss": 0.5, "examples": 2, **fields})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (of(examples=None), "examples=None, expected a whole number of at least 1"),
        (of(examples=1.5), "examples=1.5, expected"),
        (of(examples=True), "examples=True, expected"),
        (of(examples=0), "examples=0, expected"),
        (of(examples=1 << 32), "examples=4294967296, expected"),
        (of(loss="low"), "the loss 'low', expected a number or None"),
        (of(loss=np.ones(2)), "the loss float64 [2], expected a number or None"),
        (of(loss=1j), "the loss a complex, expected a number"),
        (of(value=np.ones(DIM + 1)), "the value float64 [4], expected an array [3]"),
        (of(value=np.ones((DIM, 1))), "the value float64 [3, 1], expected an array [3]"),
        (of(value=[1.0, 2.0, 3.0]), "the value a list, expected an array [3]"),
        (np.ones(DIM), "returned float64 [3], expected gradwire.Gradient(value, loss, examples)"),
        ((np.ones(DIM), 0.5), "returned a tuple, expected gradwire.Gradient"),
        (None, "returned None, expected gradwire.Gradient"),
        (raises, "raised KeyError: 'no such"),
    ],
)  # fmt: skip
def test_invalid_gradients(answer: Any, words: str, build: Build) -> None:
    task = build(mine(gradient=answer))
    said = refused(lambda: task.gradient(ZEROS, round=7, worker=1))
    assert said.startswith("a_users_mistakes:make: gradient(round=7, worker=1) ")
    assert words in said, said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (np.zeros(DIM + 2, np.float32), "returned float32 [5], expected float32 [3]"),
        (np.zeros((1, DIM)), "returned float64 [1, 3], expected float32 [3]"),
        (np.array(["a", "b", "c"]), "expected float32 [3]"),
        (None, "expected float32 [3]"),
        (np.array([1.0, np.nan, 0.0]), "numbers that are not finite"),
        (np.array([1.0, 1e39, 0.0]), "numbers that are not finite"),
        (raises, "raised KeyError"),
    ],
)
def test_invalid_initial_models(answer: Any, words: str, build: Build) -> None:
    said = refused(build(mine(initial=answer)).initial)
    assert said.startswith("a_users_mistakes:make: initial() ") and words in said, said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "returned None, expected numbers by name"),
        (0.5, "returned 0.5, expected numbers by name"),
        ({1: 0.5}, "expected numbers by name"),
        ({"accuracy": "high"}, "returned accuracy 'high', expected a number"),
        ({"accuracy": None}, "returned accuracy None, expected a number"),
        ({f"m{i}": 0.0 for i in range(65)}, "more than 64"),
        ({"x" * 65: 0.0}, "longer"),
        (raises, "raised KeyError"),
    ],
)
def test_invalid_measures(answer: Any, words: str, build: Build) -> None:
    said = refused(lambda: build(mine(evaluate=answer)).evaluate(ZEROS))
    assert said.startswith("a_users_mistakes:make: evaluate() ") and words in said, said


def wants_a_path(path: str, seed: int) -> Mine:
    return Mine()


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (
            wants_a_path,
            "needs path, which it is not given: a factory may take any of seed, workers, site by name",
        ),
        (lambda seed, /: Mine(seed=seed), "needs seed, which it is not given"),
        (lambda workers, seed: raises(), "raised KeyError"),
        (mine(dim=2.5), "dim 2.5, expected a whole number"),
        (mine(dim=True), "dim True, expected a whole number"),
    ],
)
def test_invalid_factories(factory: Callable[..., Any], words: str, build: Build) -> None:
    assert words in refused(lambda: build(factory))


def test_numpy_numbers_are_accepted(build: Build) -> None:
    task = build(
        mine(
            dim=np.int64(DIM),
            initial=[1, 2, 3],
            gradient=of(loss=np.float32(0.5), examples=np.int32(4), value=np.ones(DIM, np.float32)),
            evaluate={"accuracy": np.array([0.75]), "count": 3},
        )
    )
    assert task.dim == DIM and task.initial().dtype == np.float32
    given = task.gradient(ZEROS, round=0, worker=0)
    assert (given.loss, given.examples) == (0.5, 4) and type(given.examples) is int
    assert task.evaluate(ZEROS) == {"accuracy": 0.75, "count": 3.0}


@pytest.mark.parametrize("loss", [np.nan, np.inf, -1e39])
def test_non_finite_loss(loss: float, build: Build) -> None:
    task = build(mine(gradient=of(loss=loss)))
    assert "lower the learning rate" in refused(
        lambda: task.gradient(ZEROS, round=0, worker=0), NotFiniteError
    )


def test_non_finite_gradient(build: Build) -> None:
    value = np.array([1.0, np.nan, 2.0])
    encoder = Encoder(TaskGradient(build(mine(gradient=of(value=value)))), parse("float32", DIM), 0, (0, 1))
    said = refused(lambda: encoder.encode(Model(ZEROS, parse_optimizer("sgd")), 4), NotFiniteError)
    assert said.startswith("worker 0, round 4: ") and said.endswith("lower the learning rate")


def test_parameters_are_read_only(build: Build) -> None:
    class Writes(Mine):
        def gradient(self, params: Any, *, round: int, worker: int) -> Any:
            params += 1
            return GOOD

    task, params = build(lambda workers, seed: Writes()), ZEROS.copy()
    assert "read-only" in refused(lambda: task.gradient(params, round=0, worker=0))
    params += 1  # the caller still can


def test_module_raises_on_import(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_users_typo.py").write_text("def make(workers, seed:\n")
    monkeypatch.syspath_prepend(tmp_path)
    target = "a_users_typo:make"
    said = refused(lambda: build_task(f"custom({target})", workers=1, seed=0, allow_import=[target]))
    assert said.startswith("importing a_users_typo raised SyntaxError") and "correct the module" in said


def test_workers_states_are_passed_on(build: Build) -> None:
    class Keeps(Mine):
        def __init__(self, **answers: Any) -> None:
            super().__init__(**answers)
            self.kept: dict[int, Any] = {}

        def worker_state(self, worker: int) -> Any:
            return self.kept.get(worker, {})

        def restore_worker_state(self, worker: int, arrays: Any) -> None:
            if "momentum" not in arrays:
                raises()
            self.kept[worker] = arrays

    task: Any = build(Keeps)
    task.restore_worker_state(1, {"momentum": ZEROS})
    assert task.worker_state(1) == {"momentum": ZEROS} and task.worker_state(0) == {}
    assert "restore_worker_state(worker=0) raised KeyError" in refused(
        lambda: task.restore_worker_state(0, {"x": 1})
    )
    plain: Any = build(mine())
    assert plain.worker_state(0) == {}
    plain.restore_worker_state(0, {})
    assert "has no restore_worker_state, and worker 0 left momentum" in refused(
        lambda: plain.restore_worker_state(0, {"momentum": ZEROS})
    )
