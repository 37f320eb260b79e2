"""Torch modules in a run: which numbers are exchanged, and that everything else stays the user's."""

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from gradwire.worker.join.models import joined_model  # noqa: E402
from tests.join.fake_run import joined  # noqa: E402

KEEPS = "a module keeps its arrays for the whole run"


def moved(module: nn.Module, by: float = 0.125) -> None:
    """Train: every parameter that requires gradients moves."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(by)


def compiled(module: nn.Module) -> Any:
    """A wrapper of ``torch.compile``, without the compiler of its default backend, which warns when it is imported."""
    return torch.compile(module, backend="eager")


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.output = nn.Linear(3, 5, bias=False)
        self.output.weight = self.embedding.weight


# ---- what is exchanged ---------------------------------------------------------------------------------------


def test_the_mean_of_two_sites_in_place() -> None:
    module = nn.Linear(3, 2)
    tensors = list(module.parameters())
    other = np.linspace(-1, 1, 8, dtype=np.float32)
    with joined(module, others=lambda round_: [other]) as (run, link):
        base = np.concatenate([t.detach().numpy().ravel() for t in tensors])
        moved(module)
        now = np.concatenate([t.detach().numpy().ravel() for t in tensors])
        assert run.step() is module
        np.testing.assert_array_equal(link.updates[0], base - now)
        mean = (base - now + other) / np.float32(2)
        after = np.concatenate([t.detach().numpy().ravel() for t in tensors])
        np.testing.assert_array_equal(after, base - mean)
    assert all(a is b for a, b in zip(module.parameters(), tensors, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_module_that_rounds_what_it_is_set_to(dtype: Any) -> None:
    """Its update is from what it holds, not from the float32 model: rounding is not training."""
    module = nn.Linear(7, 1, bias=False).to(dtype)
    others = np.full(7, 1e-3, np.float32)  # below the resolution of the module's numbers
    with joined(module, others=lambda round_: [others, others]) as (run, link):
        run.step()
        run.step()
        assert not link.updates[0].any() and not link.updates[1].any()
        held = module.weight.detach().float().numpy().ravel().copy()
        moved(module)
        now = module.weight.detach().float().numpy().ravel().copy()
        run.step()
        np.testing.assert_array_equal(link.updates[2], held - now)
        master = run._vectors.model
        np.testing.assert_array_equal(
            module.weight.detach().view(torch.int16).numpy().ravel(),
            torch.from_numpy(master).to(dtype).view(torch.int16).numpy(),
        )


def test_float64_modules_are_exchanged_as_float32() -> None:
    module = nn.Linear(3, 1, bias=False).double()
    with joined(module) as (run, link):
        base = module.weight.detach().numpy().astype(np.float32).ravel()
        assert (module.weight.detach().numpy() == base).all()  # it was set to the run's numbers
        moved(module, 1 / 3)
        now = module.weight.detach().numpy().astype(np.float32).ravel()
        run.step()
        np.testing.assert_array_equal(link.updates[0], base - now)
        assert module.weight.dtype is torch.float64


def test_running_statistics_are_averaged() -> None:
    module = normalised()
    norm: Any = module[1]
    with joined(module) as (run, link):
        assert run._model.layout.averaged == 8
        module(torch.randn(16, 3))
        mean, variance = norm.running_mean.clone(), norm.running_var.clone()
        run.step()
        np.testing.assert_array_equal(link.updates[0][-8:-4], -mean.numpy())
        np.testing.assert_array_equal(link.updates[0][-4:], 1 - variance.numpy())
        torch.testing.assert_close(norm.running_mean, mean, rtol=0, atol=0)
        assert int(norm.num_batches_tracked) == 1  # a count, which is nobody's


def test_running_statistics_may_stay_here() -> None:
    module = normalised()
    norm: Any = module[1]
    with joined(module, buffers="local") as (run, link):
        assert run._model.layout.averaged == 0
        module(torch.randn(16, 3))
        mean = norm.running_mean.clone()
        run.step()
        assert torch.equal(norm.running_mean, mean) and len(link.updates[0]) == run._model.layout.trained


def test_sites_that_have_trained_already_have_one_layout() -> None:
    """How many batches a layer has counted before differs, and does not matter."""
    fresh, trained = normalised(), normalised()
    trained(torch.randn(4, 3))
    one, other = (joined_model(m, gradients=False, local_buffers=False).layout for m in (fresh, trained))
    assert one.fingerprint == other.fingerprint


def test_tied_weights_are_one_array() -> None:
    module = Tied()
    with joined(module) as (run, link):
        moved(module)
        run.step()
        assert len(link.updates[0]) == 15
        assert module.output.weight is module.embedding.weight
        module.load_state_dict(run.model(), strict=True)


def test_frozen_parameters_are_not_touched() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    module[0].requires_grad_(False)
    frozen = copy.deepcopy(module[0].state_dict())
    with joined(module) as (run, link):
        moved(module)
        run.step()
        assert len(link.updates[0]) == 5
        module.load_state_dict(run.model(), strict=True)
    assert all(torch.equal(value, module[0].state_dict()[name]) for name, value in frozen.items())


@pytest.mark.parametrize("wrap", [nn.DataParallel, compiled])
def test_wrappers_are_looked_through(wrap: Any) -> None:
    module = nn.Linear(2, 1)
    with joined(wrap(module)) as (run, _):
        moved(module)
        run.step()
        assert [array.name for array in run._model.layout.arrays] == ["weight", "bias"]
        nn.Linear(2, 1).load_state_dict(run.model(), strict=True)


def test_part_of_a_module_that_is_compiled_in_place() -> None:
    module = nn.Sequential(nn.Linear(2, 1))
    module[0] = compiled(module[0])
    with joined(module) as (run, _):
        moved(module)
        run.step()
        moved(module)  # the run's model is another one
        assert [array.name for array in run._model.layout.arrays] == ["0.weight", "0.bias"]
        plain = nn.Sequential(nn.Linear(2, 1))
        plain.load_state_dict(run.model(), strict=True)
        torch.testing.assert_close(plain[0].weight + 0.125, module[0].weight, rtol=0, atol=0)


def test_the_optimizer_keeps_its_state() -> None:
    module = nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    other = np.ones(4, np.float32)
    with joined(module, others=lambda round_: [other]) as (run, _):
        for step in range(1, 4):
            optimizer.zero_grad()
            module(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            before = copy.deepcopy(optimizer.state_dict())
            gradient = module.weight.grad.clone()
            run.step()
            after = optimizer.state_dict()
            assert after["state"][0]["step"] == step
            for name, value in before["state"][0].items():
                assert torch.equal(value, after["state"][0][name])
            assert torch.equal(module.weight.grad, gradient)  # updates leave gradients alone
            assert optimizer.param_groups[0]["params"][0] is module.weight


@pytest.mark.parametrize("make", [lambda: nn.Linear(2, 2), normalised, Tied])
def test_the_model_of_a_run_is_a_state_dict(make: Any) -> None:
    module = make()
    with joined(module, rounds=1) as (run, _):
        moved(module)
        for _batch in run.batches([0]):
            run.step()
    fresh = make()
    fresh.load_state_dict(run.model(), strict=True)
    for name, value in run.model().items():
        held = module.state_dict()[name]
        assert value.dtype == held.dtype and torch.equal(value, held)


def test_training_mode_and_graphs_stay() -> None:
    module = normalised().eval()
    with joined(module) as (run, _):
        run.step()
        assert not module.training and all(p.requires_grad and p.is_leaf for p in module.parameters())
