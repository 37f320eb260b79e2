"""What a torch task reports: the test loss, its own metrics, and accuracy where that is certain."""

from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import TaskError
from tests.worker.tasks.torch_tasks import TorchProblem, built, torch

data = torch.utils.data


def measured(outputs: Any, targets: Any, **given: Any) -> dict[str, float]:
    """What is reported where a module's outputs are these."""

    def forward(module: Any, batch: Any) -> Any:
        return batch[0] + 0 * module.weight.sum(), batch[1]

    def loss(out: Any, tar: Any) -> Any:
        return out.float().mean()

    more = {"test": (outputs, targets), "forward": forward, "loss": loss, **given}
    train = torch.ones(8, 2), torch.ones(8, 1)
    task = built(lambda: TorchProblem(torch.nn.Linear(2, 1), train=train, **more), "batch=4", workers=2)
    found = task.evaluate(np.zeros(3, np.float32))
    assert found.pop("test_loss") == pytest.approx(outputs.float().mean().item(), abs=1e-5)
    return found


LOGITS = torch.eye(3)[torch.arange(9) % 3]
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2, 1, 2, 0])


def test_accuracy_where_it_is_certain() -> None:
    assert measured(LOGITS, CLASSES) == {"accuracy": 6 / 9}
    ignored = torch.where(torch.arange(9) < 6, CLASSES, -100)
    assert measured(LOGITS, ignored) == {"accuracy": 1.0}


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (
            LOGITS[:, :1],
            CLASSES % 2,
        ),  # one output and whole-number targets: a binary classifier, or a regression
        (LOGITS[:, 0], CLASSES),
        (LOGITS, CLASSES[:, None]),
        (LOGITS, CLASSES.float()),
        (LOGITS, CLASSES > 0),
        (LOGITS[:, None].expand(9, 3, 3), CLASSES[:, None].expand(9, 3)),  # of tokens, perhaps shifted
    ],
)
def test_no_accuracy_where_it_is_a_guess(outputs: Any, targets: Any) -> None:
    assert measured(outputs, targets) == {}


def test_own_metrics_are_means_over_the_samples() -> None:
    """Of a loader's batches of 4, 4 and 1, which weigh by their samples."""

    def metrics(outputs: Any, targets: Any) -> Any:
        return {
            "accuracy": ((outputs[:, 0] > 0.5) == targets).float().mean(),
            "count": np.float64(len(targets)),
        }

    outputs, targets = LOGITS[:, :1], (CLASSES == 0).long()
    loader = data.DataLoader(data.TensorDataset(outputs, targets), batch_size=4)
    found = measured(outputs, targets, metrics=metrics, test=loader)
    assert found == pytest.approx({"accuracy": 7 / 9, "count": (16 + 16 + 1) / 9})


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (0.5, "metrics returned 0.5, expected numbers by name"),
        ({1: 0.5}, "metrics returned a dict, expected numbers by name"),
        ({"f1": "high"}, "metrics returned f1 'high', expected a number"),
        ({"f1": torch.ones(2)}, r"metrics returned f1 torch.float32 \[2\], expected a number"),
    ],
)
def test_invalid_metrics(returned: Any, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        measured(LOGITS, CLASSES, metrics=lambda outputs, targets: returned)


def test_eval_batch() -> None:
    sizes: list[int] = []

    def metrics(outputs: Any, targets: Any) -> Any:
        sizes.append(len(targets))
        return {}

    measured(LOGITS, CLASSES, metrics=metrics, eval_batch=9)
    assert sizes == [9]
