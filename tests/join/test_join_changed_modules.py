"""Torch modules that cannot join a run, and those that change in it."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from gradwire.common.errors import TaskError  # noqa: E402
from gradwire.worker.join.models.module import TorchModel  # noqa: E402
from tests.join.fake_run import joined  # noqa: E402
from tests.join.test_join_modules import Tied, moved, normalised  # noqa: E402

KEEPS = "a module keeps its arrays for the whole run"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: nn.Linear(2, 1).requires_grad_(False),
            "the module has no trainable parameters, expected at least",
        ),
        (nn.ReLU, "the module has no trainable parameters"),
        (
            lambda: nn.Linear(2, 1, device="meta"),
            "weight is on the device meta and has no values: load the weights",
        ),
        (
            lambda: nn.Sequential(nn.LazyLinear(2)),
            "0.weight has no shape yet: call the module once before joining",
        ),
        (lambda: nn.BatchNorm1d(3, momentum=None), "momentum"),
    ],
)
def test_modules_that_cannot_join(make: Any, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        TorchModel(make(), gradients=False, local_buffers=False)


def reshaped(module: Any) -> None:
    module[0].weight = nn.Parameter(torch.zeros(4, 5))


def grown(module: Any) -> None:
    module.append(nn.Linear(1, 1))


def shrunk(module: Any) -> None:
    del module[2]


def unfrozen(module: Any) -> None:
    module[2].requires_grad_(True)


def halved(module: Any) -> None:
    module.half()


def without_statistics(module: Any) -> None:
    module[1] = nn.BatchNorm1d(4, track_running_stats=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (reshaped, rf"0.weight has the shape \[4, 5\], the module joined with \[4, 3\]: {KEEPS}"),
        (grown, f"the array 3.bias was added or removed since the module joined: {KEEPS}"),
        (shrunk, f"the array 2.bias was added or removed since the module joined: {KEEPS}"),
        (without_statistics, "the array 1.num_batches_tracked was added or removed since the module joined"),
        (
            unfrozen,
            "2.weight was frozen when the module joined and requires gradients now: unfreeze it before",
        ),
        (halved, f"0.weight is float16, the module joined with float32: {KEEPS}"),
        (lambda module: module.to("meta"), f"is on the device meta and has no values: {KEEPS}"),
    ],
)
def test_a_module_that_changes_between_steps(change: Any, says: str) -> None:
    module: Any = normalised()
    module[2].requires_grad_(False)
    with joined(module) as (run, link):
        run.step()
        change(module)
        with pytest.raises(TaskError, match=says):
            run.step()
        assert len(link.updates) == 1


def test_weights_that_are_no_longer_tied() -> None:
    module = Tied()
    with joined(module) as (run, _):
        module.output.weight = nn.Parameter(module.output.weight.detach().clone())
        says = f"embedding.weight and output.weight were one array when the module joined, and are two now: {KEEPS}"
        with pytest.raises(TaskError, match=says):
            run.step()


def test_a_module_may_move_its_tensors() -> None:
    """As ``module.to(device)`` does it: a parameter refers to another tensor then."""
    module = nn.Linear(2, 1)
    with joined(module) as (run, _):
        for parameter in module.parameters():
            parameter.data = parameter.data.clone()
        moved(module)
        before = module.weight.detach().clone()
        run.step()
        assert torch.equal(module.weight, before)


def test_a_parameter_that_is_frozen_later_goes_on_without_changing_by_this_site() -> None:
    module: Any = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    with joined(module) as (run, link):
        module[0].requires_grad_(False)
        moved(module)
        run.step()
    assert not link.updates[0][:3].any() and link.updates[0][3:].all()
