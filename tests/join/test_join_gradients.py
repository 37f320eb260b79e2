"""``gradients=True``: the ``.grad`` of a module is exchanged, and the server's optimizer steps it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from gradwire.common.errors import ConfigError, NotFiniteError  # noqa: E402
from gradwire.worker.join.models import joined_model  # noqa: E402
from tests.join.fake_run import joined  # noqa: E402


def test_gradients_are_exchanged_and_reset() -> None:
    module = nn.Linear(2, 1)
    module.weight.grad = torch.ones(1, 2)  # of before it joined
    with joined(module, gradients=True) as (run, link):
        assert module.weight.grad is None
        before = module.weight.detach().clone()
        (3 * module(torch.tensor([[1.0, 2.0]]))).sum().backward()
        run.step()
        np.testing.assert_array_equal(link.updates[0], [3, 6, 3])
        assert module.weight.grad is None and module.bias.grad is None
        assert torch.equal(module.weight, before - torch.tensor([[3.0, 6.0]]))  # the run's optimizer steps it


def test_several_backward_passes_add_up() -> None:
    module = nn.Linear(1, 1, bias=False)
    with joined(module, gradients=True) as (run, link):
        for _ in range(3):
            module(torch.ones(1, 1)).sum().backward()
        run.step()
    np.testing.assert_array_equal(link.updates[0], [3])


def test_a_missing_gradient_counts_as_zero() -> None:
    module = nn.Sequential(nn.Linear(2, 1), nn.Linear(2, 1))
    with joined(module, gradients=True) as (run, link):
        run.step()
        module[1](torch.ones(1, 2)).sum().backward()
        run.step()
    assert not link.updates[0].any()
    np.testing.assert_array_equal(link.updates[1], [0, 0, 0, 1, 1, 1])


def test_sparse_gradients() -> None:
    module = nn.Embedding(4, 2, sparse=True)
    with joined(module, gradients=True) as (run, link):
        module(torch.tensor([1, 1, 3])).sum().backward()
        assert module.weight.grad is not None and module.weight.grad.is_sparse
        run.step()
    np.testing.assert_array_equal(link.updates[0], [0, 0, 2, 2, 0, 0, 1, 1])


def test_running_statistics_go_too() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with joined(module, gradients=True) as (run, link):
        module(torch.randn(8, 3)).sum().backward()
        mean = module[1].running_mean.clone()
        run.step()
        np.testing.assert_array_equal(link.updates[0][-4:-2], -mean.numpy())
        assert torch.equal(module[1].running_mean, mean)


def test_what_the_user_did_to_the_parameters_does_not_count() -> None:
    module = nn.Linear(1, 1, bias=False)
    with joined(module, gradients=True) as (run, link):
        before = module.weight.detach().clone()
        with torch.no_grad():
            module.weight.add_(5)
        run.step()
        assert torch.equal(module.weight, before) and not link.updates[0].any()


def test_half_precision_gradients() -> None:
    module = nn.Linear(2, 1, bias=False).to(torch.bfloat16)
    with joined(module, gradients=True) as (run, link):
        module(torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()
        run.step()
    np.testing.assert_array_equal(link.updates[0], [1, 1])


def test_a_gradient_that_is_not_finite_is_named() -> None:
    module = nn.Linear(2, 1)
    with joined(module, gradients=True) as (run, link):
        module.bias.grad = torch.full((1,), float("inf"))
        with pytest.raises(
            NotFiniteError, match="the gradient of bias holds numbers that are not finite: lower"
        ):
            run.step()
        assert not link.updates


def test_arrays_have_no_gradients() -> None:
    with pytest.raises(
        ConfigError, match=r"gradients=True exchanges the \.grad of a torch module: for arrays, "
    ):
        joined_model({"w": np.zeros(2)}, gradients=True, local_buffers=False)


def test_a_site_of_gradients_differs_from_one_of_updates() -> None:
    one, other = (
        joined_model(nn.Linear(1, 1), gradients=g, local_buffers=False).layout for g in (True, False)
    )
    assert one.fingerprint != other.fingerprint
    assert one.difference(other) == (
        "the schema has 'exchanges = gradients' here, 'exchanges = updates' there"
    )
