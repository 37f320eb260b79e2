"""Names, roles and dtypes of a module's arrays: what comes out loads into the user's own module, strictly."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import LayoutError, TaskError
from gradwire.common.training.layout import Layout, Role
from tests.worker.tasks.torch_tasks import TorchProblem, built, names, of_module, state_dict, stepped, torch

X, Y = torch.linspace(-1, 1, 48).reshape(12, 4), torch.linspace(0, 1, 12)[:, None]
TOKENS = torch.arange(40).reshape(8, 5) % 7


class Gpt(torch.nn.Module):
    """One block of attention, its head tied to the embedding, a causal mask and a cache that no state dict has."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 8)
        self.block = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = torch.nn.Linear(8, 7, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(5, 5, dtype=torch.bool).triu(1))
        self.register_buffer("cache", torch.zeros(3), persistent=False)

    def forward(self, tokens: Any) -> Any:
        return self.head(self.block(self.embedding(tokens), src_mask=self.mask))


def token_loss(logits: Any, tokens: Any) -> Any:
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())


def batch_norm() -> Any:
    return torch.nn.Sequential(
        torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU(), torch.nn.Linear(3, 1)
    )


def frozen() -> Any:
    module = batch_norm()
    module[0].requires_grad_(False)
    return module


class Kernels(torch.nn.Module):
    """Buffers of every dtype that is no statistic."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4, 1))
        self.register_buffer("scale", torch.tensor(0.5, dtype=torch.bfloat16))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("steps", torch.tensor([1, -2], dtype=torch.int16))

    def forward(self, x: Any) -> Any:
        return x @ self.weight * self.scale.float()


def kept_in(module: Any) -> Any:
    for parameter in module.parameters():
        parameter.data = parameter.data.bfloat16()
    return module


PROBLEMS = {
    "BatchNorm": (batch_norm, (X, Y), {}),
    "frozen": (frozen, (X, Y), {}),
    "tied GPT": (Gpt, (TOKENS, TOKENS), {"loss": token_loss}),
    "other buffers": (Kernels, (X, Y), {}),
    "float64": (lambda: batch_norm().double(), (X.double(), Y.double()), {}),
    "bfloat16": (lambda: batch_norm().bfloat16(), (X.bfloat16(), Y.bfloat16()), {}),
    "compiled": (lambda: torch.compile(batch_norm(), backend="eager"), (X, Y), {}),
    "data parallel": (lambda: torch.nn.DataParallel(batch_norm()), (X, Y), {}),
}


@pytest.mark.parametrize("buffers", ["averaged", "local"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_evaluated_loads_into_the_users_module(name: str, buffers: str) -> None:
    """A strict load into a new module without wrappers, which then has the loss that the task reports."""
    make, (inputs, targets), more = PROBLEMS[name]
    task = built(of_module(make, inputs, targets, **more), f"batch=0, buffers={buffers}", workers=1)
    params = stepped(task, task.initial(), 3)
    module = make()
    module = getattr(module, "_orig_mod", getattr(module, "module", module))
    module.load_state_dict(state_dict(task, params), strict=True)
    module.eval()
    with torch.no_grad():
        expected = more.get("loss", torch.nn.functional.mse_loss)(module(inputs), targets).item()
    own = any("running" in array for array in task.worker_state(0))
    assert own == (buffers == "local" and "running_mean" in str(task.layout.arrays))
    if not own:
        assert task.evaluate(params)["test_loss"] == pytest.approx(expected, rel=1e-6)


def test_roles_and_order() -> None:
    task = built(of_module(frozen, X, Y))
    assert [(str(a)) for a in task.layout.arrays] == [
        "1.weight float32 [3] trained",
        "1.bias float32 [3] trained",
        "3.weight float32 [1, 3] trained",
        "3.bias float32 [1] trained",
        "1.running_mean float32 [3] averaged",
        "1.running_var float32 [3] averaged",
        "0.weight float32 [3, 4] constant",
        "0.bias float32 [3] constant",
        "1.num_batches_tracked int64 [] constant",
    ]
    assert task.layout.trained == 10 and task.layout.averaged == 6 and task.dim == 16
    assert task.initial()[-3:].tolist() == [1, 1, 1]
    local = built(of_module(frozen, X, Y), "batch=0, buffers=local")
    assert local.layout.averaged == 0 and local.dim == 10
    assert "1.running_var" in names(local, Role.CONSTANT)


def test_tied_parameters_are_one_array_with_two_names() -> None:
    task = built(of_module(Gpt, TOKENS, TOKENS, loss=token_loss))
    first = task.layout.arrays[0]
    assert (first.name, first.aliases) == ("embedding.weight", ("head.weight",))
    assert names(task, Role.CONSTANT) == ["mask"]  # the cache is not in the state dict


def test_a_shared_layer_is_one_array() -> None:
    def twice() -> Any:
        layer = torch.nn.Linear(4, 4)
        return torch.nn.Sequential(layer, torch.nn.ReLU(), layer, torch.nn.Linear(4, 1))

    task = built(of_module(twice, X, Y))
    assert [a.name for a in task.layout.arrays[:2]] == ["0.weight", "0.bias"]
    assert [a.aliases for a in task.layout.arrays[:2]] == [("2.weight",), ("2.bias",)]
    assert task.dim == 16 + 4 + 4 + 1


def compiled(module: Any) -> Any:
    return torch.compile(module, backend="eager")


def compiled_inside(module: Any) -> Any:
    module[1] = compiled(module[1])
    return module


@pytest.mark.parametrize(
    "wrap",
    [
        torch.nn.DataParallel,
        compiled,
        compiled_inside,
        lambda module: torch.nn.DataParallel(compiled(module)),
    ],
)
def test_wrappers_leave_the_layout_alone(wrap: Callable[[Any], Any]) -> None:
    plain, wrapped = (
        built(of_module(make, X, Y)).layout for make in (batch_norm, lambda: wrap(batch_norm()))
    )
    assert wrapped.arrays == plain.arrays and wrapped.to_json() == plain.to_json()


def test_a_layer_of_the_users_that_is_called_module() -> None:
    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = torch.nn.Linear(4, 1)

        def forward(self, x: Any) -> Any:
            return self.module(x)

    assert names(built(of_module(Named, X, Y)), Role.TRAINED) == ["module.weight", "module.bias"]


def test_layouts_differ_in_constant_values() -> None:
    def shifted(by: float) -> Layout:
        def make() -> Any:
            module = frozen()
            torch.nn.init.constant_(module[0].weight, by)
            return module

        return built(of_module(make, X, Y)).layout

    assert shifted(1.0) == shifted(1.0)
    assert shifted(1.0).difference(shifted(2.0)) == "the values of the constant array 0.weight differ"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_masters_are_float32(dtype: Any) -> None:
    """The initial vector is what the module holds, exactly; setting it and reading it back changes nothing."""
    task = built(of_module(lambda: torch.nn.Linear(4, 1).to(dtype), X.to(dtype), Y.to(dtype)))
    params = task.initial()
    assert {a.dtype for a in task.layout.arrays} == {str(dtype).removeprefix("torch.")}
    loaded = state_dict(task, params)["weight"]
    assert loaded.dtype == dtype and torch.equal(loaded.float(), torch.tensor(params[:4])[None])
    found = task.gradient(params, round=0, worker=0)
    assert found.value.dtype == torch.float32 and found.value.abs().min() > 0
    # A step far below the dtype's resolution is not lost: it stays in the master copy.
    small = params + np.float32(1e-6) * np.sign(params)
    assert not np.array_equal(small, params)
    if dtype != torch.float64:
        assert torch.equal(task.gradient(small, round=0, worker=0).value, found.value)


def test_dtypes_may_be_mixed() -> None:
    class Mixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = torch.nn.Linear(4, 3), torch.nn.Linear(3, 1).bfloat16()

        def forward(self, x: Any) -> Any:
            return self.narrow(self.wide(x).bfloat16()).float()

    task = built(of_module(Mixed, X, Y))
    assert [a.dtype for a in task.layout.arrays] == ["float32", "float32", "bfloat16", "bfloat16"]
    before = task.evaluate(task.initial())["test_loss"]
    assert task.evaluate(stepped(task, task.initial(), 20))["test_loss"] < before


def complex_module() -> Any:
    module = torch.nn.Linear(4, 1)
    module.register_buffer("phase", torch.zeros(2, dtype=torch.complex64))
    return module


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (torch.nn.ReLU, TaskError, "the module has no trainable parameters, expected at least one"),
        (lambda: torch.nn.Linear(4, 1).requires_grad_(False), TaskError, "no trainable parameters"),
        (lambda: torch.nn.LazyLinear(1), TaskError, "weight has no shape yet: call the module once"),
        (complex_module, LayoutError, "phase is 'complex64', expected one of float64"),
    ],
)
def test_modules_that_have_no_layout(make: Callable[[], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        built(of_module(make, X, Y))


def test_parameters_that_share_memory_without_being_tied() -> None:
    """Each would have a master copy of its own, and the module would hold the last one alone."""

    def make() -> Any:
        module = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False))
        module[1].weight.data = module[0].weight.data
        return module

    with pytest.raises(TaskError, match=r"0.weight and 1.weight are two parameters in one place: tie them"):
        built(of_module(make, X, Y))


def test_unused_parameters_have_zero_gradient() -> None:
    class Partly(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.used, self.unused = (torch.nn.Linear(1, 1) for _ in range(3))
            self.frozen.requires_grad_(False)

        def forward(self, x: Any) -> Any:
            return self.used(self.frozen(x))

    task = built(lambda: TorchProblem(Partly(), torch.nn.functional.mse_loss, (X[:, :1], Y)))
    value = task.gradient(task.initial(), round=0, worker=0).value
    assert task.dim == 4  # frozen weights are not sent
    assert value[:2].abs().min() > 0 and not value[2:].any()
