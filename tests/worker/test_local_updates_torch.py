"""Local steps of torch tasks: the numbers of a plain PyTorch loop, on the device, restored bit for bit."""

from typing import Any

import numpy as np
import pytest

from gradwire.common.arrays.compat import to_host
from gradwire.common.training.local import parse_local
from gradwire.common.training.model import CONTROL, Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.tasks import Gradient
from gradwire.worker.updates import LocalUpdate
from tests.worker.toy_tasks import DIM, Logistic, WithStatistics

torch = pytest.importorskip("torch")
H = 4
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


class InTorch(Logistic):
    """Takes and gives tensors on a device, and remembers what it was given."""

    takes_tensors = True

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.device, self.given = device, []

    def gradient(self, params: Any, *, round: int, worker: int) -> Gradient:
        self.given.append(type(params))
        gradient = super().gradient(to_host(params), round=round, worker=worker)
        return Gradient(torch.tensor(gradient.value, device=self.device), gradient.loss, gradient.examples)


def model_of(task: Any) -> Model:
    return Model(task.initial(), parse_optimizer("sgd(lr=1.0)"))


def source_of(task: Any, arguments: str) -> LocalUpdate:
    return LocalUpdate(task, parse_local(f"local(steps={H}, {arguments})"))


def plain_loop(built: Any, rounds: int, *, kept: bool, device: str = "cpu", clip: float = 0.0) -> list[bytes]:
    """Updates of worker 1, always from the same model; ``built`` makes torch's own optimizer."""
    task, updates, optimizer = InTorch(device), [], None
    start = torch.tensor(task.initial(), device=device)
    x = torch.nn.Parameter(start.clone())
    for t in range(rounds):
        with torch.no_grad():
            x.copy_(start)
        optimizer = optimizer if kept and optimizer is not None else built([x])
        for h in range(H):
            x.grad = task.gradient(x.detach(), round=t * H + h, worker=1).value
            optimizer.step()
        updates.append(to_host(start - x.detach()).tobytes())
    return updates


OPTIMIZERS = {
    "sgd(lr=0.1, momentum=0.9)": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd(lr=0.1, weight_decay=0.1)": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
    "nesterov(lr=0.1, momentum=0.8)": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
    "adam(lr=0.05, beta1=0.8, weight_decay=0.1)": lambda p: torch.optim.Adam(
        p, lr=0.05, betas=(0.8, 0.999), weight_decay=0.1
    ),
    "adamw(lr=0.05, weight_decay=0.1)": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("inner", ["reset", "kept"])
@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_updates_are_those_of_plain_pytorch(spec: str, inner: str, device: str) -> None:
    task = InTorch(device)
    source = source_of(task, f"optimizer={spec}, inner={inner}")
    updates = []
    for t in range(3):
        given = source.update(model_of(task), round=t, worker=1)
        assert given.value.device.type == device
        updates.append(to_host(given.value).tobytes())
    assert updates == plain_loop(OPTIMIZERS[spec], 3, kept=inner == "kept", device=device)
    assert task.given.count(torch.Tensor) == 3 * (H - 1), "parameters went through the host"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_kept_state_is_restored_bit_for_bit(spec: str, device: str) -> None:
    task, arguments = InTorch(device), f"optimizer={spec}, inner=kept"
    whole, first, again = (source_of(task, arguments) for _ in range(3))
    updates = [to_host(whole.update(model_of(task), round=t, worker=1).value).tobytes() for t in range(3)]
    first.update(model_of(task), round=0, worker=1)
    kept = {name: to_host(array).copy() for name, array in first.state(1).items()}
    first.update(model_of(task), round=1, worker=1)
    again.restore(1, kept)
    for t in (1, 2):
        assert to_host(again.update(model_of(task), round=t, worker=1).value).tobytes() == updates[t]
    first.restore(1, kept)  # as for a round that has to be computed again
    assert to_host(first.update(model_of(task), round=1, worker=1).value).tobytes() == updates[1]


def test_schedule_follows_the_steps_of_the_run() -> None:
    task = InTorch()
    source = source_of(task, "optimizer=adamw(lr=0.1, schedule=linear(20)), inner=kept")
    plain, x = None, torch.nn.Parameter(torch.tensor(task.initial()))
    for t in range(2, 4):  # its first round is the third of the run: moments and corrections begin there
        given = source.update(model_of(task), round=t, worker=1).value
        with torch.no_grad():
            x.copy_(torch.tensor(task.initial()))
        plain = plain or torch.optim.AdamW([x], weight_decay=0.01)
        for step in range(t * H, (t + 1) * H):
            plain.param_groups[0]["lr"] = 0.1 * ((20 - step) / 20)
            x.grad = task.gradient(x.detach(), round=step, worker=1).value
            plain.step()
        assert given.numpy().tobytes() == (torch.tensor(task.initial()) - x.detach()).numpy().tobytes()


@pytest.mark.parametrize(
    "arguments",
    [
        "optimizer=sgd(lr=0.25), prox=0.5, clip=0.25",
        "optimizer=sgd(lr=0.25, momentum=0.5), inner=kept",
        "optimizer=sgd(lr=0.25), scaffold=true",
        "optimizer=yogi(lr=0.1), inner=kept",
        "optimizer=clipped(inner=sgd(lr=0.1), norm=0.2)",
    ],
)
def test_tensors_and_arrays_give_the_same_bits(arguments: str) -> None:
    """With powers of two SGD is the same in both (torch may fuse a product and a sum); others are stepped in NumPy."""
    tensors, arrays = InTorch(), Logistic()
    sources = source_of(tensors, arguments), source_of(arrays, arguments)
    model = model_of(arrays)
    model.state[CONTROL] = np.linspace(0, 1, DIM, dtype=np.float32)
    for t in range(3):
        a, b = (source.update(model, round=t, worker=1).value for source in sources)
        assert to_host(a).tobytes() == b.tobytes()


def test_task_that_takes_arrays_alone_gets_arrays() -> None:
    task = InTorch()
    task.takes_tensors = False
    source_of(task, "optimizer=adamw(lr=0.1)").update(model_of(task), round=0, worker=1)
    assert set(task.given) == {np.ndarray}


def test_averaged_coordinates_on_a_device() -> None:
    class InTorchWithStatistics(WithStatistics):
        takes_tensors = True

        def gradient(self, params: Any, *, round: int, worker: int) -> Gradient:
            gradient = super().gradient(to_host(params), round=round, worker=worker)
            return Gradient(torch.tensor(gradient.value), gradient.loss, gradient.examples)

    arguments = "optimizer=sgd(lr=0.25, momentum=0.5), clip=0.1"
    a, b = (
        source_of(task, arguments).update(model_of(task), round=0, worker=1).value
        for task in (InTorchWithStatistics(), WithStatistics())
    )
    assert a.numpy().tobytes() == b.tobytes()


@pytest.mark.parametrize(
    "spec", ["sgd(lr=1.0, momentum=0.9)", "adam(lr=1.0)", "adamw(lr=1.0, weight_decay=0.0)"]
)
def test_steps_that_change_nothing_give_exactly_zero(spec: str) -> None:
    class Still(InTorch):
        def gradient(self, params: Any, *, round: int, worker: int) -> Gradient:
            return Gradient(torch.zeros(DIM), None, 1)

    given = source_of(Still(), f"optimizer={spec}").update(model_of(Still()), round=0, worker=0)
    assert not given.value.any()
