"""Torch modules with arrays of every role, each with its data, for whole runs."""

from typing import Any

import pytest

from gradwire import TorchProblem

torch: Any = pytest.importorskip("torch")
nn = torch.nn
PLACE = "tests.system.torch_problems"


def batch_norm(seed: int) -> TorchProblem:
    """A small convolutional network with BatchNorm."""
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 36, 3),
        nn.BatchNorm1d(3),
    )
    images = torch.randn(120, 1, 8, 8) + torch.arange(120).remainder(3).view(-1, 1, 1, 1)
    return _problem(module, images, torch.arange(120).remainder(3))


class TinyGpt(nn.Module):  # type: ignore[misc]
    """An attention block between an embedding and a head of the same array."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 7, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(5, 5, dtype=torch.bool).triu(1))

    def forward(self, tokens: Any) -> Any:
        return self.head(self.block(self.embedding(tokens), src_mask=self.mask))[:, -1]


def tied(seed: int) -> TorchProblem:
    tokens = torch.randint(0, 7, (90, 5))
    return _problem(TinyGpt(), tokens, tokens[:, 0])


def frozen_backbone(seed: int) -> TorchProblem:
    module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    module[0].requires_grad_(False)
    x = torch.randn(100, 6)
    return _problem(module, x, (x[:, 0] > 0).long())


def half(seed: int) -> TorchProblem:
    x = torch.randn(100, 6, dtype=torch.bfloat16)
    return _problem(
        nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).bfloat16(), x, (x[:, 0] > 0).long()
    )


def _problem(module: Any, x: Any, y: Any) -> TorchProblem:
    cut = len(x) * 2 // 3
    return TorchProblem(module, nn.functional.cross_entropy, (x[:cut], y[:cut]), (x[cut:], y[cut:]))
