"""Train a small GPT of 0.8 million parameters on the text of Python's own library: four workers, DiLoCo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from gradwire import TorchProblem

CONTEXT, WIDTH, LAYERS = 64, 128, 4


class Gpt(nn.Module):
    """Predicts each byte from those before it; the output layer is the embedding, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(256, WIDTH), nn.Parameter(torch.zeros(CONTEXT, WIDTH))
        block = {"dim_feedforward": 4 * WIDTH, "dropout": 0.0, "batch_first": True, "norm_first": True}
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(WIDTH, 4, **block) for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 256, bias=False)
        self.head.weight = self.embedding.weight
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens) + self.positions
        for block in self.blocks:
            x = block(x, src_mask=self.mask, is_causal=True)
        return self.head(self.norm(x))


def forward(module: nn.Module, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of all positions, and the bytes that follow them."""
    return module(windows[:, :-1].long()).flatten(0, 1), windows[:, 1:].long().flatten()


def make() -> TorchProblem:
    """Windows of CONTEXT bytes and the next one, at every place of the text; they take no memory of their own."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))
    text = torch.frombuffer(bytearray(b"".join(map(Path.read_bytes, files))), dtype=torch.uint8)
    train, test = text[:-8000].unfold(0, CONTEXT + 1, 1), text[-8000:].unfold(0, CONTEXT + 1, CONTEXT)
    return TorchProblem(Gpt(), nn.functional.cross_entropy, train, test, forward=forward)


if __name__ == "__main__":
    command = [
        Path(sys.executable).with_name("gradwire"), "run", "--json", "-", "--partition", "iid",
        "--task", "torch(small_gpt:make, batch=8)", "--allow-task", "small_gpt:make", "--workers", "4",
        "--processes", "1", "--rounds", "6", "--local", "local(steps=8, optimizer=adamw(lr=0.003), inner=kept)",
        "--optimizer", "nesterov(lr=0.7, momentum=0.9)", "--codec", "top_signs(20000)",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    summary = json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)
    print(f"{summary['dim']} parameters, {summary['metrics']['test_loss']:.3f} nats per byte")
    assert summary["metrics"]["test_loss"] < 4 and summary["replicas_agree"]
