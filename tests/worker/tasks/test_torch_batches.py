"""Batches as people have them: dicts, tuples of three, nested, collated, iterated, loaded by other processes."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from gradwire.common.errors import NotFiniteError, TaskError
from gradwire.worker.tasks.torch.batches import moved, samples_in
from tests.worker.tasks.torch_tasks import TorchProblem, built, torch

data = torch.utils.data
X, Y, WEIGHTS = (
    torch.arange(40.0).reshape(20, 2),
    torch.arange(20.0)[:, None],
    torch.linspace(0, 1, 20)[:, None],
)
mse = torch.nn.functional.mse_loss


def linear() -> Any:
    return torch.nn.Linear(2, 1)


class Weighted(torch.nn.Module):
    """Computes its loss as Hugging Face's models do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = linear()

    def forward(self, x: Any, labels: Any = None) -> Any:
        logits = self.linear(x)
        return SimpleNamespace(loss=mse(logits, labels), logits=logits)


class Items(data.Dataset[Any]):
    """Rows as whatever ``form`` makes of them."""

    def __init__(self, form: Any) -> None:
        self.form = form

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, row: int) -> Any:
        if not 0 <= row < len(X):
            raise IndexError(row)
        return self.form(X[row], Y[row])


class Stream(data.IterableDataset[Any]):
    def __init__(self, count: int = 20) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        return zip(X[: self.count], Y[: self.count], strict=True)


def pairs(items: list[Any]) -> Any:
    return torch.stack([item["x"] for item in items]), torch.stack([item["y"] for item in items])


def as_pair(batch: Any) -> Any:
    return batch["x"], batch["y"]


FORMS: dict[str, dict[str, Any]] = {
    "tensors": {"loss": mse, "train": (X, Y)},
    "arrays": {"loss": mse, "train": (X.numpy(), Y.numpy())},
    "dataset": {"loss": mse, "train": Items(lambda x, y: (x, y))},
    "TensorDataset": {"loss": mse, "train": data.TensorDataset(X, Y)},
    "Subset": {"loss": mse, "train": data.Subset(Items(lambda x, y: (x, y)), range(20))},
    "dict of tensors": {"module": Weighted, "train": {"x": X, "labels": Y}},
    "dict items": {"module": Weighted, "train": Items(lambda x, y: {"x": x, "labels": y})},
    "collated": {"loss": mse, "train": Items(lambda x, y: {"x": x, "y": y}), "collate_fn": pairs},
    "forward": {"loss": mse, "train": {"x": X, "y": Y}, "forward": lambda m, b: (m(b["x"]), b["y"])},
    "three": {"loss": mse, "train": (X, Y, WEIGHTS), "forward": lambda m, b: (m(b[0]), b[1])},
    "nested": {"loss": mse, "train": ((X, {"w": X}), Y), "forward": lambda m, b: (m(b[0][1]["w"]), b[1])},
    "compute_loss": {"train": {"x": X, "y": Y}, "compute_loss": lambda m, b: mse(m(b["x"]), b["y"])},
    "all of it": {"train": (X, Y), "compute_loss": lambda m, b: (mse(m(b[0]), b[1]), m(b[0]), b[1])},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_gradient(form: str) -> None:
    given = {"module": linear, **FORMS[form]}

    def problem() -> TorchProblem:
        return TorchProblem(
            given["module"](), **{k: v for k, v in given.items() if k != "module"}, test=given["train"]
        )

    task = built(problem, "batch=4", workers=2)
    params = np.array([0.5, -0.25, 1], np.float32)
    found = task.gradient(params, round=3, worker=1)
    plain = built(lambda: TorchProblem(linear(), mse, (X, Y), (X, Y)), "batch=4", workers=2)
    expected = plain.gradient(params, round=3, worker=1)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-6)
    assert found.examples == 4 and found.loss == pytest.approx(expected.loss)
    assert task.evaluate(params)["test_loss"] == pytest.approx(plain.evaluate(params)["test_loss"])


class Pair(NamedTuple):
    inputs: Any
    note: str


class Own:
    def to(self, device: Any) -> str:
        return f"on {device}"


def test_moving_and_counting() -> None:
    batch = [{"a": (torch.ones(3, 2), "text")}, Pair(torch.ones(3), "kept"), Own(), None]
    found = moved(batch, torch.device("cpu"))
    assert found[0]["a"][1] == "text" and found[1].note == "kept" and isinstance(found[1], Pair)
    assert found[2] == "on cpu" and found[3] is None
    assert samples_in(batch) == 3 and samples_in([torch.tensor(1.0), "x"]) is None


# ---- mistakes ----------------------------------------------------------------------------------------------


def problem(**given: Any) -> Any:
    return lambda: TorchProblem(**{"module": linear(), "loss": mse, "train": (X, Y), **given})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"module": linear}, "module is a function, expected a torch.nn.Module"),
        ({"train": None}, "train is missing"),
        ({"compute_loss": mse}, "compute_loss takes the place of loss and forward"),
        ({"loss": None, "forward": mse}, r"forward needs a loss\(outputs, targets\)"),
        ({"eval_batch": -1}, "eval_batch is -1"),
        (
            {"train": [1, 2]},
            "train is a list, expected tensors of equal length in a tuple or dict, a Dataset",
        ),
        ({"train": 3}, "train is a int, expected tensors"),
        ({"train": (X, Y[:3])}, r"train has tensors of \[3, 20\] samples"),
        ({"train": (X, "y")}, "a str stands among the tensors"),
        ({"train": (X[:0], Y[:0])}, "train has no samples"),
        ({"train": (X[:1], Y[:1])}, "1 samples cannot be dealt to 2 workers"),
        ({"test": (X[:0], Y[:0])}, "test has no samples"),
        ({"train": Stream()}, "batch=0 is all samples, and train is an IterableDataset"),
    ],
)
def test_invalid_problems(given: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says) as caught:
        built(problem(**given), workers=2)
    assert "\n" not in str(caught.value)


def test_other_results_of_a_factory() -> None:
    with pytest.raises(
        TaskError, match=r"a_users_torch:factory returned a int, expected a gradwire\.TorchProblem"
    ):
        built(lambda: 3)
    with pytest.raises(TaskError, match=r"a_users_torch:factory\(seed=9\) raised KeyError: 'no such column'"):
        built(lambda seed: {}["no such column"])
    with pytest.raises(TaskError, match="chunk divides batches that are drawn by number"):
        built(problem(train=data.DataLoader(Items(lambda x, y: (x, y)))), "chunk=2")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"train": (X, Y, WEIGHTS)},
            r"a batch is a tuple of 3, expected \(inputs, targets\): give .* forward",
        ),
        ({"train": {"x": X, "y": Y}}, r"a batch is a dict of x, y, expected \(inputs, targets\)"),
        ({"train": X}, "a batch is a Tensor, expected"),
        (
            {"loss": None},
            "the TorchProblem has no loss and a batch is a tuple of 2: give loss or compute_loss",
        ),
        (
            {"loss": None, "train": {"input": X}},
            r"module\(\*\*batch\) returned no loss: give .* compute_loss",
        ),
        ({"forward": lambda m, b: m(b[0])}, r"forward returned a Tensor, expected \(outputs, targets\)"),
        ({"loss": None, "compute_loss": lambda m, b: (1, 2)}, "compute_loss returned 2 values"),
        ({"loss": torch.nn.MSELoss(reduction="none")}, r"the loss has shape \[10, 1\], expected a scalar"),
        ({"loss": lambda o, t: 0.5}, "the loss is a float, expected a scalar tensor"),
        ({"loss": lambda o, t: mse(o, t).detach()}, "the loss does not depend on the trained parameters"),
        ({"loss": lambda o, t: mse(o, None)}, r"gradient\(round=0, worker=1\) raised AttributeError"),
        ({"train": Stream(0), "batch": 2}, "train ended without a batch"),
    ],
)
def test_invalid_batches_and_losses(given: dict[str, Any], says: str) -> None:
    batch = given.get("batch", 0)
    task = built(problem(**{k: v for k, v in given.items() if k != "batch"}), f"batch={batch}", workers=2)
    with pytest.raises(TaskError, match=says) as caught:
        task.gradient(task.initial(), round=0, worker=1)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite() -> None:
    holes = X.clone()
    holes[3, 0] = torch.nan
    task = built(problem(train=(holes, Y)), workers=1)
    with pytest.raises(
        NotFiniteError, match="worker 0, round 0: the batch holds numbers that are not finite: remove"
    ):
        task.gradient(task.initial(), round=0, worker=0)
    task = built(problem(), workers=1)
    with pytest.raises(NotFiniteError, match="lower the learning rate"):
        task.gradient(np.full(3, 3e38, np.float32), round=0, worker=0)
