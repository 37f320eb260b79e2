"""Tasks by name: what a spec may set, and that code is imported only if the local user allows it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradwire.common.errors import SpecError, TaskError
from gradwire.common.spec import parse_spec, spec_of
from gradwire.worker.tasks import TaskKind, build_task, parse_task, register_task, task_kinds
from gradwire.worker.tasks.checked import CheckedTask
from gradwire.worker.tasks.kinds.synthetic import SyntheticKind

EXAMPLES = {
    "custom": "custom(my_package.module:factory)",
    "hard_instance": "hard_instance(dim=64, p=inf, law=axes)",
    "least_squares": "least_squares(samples=10000, dim=200)",
    "logistic": "logistic(a9a, l2=0.01)",
    "mlp": "mlp(mnist, hidden=1000)",
    "own": "own",
    "softmax": "softmax(digits, batch=8)",
    "synthetic": "synthetic(dim=795010)",
    "torch": "torch(my_package.module:factory, batch=32, buffers=local)",
}
TASK = """
import numpy as np
from gradwire.worker.tasks import TaskKind, build_task, parse_task, register_task, task_kinds

class Mine:
    dim = 3
    def __init__(self, workers, seed): self.workers, self.seed = workers, seed
    def initial(self): return np.zeros(3, np.float32)
    def gradient(self, params, *, round, worker): return Gradient(params, None, 1)
    def evaluate(self, params): return {}

def factory(workers, seed): return Mine(workers, seed)
def half(workers, seed): return object()
def flat(workers, seed):
    mine = Mine(workers, seed)
    mine.dim = 0
    return mine
constant = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "a_users_tasks.py").write_text(TASK)
    monkeypatch.syspath_prepend(tmp_path)
    yield "a_users_tasks"
    sys.modules.pop("a_users_tasks", None)


def test_every_kind_has_an_example() -> None:
    assert set(task_kinds()) == set(EXAMPLES)


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_canonical_spelling_round_trip(text: str) -> None:
    kind = parse_task(text)
    assert kind.name == parse_spec(text).name
    assert parse_task(str(spec_of(kind))) == kind


def test_loops_of_the_users_own_are_not_built() -> None:
    with pytest.raises(
        TaskError, match=r"join it from a Python program with gradwire\.join, not with gradwire worker"
    ):
        build_task("own", workers=1, seed=0)


def test_unknown_task() -> None:
    with pytest.raises(SpecError, match=r"unknown task 'mpl': did you mean mlp\?"):
        build_task("mpl", workers=1, seed=0)


def test_taken_name() -> None:
    with pytest.raises(SpecError, match="two tasks are called 'synthetic': SyntheticKind and SyntheticKind"):
        register_task(SyntheticKind)
    assert task_kinds()["synthetic"] is SyntheticKind


def test_module_has_the_name_of_its_kind() -> None:
    for name, kind in task_kinds().items():
        assert issubclass(kind, TaskKind) and kind.__module__ == f"gradwire.worker.tasks.kinds.{name}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mlp(mnist, hidden=0)", "mlp: hidden is 0, expected at least 1"),
        ("mlp(mnist, hiden=5)", "no argument 'hiden'.*did you mean hidden"),
        ("mlp", "mlp needs dataset"),
        ("mlp(mnist, batch=-1)", "batch is -1"),
        ("synthetic(dim=word)", "dim is word, expected int"),
        ("least_squares(samples=0)", "samples is 0"),
        ("logistic(a9a, l2=-1)", "l2 is -1.0, expected a number of at least 0, or auto"),
        ("logistic(a9a, l2=nan)", "l2 is nan"),
        ("logistic(a9a, l2=inf)", "l2 is inf"),
        ("logistic(a9a, l2=big)", "l2 is big"),
        ("softmax(digits, l2=-1)", "l2 is -1.0"),
        ("torch(module)", "the target is 'module', expected package.module:name"),
        ("torch(a.b:c, device=cuda)", "device is each worker's own: pass --device cuda to the worker"),
        ("torch(a.b:c, buffers=shared)", "buffers is 'shared', expected averaged or local"),
        ("torch(a.b:c, chunk=-1)", "chunk is -1, expected at least 0"),
        ("custom(a.b:c/d)", "the target is 'a.b:c/d'"),
        ("logistic(digits)", r"logistic needs two classes and digits has 10: write softmax\(digits\)"),
    ],
)
def test_invalid_parameters(text: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        build_task(text, workers=1, seed=0)


@pytest.mark.parametrize("kind", ["torch", "custom"])
def test_target_must_be_allowed(kind: str, module: str) -> None:
    target = f"{module}:factory"
    for allowed in ((), (f"{module}:other",), (module,), f"{target}_and_more"):
        with pytest.raises(TaskError, match=f"start the worker with --allow-task {target}"):
            build_task(f"{kind}({target})", workers=1, seed=0, allow_import=allowed)
    assert module not in sys.modules


def test_spec_cannot_allow_its_target(module: str) -> None:
    for name in ("allow_import", "_allowed"):
        with pytest.raises(SpecError, match="no argument"):
            build_task(f"custom({module}:factory, {name}={module}:factory)", workers=1, seed=0)
    with pytest.raises(SpecError, match="takes 1 arguments"):
        build_task(f"custom({module}:factory, {module}:factory)", workers=1, seed=0)
    assert module not in sys.modules


@pytest.mark.parametrize("allowed", [["{}:factory"], {"{}:factory", "other:thing"}, "{}:factory"])
def test_allowed_task_is_built(module: str, allowed: str | list[str] | set[str]) -> None:
    allowed = allowed.format(module) if isinstance(allowed, str) else [a.format(module) for a in allowed]
    task = build_task(f"custom({module}:factory)", workers=4, seed=5, allow_import=allowed)
    assert isinstance(task, CheckedTask)
    assert task.dim == 3 and (task.task.workers, task.task.seed) == (4, 5)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", "cannot import .*:absent: .*put its folder on PYTHONPATH"),
        ("constant", "is a int, expected a function"),
        ("half", "returned a object without dim, initial, gradient, evaluate"),
        ("flat", "dim 0, expected a whole number of at least 1"),
    ],
)
def test_target_that_is_not_a_task(module: str, name: str, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        build_task(f"custom({module}:{name})", workers=1, seed=0, allow_import=[f"{module}:{name}"])


def test_missing_module() -> None:
    with pytest.raises(TaskError, match="cannot import no_such_module:factory: No module named"):
        build_task(
            "custom(no_such_module:factory)", workers=1, seed=0, allow_import=["no_such_module:factory"]
        )
