"""Optimizers with an equal in torch.optim: the same parameters to 1e-6 over 200 steps."""

import numpy as np
import pytest

from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer

torch = pytest.importorskip("torch")
optim = torch.optim

DIM, STEPS = 500, 200
PAIRS = {
    "sgd(lr=0.1)": (optim.SGD, {"lr": 0.1}),
    "sgd(lr=0.1, weight_decay=0.1)": (optim.SGD, {"lr": 0.1, "weight_decay": 0.1}),
    "sgd(lr=0.05, momentum=0.9, weight_decay=0.1)": (
        optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    "nesterov(lr=0.05, momentum=0.9)": (optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "nesterov(lr=0.05, momentum=0.8, weight_decay=0.1)": (
        optim.SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    "adam": (optim.Adam, {}),
    "adam(lr=0.01, beta1=0.8, beta2=0.95, eps=0.001)": (optim.Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adam(lr=0.01, beta1=0)": (optim.Adam, {"lr": 0.01, "betas": (0.0, 0.999)}),
    "adam(lr=0.01, weight_decay=0.1)": (optim.Adam, {"lr": 0.01, "weight_decay": 0.1}),
    "adamw": (optim.AdamW, {}),
    "adamw(lr=0.01, weight_decay=0.3)": (optim.AdamW, {"lr": 0.01, "weight_decay": 0.3}),
    "adagrad": (optim.Adagrad, {}),
    "adagrad(lr=0.1, initial=0.2, eps=0.01, weight_decay=0.1)": (
        optim.Adagrad, {"lr": 0.1, "initial_accumulator_value": 0.2, "eps": 0.01, "weight_decay": 0.1}),
}  # fmt: skip
SCHEDULES = {
    "linear(150, final=0.2)": lambda o: optim.lr_scheduler.LinearLR(o, 1.0, 0.2, 150),
    "cosine(150, final=0.1)": lambda o: chained(o, optim.lr_scheduler.CosineAnnealingLR(o, 150, 0.005), 150, 0.1),
    "step(every=30, factor=0.5)": lambda o: optim.lr_scheduler.StepLR(o, 30, 0.5),
    "warmup(20)": lambda o: optim.lr_scheduler.LinearLR(o, 1 / 21, 1.0, 20),
    "warmup(20, linear(100))": lambda o: optim.lr_scheduler.SequentialLR(
        o, [optim.lr_scheduler.LinearLR(o, 1 / 21, 1.0, 20), optim.lr_scheduler.LinearLR(o, 1.0, 0.0, 100)], [20]),
}  # fmt: skip


def chained(optimizer: object, schedule: object, until: int, final: float) -> object:
    """torch's cosine rises again after its end; ours keeps the last rate."""
    constant = optim.lr_scheduler.LambdaLR(optimizer, lambda _: final)
    return optim.lr_scheduler.SequentialLR(optimizer, [schedule, constant], [until])


@pytest.fixture(scope="module")
def gradients() -> np.ndarray:
    rng = np.random.default_rng(5)
    return (rng.normal(size=(STEPS, DIM)) * np.exp(rng.normal(size=DIM))).astype(np.float32)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


# torch in float32 rounds 1 - lr * weight_decay of adamw, which adds up to 4e-6.
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize("spec", PAIRS)
def test_equal_to_torch(spec: str, precision: object, tolerance: float, gradients: np.ndarray) -> None:
    cls, options = PAIRS[spec]
    start = np.random.default_rng(6).normal(size=DIM).astype(np.float32)
    model, theirs = (
        Model(start, parse_optimizer(spec)),
        torch.nn.Parameter(torch.tensor(start, dtype=precision)),
    )
    optimizer = cls([theirs], **options)
    for gradient in gradients:
        model.apply(gradient)
        theirs.grad = torch.tensor(gradient, dtype=precision)
        optimizer.step()
    assert difference(model.params, theirs.detach().numpy()) < tolerance


def test_clipping_equal_to_torch(gradients: np.ndarray) -> None:
    model, theirs = (
        Model(np.zeros(DIM, np.float32), parse_optimizer("clipped(20.0, sgd)")),
        torch.zeros(DIM).double(),
    )
    theirs.requires_grad = True
    optimizer, clipped = optim.SGD([theirs], lr=0.1), 0
    for gradient in gradients * np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]:
        model.apply(gradient)
        theirs.grad = torch.tensor(gradient).double()
        clipped += bool(torch.nn.utils.clip_grad_norm_([theirs], 20.0) > 20)
        optimizer.step()
    assert difference(model.params, theirs.detach().numpy()) < 1e-6 and 20 < clipped < 180


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_equal_to_torch(schedule: str, gradients: np.ndarray) -> None:
    start = np.random.default_rng(6).normal(size=DIM).astype(np.float32)
    model = Model(start, parse_optimizer(f"sgd(lr=0.05, schedule={schedule})"))
    theirs = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = optim.SGD([theirs], lr=0.05)
    scheduler = SCHEDULES[schedule](optimizer)
    for gradient in gradients:
        model.apply(gradient)
        theirs.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        scheduler.step()
    assert difference(model.params, theirs.detach().numpy()) < 1e-6
